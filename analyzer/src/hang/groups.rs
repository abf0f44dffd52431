//! The collectives of each group, side by side. A part of hang.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use serde::Serialize;
use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind, ReduceKind, element_type_name};

use crate::check::StackEntry;
use crate::relation::collective::alike::{alike, difference};
use crate::relation::collective::claim::Property;
use crate::relation::numbers::Numbers;
use crate::scene::came::Came;
use crate::source::Source;

use super::witness::{Further, Witness};

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
    /// Of which ranks of the job there are recordings, or dumps.
    pub ranks: Vec<u32>,
    /// By what all this is known.
    pub seen_by: Witness,
    /// How it ended.
    pub verdict: Verdict,
    /// Of one that is known by recordings what the flight recorder says of it.
    pub flight_recorder: Option<Further>,
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
        differ_in: Property,
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

/// A collective that a rank has entered.
#[derive(Clone, Debug, Serialize)]
pub struct Entered {
    /// The rank.
    pub rank: u32,
    /// Its place among the collectives of the group, from 1.
    pub sequence: u32,
    /// `all_reduce`, ...
    pub kind: Cow<'static, str>,
    /// `sum`, ...
    pub reduce: Option<&'static str>,
    /// `float32`, ...
    pub element_type: Option<&'static str>,
    /// Elements that the rank puts in.
    pub elements: u64,
    /// The rank in the group of the root, of the destination or of the source.
    pub peer: Option<i32>,
    /// In which iteration it was entered; `None`: the flight recorder does not know iterations.
    pub iteration: Option<u32>,
    /// Whether it has ended with an error.
    pub failed: bool,
    /// How far it has come, where the flight recorder says it: `scheduled`, `started`, ...
    pub state: Option<&'static str>,
    /// The calls around it, outermost first.
    pub stack: Vec<StackEntry>,
}

/// One that a rank has entered, as it was recorded.
#[derive(Clone)]
struct Entry {
    rank: u32,
    came: Rc<Came>,
    failed: bool,
    /// The thread that waits for it.
    waited_by: Option<u16>,
}

/// A group, as a rank that is in it knows it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// `gloo`, ...
    pub backend: &'a str,
    /// How many processes it has.
    pub size: u32,
    /// The rank of this one in it.
    pub rank_in_group: u32,
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
    mismatch: Option<(Property, Vec<Entry>)>,
    /// By sender and receiver, as ranks in the group, and tag.
    messages: BTreeMap<(u32, u32, i32), Messages>,
    /// Ranks in the group that have received from whoever sends: which message it was is not known.
    receive_from_any: BTreeSet<u32>,
}

/// What one rank sends another.
#[derive(Default)]
struct Messages {
    /// How many were sent, and how many received.
    counts: [u32; 2],
    /// Of which only one end was seen so far: those sent, and those received.
    open: [VecDeque<Entry>; 2],
}

/// What one rank did in a group.
#[derive(Default)]
struct Side {
    rank_in_group: u32,
    /// Entered and not yet compared.
    queue: VecDeque<Entry>,
    /// Entered and not known to have ended, by number.
    pending: BTreeMap<u64, Entry>,
    last: u32,
}

/// Makes of what a rank has entered, and of whether it failed, what is said of it.
pub(super) type Describe<'a> = dyn Fn(u32, &Came, bool) -> Option<Entered> + 'a;

impl GroupEnd {
    /// Whether something is wrong in it, by whatever it is known.
    pub fn is_wrong(&self) -> bool {
        let further = self.flight_recorder.as_ref();
        self.verdict.is_wrong() || further.is_some_and(|further| further.verdict.is_wrong())
    }
}

impl Verdict {
    /// Whether something is wrong.
    pub fn is_wrong(&self) -> bool {
        !matches!(self, Verdict::Alike { .. })
    }
}

impl Groups {
    /// Takes in that a rank is in a group, whether or not it has entered anything there.
    pub(super) fn is_in(&mut self, rank: u32, place: Place<'_>) {
        if !self.by_name.contains_key(place.name) {
            let group = Group { backend: place.backend.to_owned(), size: place.size, ..Group::default() };
            self.by_name.insert(place.name.to_owned(), group);
        }
        if let Some(group) = self.by_name.get_mut(place.name) {
            group.sides.entry(rank).or_default().rank_in_group = place.rank_in_group;
        }
    }

