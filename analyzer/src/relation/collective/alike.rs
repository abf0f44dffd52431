//! Whether what ranks enter together is the same.

use traincheck_schema::record::{Collective, CollectiveKind, NO_ELEMENT_TYPE, ReduceKind};

use super::claim::Property;

/// Whether two collectives at the same place in the order of a group are alike in this; those that come before it are taken to
/// be. What is not known of one of them is alike.
pub fn alike(property: Property, one: &Collective, other: &Collective) -> bool {
    let is_unknown = |unknown: u8, of: fn(&Collective) -> u8| of(one) == unknown || of(other) == unknown;
    match property {
        Property::Kind => one.op == other.op,
        Property::Root => one.peer == other.peer,
        Property::Reduction => {
            one.reduce == other.reduce || is_unknown(ReduceKind::Unknown as u8, |record| record.reduce)
        }
        Property::ElementType => {
            one.element_type == other.element_type
                || is_unknown(NO_ELEMENT_TYPE, |record| record.element_type)
        }
        Property::Size => one.elements_in == other.elements_in || !is_of_one_size(one.op),
    }
}

/// In what they differ first; `None`: they are all alike.
pub fn difference<'a>(entered: impl Iterator<Item = &'a Collective> + Clone) -> Option<Property> {
    let first = entered.clone().next()?;
    let are_alike = |property: &Property| entered.clone().all(|other| alike(*property, first, other));
    Property::ALL.into_iter().find(|property| !are_alike(property))
}

/// Whether all ranks put in equally much. Of other kinds the root alone puts something in, or each as much as it has.
fn is_of_one_size(op: u8) -> bool {
    matches!(
        CollectiveKind::try_from(op).unwrap_or_default(),
        CollectiveKind::AllReduce
            | CollectiveKind::AllReduceCoalesced
            | CollectiveKind::Broadcast
            | CollectiveKind::Reduce
            | CollectiveKind::AllGather
            | CollectiveKind::AllGatherIntoTensor
            | CollectiveKind::AllGatherCoalesced
            | CollectiveKind::AllGatherIntoTensorCoalesced
            | CollectiveKind::ReduceScatter
            | CollectiveKind::ReduceScatterTensor
            | CollectiveKind::ReduceScatterTensorCoalesced
    )
}
