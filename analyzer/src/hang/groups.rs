//! The collectives of each group, side by side. A part of hang.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use traincheck_schema::record::{
    Collective, CollectiveEvent, CollectiveKind, NO_ELEMENT_TYPE, ReduceKind, element_type_name,
};

use crate::check::StackEntry;
use crate::engine::Came;
use crate::relation::numbers::Numbers;
use crate::source::Source;

/// Collectives of one rank that have not ended, so far as is known, are remembered up to this number: where a backend does
/// not tell ends, none ever does.
const MOST_PENDING: usize = 4096;

/// What a group last did together.
#[derive(Clone, Debug, Serialize)]
pub struct GroupEnd {
    /// Its name.
    pub name: String,
    /// `gloo`, ...
    pub backend: String,
    /// How many processes it has.
    pub size: u32,
    /// Of which ranks of the job there are recordings.
    pub ranks: Vec<u32>,
    /// How it ended.
    pub verdict: Verdict,
}

/// How the ranks of a group ended.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Verdict {
    /// All did the same, and all of it has ended.
    Alike {
        /// How many collectives.
        collectives: u32,
    },
    /// All entered the last one, which has not ended on all of them.
    Pending {
        /// Who, and what.
        entered: Vec<Entered>,
    },
    /// Some have entered a collective that others never came to.
    Missing {
        /// Who did, and what.
        entered: Vec<Entered>,
        /// Who did not.
        absent: Vec<u32>,
        /// What those wait for in the group instead: messages.
        elsewhere: Vec<Entered>,
    },
    /// Ranks entered different collectives at the same place in their order.
    Mismatch {
        /// In what they differ.
        differ_in: Difference,
        /// Who entered what.
        entered: Vec<Entered>,
        /// Who has entered none.
        absent: Vec<u32>,
    },
    /// A message that one waits for, or wants to be taken, that the other has not sent or not taken.
    Message {
        /// Who sends.
        from: u32,
        /// Who receives.
        to: u32,
        /// How many were sent.
        sent: u32,
        /// How many receives there were.
        received: u32,
        /// Who waits.
        waits: Vec<Entered>,
    },
}

/// In what collectives of two ranks differ, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// What is done.
    Kind,
    /// From or to whom.
    Root,
    /// How it is reduced.
    Reduction,
    /// The type of elements.
    ElementType,
    /// How many elements.
    Size,
}

/// A collective that a rank has entered.
#[derive(Clone, Debug, Serialize)]
pub struct Entered {
    /// The rank.
    pub rank: u32,
    /// Its place among the collectives of the group, from 1.
    pub sequence: u32,
    /// `all_reduce`, ...
    pub kind: &'static str,
    /// `sum`, ...
    pub reduce: Option<&'static str>,
    /// `float32`, ...
    pub element_type: Option<&'static str>,
    /// Elements that the rank puts in.
    pub elements: u64,
    /// The rank in the group of the root, of the destination or of the source.
    pub peer: Option<i32>,
    /// In which iteration it was entered.
    pub iteration: u32,
    /// Whether it has ended with an error.
    pub failed: bool,
    /// The calls around it, outermost first.
    pub stack: Vec<StackEntry>,
    #[serde(skip)]
    record: Collective,
}

/// All groups.
#[derive(Default)]
pub(super) struct Groups {
    by_name: BTreeMap<String, Group>,
}

#[derive(Default)]
struct Group {
    backend: String,
    size: u32,
    /// By rank of the job.
    sides: BTreeMap<u32, Side>,
    compared: u32,
    mismatch: Option<(Difference, Vec<Entered>)>,
    /// By sender and receiver, as ranks in the group: how many were sent and how many received.
    messages: BTreeMap<(u32, u32), [u32; 2]>,
}

/// What one rank did in a group.
#[derive(Default)]
struct Side {
    rank_in_group: u32,
    /// Entered and not yet compared.
    queue: VecDeque<Entered>,
    /// Entered and not known to have ended, by number.
    pending: BTreeMap<u64, Entered>,
    last: u32,
}

impl Verdict {
    /// Whether something is wrong.
    pub fn is_wrong(&self) -> bool {
        !matches!(self, Verdict::Alike { .. })
    }
}