    /// Takes in what became of a collective of a rank; whether it was issued.
    pub(super) fn came(&mut self, rank: u32, came: Came, place: Place<'_>) -> bool {
        let record = came.record;
        self.is_in(rank, place);
        let Some(group) = self.by_name.get_mut(place.name) else { return false };
        let side = group.sides.entry(rank).or_default();
        match CollectiveEvent::try_from(record.event) {
            Ok(CollectiveEvent::Issued) => {
                let entered = Entry { rank, came: Rc::new(came), failed: false, waited_by: None };
                // A thread that goes on has what it waited for.
                side.pending.retain(|_, before| before.failed || before.waited_by != Some(record.thread));
                if side.pending.len() >= MOST_PENDING {
                    side.pending.pop_first();
                }
                side.pending.insert(record.number, entered.clone());
                if entered.kind().is_point_to_point() {
                    group.message(entered);
                } else {
                    side.last = record.sequence;
                    side.queue.push_back(entered);
                    group.compare();
                }
                return true;
            }
            Ok(CollectiveEvent::Completed) => _ = side.pending.remove(&record.number),
            Ok(CollectiveEvent::Failed) => {
                if let Some(entered) = side.pending.get_mut(&record.number) {
                    entered.failed = true;
                }
            }
            Ok(CollectiveEvent::Waited) => {
                if let Some(entered) = side.pending.get_mut(&record.number) {
                    entered.waited_by = Some(record.thread);
                }
            }
            Ok(CollectiveEvent::FutureTaken) | Err(_) => {}
        }
        false
    }

    /// How all of them ended, those in which something is wrong first.
    /// `is_whole`: whether the recording of a rank is.
    pub(super) fn end(
        self,
        seen_by: Witness,
        describe: &Describe<'_>,
        is_whole: &dyn Fn(u32) -> bool,
    ) -> Vec<GroupEnd> {
        let end = |(name, group): (String, Group)| group.end(name, seen_by, describe, is_whole);
        let mut ends: Vec<GroupEnd> = self.by_name.into_iter().map(end).collect();
        // Stable: by name where both are alike.
        ends.sort_by_key(|end| !end.is_wrong());
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
            let entered: Vec<Entry> =
                self.sides.values_mut().filter_map(|side| side.queue.pop_front()).collect();
            let records = entered.iter().map(|entry| &entry.came.record);
            self.mismatch = difference(records).map(|property| (property, entered));
        }
        if self.mismatch.is_some() {
            // What comes after it is out of step.
            self.sides.values_mut().for_each(|side| side.queue.clear());
        }
    }

    /// A rank sends or receives: the n-th of what one sends another with one tag is the n-th that this receives.
    fn message(&mut self, entry: Entry) {
        let Some(own) = self.sides.get(&entry.rank).map(|side| side.rank_in_group) else { return };
        if entry.kind() == CollectiveKind::RecvAnySource {
            self.receive_from_any.insert(own);
        }
        let Ok(peer) = u32::try_from(entry.came.record.peer) else { return };
        let (between, end) = match entry.kind() {
            CollectiveKind::Send => ((own, peer), 0),
            _ => ((peer, own), 1),
        };
        let tag = entry.came.record.tag;
        let messages = self.messages.entry((between.0, between.1, tag)).or_default();
        messages.counts[end] += 1;
        let Some(other) = messages.open[1 - end].pop_front() else {
            messages.open[end].push_back(entry);
            if messages.open[end].len() > MOST_PENDING {
                messages.open[end].pop_front();
            }
            return;
        };
        let (sent, received) = if end == 0 { (entry, other) } else { (other, entry) };
        // What is sent goes in, and comes out where it is received.
        let received_as = Collective {
            elements_in: received.came.record.elements_out,
            op: sent.came.record.op,
            ..received.came.record
        };
        let differ = [Property::ElementType, Property::Size].into_iter().find(|property| match property {
            Property::Size => sent.came.record.elements_in != received_as.elements_in,
            _ => !alike(*property, &sent.came.record, &received_as),
        });
        let is_known = !self.receive_from_any.contains(&between.1);
        if let Some(property) = differ.filter(|_| self.mismatch.is_none() && is_known) {
            self.mismatch = Some((property, vec![sent, received]));
        }
    }

    fn end(
        mut self,
        name: String,
        seen_by: Witness,
        describe: &Describe<'_>,
        is_whole: &dyn Fn(u32) -> bool,
    ) -> GroupEnd {
        let ranks: Vec<u32> = self.sides.keys().copied().collect();
        let verdict = self.verdict(describe, is_whole);
        let (backend, size) = (self.backend, self.size);
        GroupEnd { name, backend, size, ranks, seen_by, verdict, flight_recorder: None }
    }

    fn verdict(&mut self, describe: &Describe<'_>, is_whole: &dyn Fn(u32) -> bool) -> Verdict {
        let described = |entries: &[Entry]| -> Vec<Entered> {
            entries
                .iter()
                .filter_map(|entry| describe(entry.rank, &entry.came, self.has_failed(entry)))
                .collect()
        };
        if let Some((differ_in, entered)) = &self.mismatch {
            return Verdict::Mismatch {
                differ_in: *differ_in,
                entered: described(entered),
                absent: Vec::new(),
            };
        }
        // Who is beyond the last one that all have entered waits for the others there.
        let fewest = self.sides.values().map(|side| side.last).min().unwrap_or(0);
        let next =
            |side: &Side| side.queue.iter().find(|entry| entry.came.record.sequence == fewest + 1).cloned();
        let waiting: Vec<Entry> = self.sides.values().filter_map(next).collect();
        let here: BTreeSet<u32> = waiting.iter().map(|entry| entry.rank).collect();
        let absent: Vec<u32> = self.sides.keys().copied().filter(|rank| !here.contains(rank)).collect();
        let is_pending = |entry: &Entry| {
            self.sides
                .get(&entry.rank)
                .is_some_and(|side| side.pending.contains_key(&entry.came.record.number))
        };
        // Where nobody waits any more for what the others have entered, the rest of their recordings is missing.
        let is_cut_off = !waiting.iter().any(is_pending) && !absent.iter().any(|&rank| is_whole(rank));
        if !waiting.is_empty() && !is_cut_off {
            let entered = described(&waiting);
            return match difference(waiting.iter().map(|entry| &entry.came.record)) {
                Some(differ_in) => Verdict::Mismatch { differ_in, entered, absent },
                None => {
                    let pending = |rank| self.sides.get(rank)?.pending.values().next().cloned();
                    let elsewhere: Vec<Entry> = absent.iter().filter_map(pending).collect();
                    Verdict::Missing { entered, absent, elsewhere: described(&elsewhere) }
                }
            };
        }
        if let Some((from, to, [sent, received], waits)) = self.unmatched_message() {
            return Verdict::Message { from, to, sent, received, waits: described(&waits) };
        }
        // What others have gone on from has ended, though the record of it may be cut off.
        let furthest = self.sides.values().map(|side| side.last).max().unwrap_or(0);
        let is_cut_off = |entry: &Entry| {
            let is_passed = !entry.kind().is_point_to_point() && entry.came.record.sequence < furthest;
            is_passed && !entry.failed && !is_whole(entry.rank)
        };
        let pending = self
            .sides
            .values()
            .filter_map(|side| side.pending.values().find(|entry| !is_cut_off(entry)).cloned());
        let entered = described(&pending.collect::<Vec<_>>());
        match entered.is_empty() {
            true => Verdict::Alike { collectives: fewest },
            false => Verdict::Pending { entered },
        }
    }

    /// Whether what a rank has entered is known to have failed.
    fn has_failed(&self, entry: &Entry) -> bool {
        let pending =
            self.sides.get(&entry.rank).and_then(|side| side.pending.get(&entry.came.record.number));
        pending.is_some_and(|pending| pending.failed)
    }

    /// The first message that somebody waits for, of which there is only one end: the ranks that send and receive, how many
    /// were sent and received, and who waits.
    fn unmatched_message(&self) -> Option<(u32, u32, [u32; 2], Vec<Entry>)> {
        let rank = |in_group: u32| {
            self.sides.iter().find(|(_, side)| side.rank_in_group == in_group).map(|(rank, _)| *rank)
        };
        let waits = |of: u32, peer: u32| {
            let between = |entry: &&Entry| {
                entry.kind().is_point_to_point() && u32::try_from(entry.came.record.peer) == Ok(peer)
            };
            self.sides.get(&of)?.pending.values().find(between).cloned()
        };
        let known = self.messages.iter().filter(|((_, to, _), _)| !self.receive_from_any.contains(to));
        let counts = known.map(|(&(from, to, _), messages)| ((from, to), messages.counts));
        let unmatched = counts.filter(|(_, [sent, received])| sent != received);
        unmatched
            .filter_map(|((from, to), counts)| {
                let (sender, receiver) = (rank(from)?, rank(to)?);
                let waits: Vec<Entry> =
                    [waits(sender, to), waits(receiver, from)].into_iter().flatten().collect();
                (!waits.is_empty()).then_some((sender, receiver, counts, waits))
            })
            .next()
    }
}

