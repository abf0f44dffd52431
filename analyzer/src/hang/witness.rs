//! What recordings and the flight recorder say of the same group: whether they agree.

use serde::Serialize;
use traincheck_schema::record::CollectiveKind;

use super::groups::{Entered, GroupEnd, Verdict};
use crate::relation::collective::claim::Property;

/// By what something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// What the agent recorded.
    Recording,
    /// Dumps of PyTorch's flight recorder alone.
    FlightRecorder,
}

/// What the flight recorder says of a group that is known by recordings.
#[derive(Clone, Debug, Serialize)]
pub struct Further {
    /// Of which ranks there are dumps.
    pub ranks: Vec<u32>,
    /// Whether that is what the recordings say.
    pub says: Agreement,
    /// How the group ended, by the dumps alone.
    pub verdict: Verdict,
}

/// How what the flight recorder says is related to what recordings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// It is the same.
    Same,
    /// It is of more ranks than were recorded.
    More,
    /// It does not record what is wrong.
    CannotTell,
    /// It is something else.
    Otherwise,
}

/// All groups, those in which something is wrong first.
pub(super) fn join(recorded: Vec<GroupEnd>, mut dumped: Vec<GroupEnd>) -> Vec<GroupEnd> {
    let with_further = |mut group: GroupEnd| {
        if let Some(at) = dumped.iter().position(|other| other.name == group.name) {
            let other = dumped.remove(at);
            let says = agreement(&group, &other);
            group.flight_recorder = Some(Further { ranks: other.ranks, says, verdict: other.verdict });
        }
        group
    };
    let mut groups: Vec<GroupEnd> = recorded.into_iter().map(with_further).collect();
    groups.append(&mut dumped);
    // Stable: recorded ones first, and by name.
    groups.sort_by_key(|group| !group.is_wrong());
    groups
}

fn agreement(recorded: &GroupEnd, dumped: &GroupEnd) -> Agreement {
    if dumped.ranks.iter().any(|rank| !recorded.ranks.contains(rank)) {
        return Agreement::More;
    }
    let one = Said::of(&recorded.verdict, &dumped.ranks);
    if one.is_same(&Said::of(&dumped.verdict, &dumped.ranks)) {
        Agreement::Same
    } else if is_beyond_it(&recorded.verdict, &dumped.verdict) {
        Agreement::CannotTell
    } else {
        Agreement::Otherwise
    }
}

/// Whether a verdict rests on what the flight recorder does not record: roots and reductions, and under gloo messages.
fn is_beyond_it(recorded: &Verdict, dumped: &Verdict) -> bool {
    match recorded {
        Verdict::Mismatch { differ_in: Property::Root | Property::Reduction, .. } => {
            !matches!(dumped, Verdict::Mismatch { .. })
        }
        Verdict::Message { .. } => !matches!(dumped, Verdict::Message { .. }),
        Verdict::Pending { entered } | Verdict::Mismatch { entered, .. } => {
            entered.iter().all(Entered::is_message) && matches!(dumped, Verdict::Alike { .. })
        }
        Verdict::Alike { .. } | Verdict::Missing { .. } => false,
    }
}

/// What a verdict says of some of the ranks.
struct Said<'a> {
    entered: Vec<&'a Entered>,
    absent: Vec<u32>,
    is_mismatch: bool,
}

impl<'a> Said<'a> {
    fn of(verdict: &'a Verdict, ranks: &[u32]) -> Said<'a> {
        let (entered, absent) = match verdict {
            Verdict::Alike { .. } => (&[][..], &[][..]),
            Verdict::Pending { entered } | Verdict::Message { waits: entered, .. } => (&entered[..], &[][..]),
            Verdict::Missing { entered, absent, .. } | Verdict::Mismatch { entered, absent, .. } => {
                (&entered[..], &absent[..])
            }
        };
        Said {
            entered: entered.iter().filter(|one| ranks.contains(&one.rank)).collect(),
            absent: absent.iter().copied().filter(|rank| ranks.contains(rank)).collect(),
            is_mismatch: matches!(verdict, Verdict::Mismatch { .. }),
        }
    }

    fn is_same(&self, other: &Said<'_>) -> bool {
        self.is_mismatch == other.is_mismatch
            && self.absent == other.absent
            && self.entered.len() == other.entered.len()
            && self.entered.iter().zip(&other.entered).all(|(one, other)| is_same(one, other))
    }
}

/// Whether a collective that was recorded is one that the flight recorder has. It counts others than the agent does, so their
/// numbers say nothing.
fn is_same(recorded: &Entered, dumped: &Entered) -> bool {
    let kind = done_as(&recorded.kind);
    // gloo makes one of each of a list of tensors.
    let is_divided = kind != recorded.kind;
    let is_unknown = recorded.element_type.is_none() || dumped.element_type.is_none();
    recorded.rank == dumped.rank
        && kind == done_as(&dumped.kind)
        && (is_divided || recorded.elements == dumped.elements)
        && (is_unknown || recorded.element_type == dumped.element_type)
}

/// What a backend may do in place of a collective, which is what its dump then has: gloo scatters what it has reduced for all, and
/// gathers into one tensor as into a list.
fn done_as(kind: &str) -> &str {
    let word = CollectiveKind::word;
    let is = |kinds: &[CollectiveKind]| kinds.iter().any(|one| word(*one) == kind);
    let as_all_reduce = [
        CollectiveKind::AllReduceCoalesced,
        CollectiveKind::AllReduceSparse,
        CollectiveKind::ReduceScatter,
        CollectiveKind::ReduceScatterTensor,
        CollectiveKind::ReduceScatterTensorCoalesced,
    ];
    let as_all_gather = [
        CollectiveKind::AllGatherIntoTensor,
        CollectiveKind::AllGatherCoalesced,
        CollectiveKind::AllGatherIntoTensorCoalesced,
    ];
    if is(&as_all_reduce) {
        word(CollectiveKind::AllReduce)
    } else if is(&as_all_gather) {
        word(CollectiveKind::AllGather)
    } else if is(&[CollectiveKind::AllToAllSingle]) {
        word(CollectiveKind::AllToAll)
    } else {
        kind
    }
}