impl Groups {
    /// Takes in what became of a collective of a rank; whether it was issued.
    pub(super) fn came(&mut self, rank: u32, came: &Came, source: &dyn Source, numbers: &Numbers) -> bool {
        let record = &came.record;
        let Some(entry) = source.entry(record.group) else { return false };
        let group = self.by_name.entry(entry.text.clone()).or_default();
        (group.backend, group.size) = (entry.type_name.clone(), entry.line);
        let side = group.sides.entry(rank).or_default();
        side.rank_in_group = entry.owner;
        match CollectiveEvent::try_from(record.event) {
            Ok(CollectiveEvent::Issued) => {
                let entered = Entered::of(rank, came, source, numbers);
                if side.pending.len() >= MOST_PENDING {
                    side.pending.pop_first();
                }
                side.pending.insert(record.number, entered.clone());
                if entered.kind().is_point_to_point() {
                    group.message(rank, record);
                } else {
                    side.last = record.sequence;
                    side.queue.push_back(entered);
                    group.compare();
                }
                true
            }
            Ok(CollectiveEvent::Completed) => {
                side.pending.remove(&record.number);
                false
            }
            Ok(CollectiveEvent::Failed) => {
                if let Some(entered) = side.pending.get_mut(&record.number) {
                    entered.failed = true;
                }
                false
            }
            Ok(CollectiveEvent::Waited | CollectiveEvent::FutureTaken) | Err(_) => false,
        }
    }

    /// How all of them ended, those in which something is wrong first.
    pub(super) fn end(self) -> Vec<GroupEnd> {
        let mut ends: Vec<GroupEnd> = self.by_name.into_iter().map(|(name, group)| group.end(name)).collect();
        // Stable: by name where both are alike.
        ends.sort_by_key(|end| !end.verdict.is_wrong());
        ends
    }
}

impl Group {
    fn is_whole(&self) -> bool {
        self.sides.len() == self.size as usize
    }

    /// Compares what all ranks have entered.
    fn compare(&mut self) {
        while self.mismatch.is_none()
            && self.is_whole()
            && self.sides.values().all(|side| !side.queue.is_empty())
        {
            let entered: Vec<Entered> =
                self.sides.values_mut().filter_map(|side| side.queue.pop_front()).collect();
            self.compared += 1;
            if let Some(difference) = difference(&entered) {
                self.mismatch = Some((difference, entered));
            }
        }
        if self.mismatch.is_some() {
            // What comes after it is out of step.
            self.sides.values_mut().for_each(|side| side.queue.clear());
        }
    }

    fn message(&mut self, rank: u32, record: &Collective) {
        let Some(own) = self.sides.get(&rank).map(|side| side.rank_in_group) else { return };
        let Ok(peer) = u32::try_from(record.peer) else { return };
        if record.op == CollectiveKind::Send as u8 {
            self.messages.entry((own, peer)).or_default()[0] += 1;
        } else {
            self.messages.entry((peer, own)).or_default()[1] += 1;
        }
    }

    fn end(mut self, name: String) -> GroupEnd {
        let ranks: Vec<u32> = self.sides.keys().copied().collect();
        let verdict = self.verdict();
        GroupEnd { name, backend: self.backend, size: self.size, ranks, verdict }
    }

    fn verdict(&mut self) -> Verdict {
        let fewest = self.sides.values().map(|side| side.last).min().unwrap_or(0);
        if let Some((differ_in, entered)) = self.mismatch.take() {
            return Verdict::Mismatch { differ_in, entered, absent: Vec::new() };
        }
        // Who is beyond the last one that all have entered waits for the others there.
        let mut waiting: Vec<Entered> = self
            .sides
            .values_mut()
            .filter_map(|side| side.queue.drain(..).find(|entered| entered.sequence == fewest + 1))
            .collect();
        if !waiting.is_empty() {
            self.say_what_failed(&mut waiting);
            let entered: BTreeSet<u32> = waiting.iter().map(|entered| entered.rank).collect();
            let absent: Vec<u32> =
                self.sides.keys().copied().filter(|rank| !entered.contains(rank)).collect();
            return match difference(&waiting) {
                Some(differ_in) => Verdict::Mismatch { differ_in, entered: waiting, absent },
                None => {
                    let pending = |rank| self.sides.get(rank)?.pending.values().next().cloned();
                    let elsewhere = absent.iter().filter_map(pending).collect();
                    Verdict::Missing { entered: waiting, absent, elsewhere }
                }
            };
        }
        if let Some(message) = self.unmatched_message() {
            return message;
        }
        let pending = self.sides.values_mut().filter_map(|side| side.pending.pop_first());
        let entered: Vec<Entered> = pending.map(|(_, entered)| entered).collect();
        match entered.is_empty() {
            true => Verdict::Alike { collectives: fewest },
            false => Verdict::Pending { entered },
        }
    }