impl Entry {
    fn kind(&self) -> CollectiveKind {
        CollectiveKind::try_from(self.came.record.op).unwrap_or_default()
    }
}

impl Entered {
    /// Whether it is a message.
    pub(super) fn is_message(&self) -> bool {
        matches!(&*self.kind, "send" | "recv" | "recv_any_source")
    }

    /// What is said of a collective that a rank has entered.
    pub(super) fn of(
        rank: u32,
        came: &Came,
        failed: bool,
        numbers: &Numbers,
        source: &dyn Source,
    ) -> Entered {
        let record = came.record;
        let kind = CollectiveKind::try_from(record.op).unwrap_or_default();
        let reduce = ReduceKind::try_from(record.reduce).ok();
        Entered {
            rank,
            sequence: record.sequence,
            kind: kind.word().into(),
            reduce: reduce
                .filter(|reduce| !matches!(reduce, ReduceKind::None | ReduceKind::Unknown))
                .map(ReduceKind::word),
            element_type: element_type_name(record.element_type),
            elements: if kind == CollectiveKind::Recv { record.elements_out } else { record.elements_in },
            peer: (record.peer >= 0).then_some(record.peer),
            iteration: Some(record.iteration),
            failed,
            state: None,
            stack: came.stack.iter().map(|frame| StackEntry::of(frame, numbers, source)).collect(),
        }
    }
}
