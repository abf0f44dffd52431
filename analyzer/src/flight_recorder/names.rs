//! What the flight recorder calls collectives and types of elements.

use traincheck_schema::record::CollectiveKind;

/// What it calls each kind, what PyTorch's own analysis knows first. Which one it is depends on the backend and the version.
const OPERATIONS: [(CollectiveKind, &[&str]); 19] = [
    (CollectiveKind::AllReduce, &["all_reduce"]),
    (CollectiveKind::AllReduceCoalesced, &["allreduce_coalesced"]),
    (CollectiveKind::Broadcast, &["broadcast", "_broadcast_oop"]),
    (CollectiveKind::Reduce, &["reduce", "_reduce_oop"]),
    (CollectiveKind::AllGather, &["all_gather", "all_gather_v"]),
    (
        CollectiveKind::AllGatherIntoTensor,
        &["_all_gather_base", "all_gather_single", "all_gather_into_tensor"],
    ),
    (CollectiveKind::AllGatherCoalesced, &["allgather_coalesced"]),
    (
        CollectiveKind::AllGatherIntoTensorCoalesced,
        &["all_gather_into_tensor_coalesced", "ALLGATHER_coalesced"],
    ),
    (CollectiveKind::ReduceScatter, &["reduce_scatter", "reduce_scatter_v"]),
    (
        CollectiveKind::ReduceScatterTensor,
        &["_reduce_scatter_base", "reduce_scatter_single", "reduce_scatter_tensor"],
    ),
    (
        CollectiveKind::ReduceScatterTensorCoalesced,
        &["reduce_scatter_tensor_coalesced", "REDUCE_SCATTER_coalesced"],
    ),
    (CollectiveKind::AllToAll, &["all_to_all"]),
    (CollectiveKind::AllToAllSingle, &["all_to_all_single", "all_to_all_v_single"]),
    (CollectiveKind::Gather, &["gather"]),
    (CollectiveKind::Scatter, &["scatter"]),
    (CollectiveKind::Barrier, &["barrier", "all_reduce_barrier"]),
    (CollectiveKind::Send, &["send"]),
    (CollectiveKind::Recv, &["recv"]),
    (CollectiveKind::MonitoredBarrier, &["monitored_barrier"]),
];

/// `c10::toString` of the types of elements that have a name here, and their numbers.
const ELEMENT_TYPES: [(&str, u8); 21] = [
    ("Byte", 0),
    ("Char", 1),
    ("Short", 2),
    ("Int", 3),
    ("Long", 4),
    ("Half", 5),
    ("Float", 6),
    ("Double", 7),
    ("ComplexHalf", 8),
    ("ComplexFloat", 9),
    ("ComplexDouble", 10),
    ("Bool", 11),
    ("BFloat16", 15),
    ("Float8_e5m2", 23),
    ("Float8_e4m3fn", 24),
    ("Float8_e5m2fnuz", 25),
    ("Float8_e4m3fnuz", 26),
    ("UInt16", 27),
    ("UInt32", 28),
    ("UInt64", 29),
    ("Float8_e8m0fnu", 44),
];

/// What kind of collective it calls so; `None`: none that has a name here.
pub fn kind(operation: &str) -> Option<CollectiveKind> {
    OPERATIONS.iter().find(|(_, names)| names.contains(&operation)).map(|(kind, _)| *kind)
}

/// What it calls a kind; `None`: it has no name for it.
pub fn operation(kind: CollectiveKind) -> Option<&'static str> {
    match kind {
        CollectiveKind::AllReduceSparse => operation(CollectiveKind::AllReduce),
        CollectiveKind::RecvAnySource => operation(CollectiveKind::Recv),
        // Its own analysis does not know it by its name.
        CollectiveKind::MonitoredBarrier => operation(CollectiveKind::Barrier),
        kind => {
            let found = OPERATIONS.iter().find(|(other, _)| *other == kind);
            found.and_then(|(_, names)| names.first().copied())
        }
    }
}

/// The number of the `c10::ScalarType` that it calls so.
pub fn element_type_number(name: &str) -> Option<u8> {
    ELEMENT_TYPES.iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
}

/// What it calls the `c10::ScalarType` with this number.
pub fn element_type(number: u8) -> Option<&'static str> {
    ELEMENT_TYPES.iter().find(|(_, other)| *other == number).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use traincheck_schema::record::element_type_name;

    use super::*;

    #[test]
    fn every_type_of_elements_that_has_a_name_has_one_there() {
        for number in 0..=u8::MAX {
            assert_eq!(element_type(number).is_some(), element_type_name(number).is_some(), "{number}");
        }
        assert_eq!(element_type_number("Long"), Some(4));
    }

    #[test]
    fn what_is_written_is_read_as_the_same_kind() {
        for (kind, names) in OPERATIONS {
            if kind != CollectiveKind::MonitoredBarrier {
                assert_eq!(operation(kind), names.first().copied());
            }
            assert!(names.iter().all(|name| super::kind(name) == Some(kind)));
        }
    }
}