    fn say_what_failed(&self, entered: &mut [Entered]) {
        for one in entered {
            let pending = self.sides.get(&one.rank).and_then(|side| side.pending.get(&one.record.number));
            one.failed = pending.is_some_and(|pending| pending.failed);
        }
    }

    /// The first message that somebody waits for, of which there is only one end.
    fn unmatched_message(&self) -> Option<Verdict> {
        let rank = |in_group: u32| {
            self.sides.iter().find(|(_, side)| side.rank_in_group == in_group).map(|(rank, _)| *rank)
        };
        let waits = |of: u32, peer: u32| {
            let side = self.sides.get(&of)?;
            let between =
                |one: &&Entered| one.kind().is_point_to_point() && one.peer == i32::try_from(peer).ok();
            side.pending.values().find(between).cloned()
        };
        self.messages.iter().filter(|(_, [sent, received])| sent != received).find_map(
            |(&(from, to), &[sent, received])| {
                let (sender, receiver) = (rank(from)?, rank(to)?);
                let waits: Vec<Entered> =
                    [waits(sender, to), waits(receiver, from)].into_iter().flatten().collect();
                let message = Verdict::Message { from: sender, to: receiver, sent, received, waits };
                matches!(&message, Verdict::Message { waits, .. } if !waits.is_empty()).then_some(message)
            },
        )
    }
}

impl Entered {
    fn of(rank: u32, came: &Came, source: &dyn Source, numbers: &Numbers) -> Entered {
        let record = came.record;
        let kind = CollectiveKind::try_from(record.op).unwrap_or_default();
        Entered {
            rank,
            sequence: record.sequence,
            kind: kind.word(),
            reduce: ReduceKind::try_from(record.reduce)
                .ok()
                .filter(|reduce| !matches!(reduce, ReduceKind::None | ReduceKind::Unknown))
                .map(ReduceKind::word),
            element_type: element_type_name(record.element_type),
            elements: record.elements_in.max(if kind == CollectiveKind::Recv {
                record.elements_out
            } else {
                0
            }),
            peer: (record.peer >= 0).then_some(record.peer),
            iteration: record.iteration,
            failed: false,
            stack: came.stack.iter().map(|frame| StackEntry::of(frame, numbers, source)).collect(),
            record,
        }
    }

    fn kind(&self) -> CollectiveKind {
        CollectiveKind::try_from(self.record.op).unwrap_or_default()
    }
}

/// In what collectives that ranks entered at the same place differ.
fn difference(entered: &[Entered]) -> Option<Difference> {
    let (first, others) = entered.split_first()?;
    others.iter().filter_map(|other| pair(first, other)).min()
}

fn pair(one: &Entered, other: &Entered) -> Option<Difference> {
    let (a, b) = (&one.record, &other.record);
    let known = |x: u8, y: u8| x != NO_ELEMENT_TYPE && y != NO_ELEMENT_TYPE;
    let reduced = |reduce: u8| reduce != ReduceKind::Unknown as u8;
    if a.op != b.op {
        Some(Difference::Kind)
    } else if a.peer != b.peer {
        Some(Difference::Root)
    } else if a.reduce != b.reduce && reduced(a.reduce) && reduced(b.reduce) {
        Some(Difference::Reduction)
    } else if a.element_type != b.element_type && known(a.element_type, b.element_type) {
        Some(Difference::ElementType)
    } else {
        (a.elements_in != b.elements_in && is_of_one_size(one.kind())).then_some(Difference::Size)
    }
}

/// Whether all ranks put in equally much. Of others the root alone puts something in, or each as much as it has.
fn is_of_one_size(kind: CollectiveKind) -> bool {
    matches!(
        kind,
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
