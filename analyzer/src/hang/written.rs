//! What a run recorded of collectives, as dumps of the flight recorder: for tools that read those.
//!
//! Messages are left out: PyTorch's analysis takes each of them for a collective of the whole group.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;

use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind};

use super::dumps::OF_ALL;
use crate::check::StackEntry;
use crate::collectives::{Walked, walk};
use crate::flight_recorder::{Dump, Entry, Frame, State, Tensors, names};
use crate::job::Member;
use crate::relation::numbers::Numbers;
use crate::scene::came::Came;

/// The version of the format that is written.
const VERSION: &str = "2.10";
/// So many are written of each rank, as many as the flight recorder keeps if nothing else is said.
const MOST_ENTRIES: usize = 2000;
/// The name of the group of all ranks.
const FIRST_GROUP: &str = "0";

/// What one rank did.
#[derive(Default)]
struct Did {
    last: VecDeque<(u64, Came)>,
    /// How many collectives of a whole group it has issued.
    issued: u64,
    /// Those among the last that have ended, by number.
    ended: HashSet<u64>,
}

/// The ranks of a job of a group: by their rank in it.
type Members = BTreeMap<String, BTreeMap<u32, u32>>;

/// Reads all ranks of a job and makes a dump of each. `clocks`: for each rank what its machine's clock is ahead of its
/// monotonic one, ns.
pub fn dumps(members: Vec<Member<'_>>, clocks: &[i128]) -> Vec<Dump> {
    let mut numbers = Numbers::default();
    let mut did: BTreeMap<u32, Did> = BTreeMap::new();
    let mut groups = Members::new();
    let walked = walk(members, &mut numbers, |came, rank, source| {
        let Some(group) = source.entry(came.record.group) else { return false };
        groups.entry(group.text.clone()).or_default().insert(group.owner, rank);
        did.entry(rank).or_default().take(came)
    });
    let dump = |(walked, clock): (&Walked<'_>, &i128)| {
        let rank = walked.member.number;
        let of_rank = did.get(&rank);
        let entries = of_rank.into_iter().flat_map(|did| did.last.iter().map(move |one| (did, one)));
        let entries = entries.filter_map(|(did, (place, came))| {
            let has_ended = did.ended.contains(&came.record.number);
            entry(*place, came, has_ended, *clock, walked, &numbers)
        });
        let in_it = |(name, ranks): (&String, &BTreeMap<u32, u32>)| {
            let ranks: Vec<u32> = ranks.values().copied().collect();
            ranks.contains(&rank).then(|| (name.clone(), ranks))
        };
        Dump {
            rank,
            file: PathBuf::new(),
            version: VERSION.to_owned(),
            entries: entries.collect(),
            members: groups.iter().filter_map(in_it).collect(),
            used: Vec::new(),
        }
    };
    walked.iter().zip(clocks).map(dump).collect()
}

impl Did {
    /// Takes in what became of a collective; whether it was issued.
    fn take(&mut self, came: Came) -> bool {
        let event = CollectiveEvent::try_from(came.record.event);
        if is_message(&came.record) {
            return matches!(event, Ok(CollectiveEvent::Issued));
        }
        match event {
            Ok(CollectiveEvent::Issued) => {
                self.last.push_back((self.issued, came));
                self.issued += 1;
                if self.last.len() > MOST_ENTRIES
                    && let Some((_, oldest)) = self.last.pop_front()
                {
                    self.ended.remove(&oldest.record.number);
                }
                true
            }
            Ok(CollectiveEvent::Completed) => {
                let number = came.record.number;
                if self.last.front().is_some_and(|(_, oldest)| oldest.record.number <= number) {
                    self.ended.insert(number);
                }
                false
            }
            _ => false,
        }
    }
}

fn is_message(record: &Collective) -> bool {
    CollectiveKind::try_from(record.op).is_ok_and(CollectiveKind::is_point_to_point)
}

/// One that has a name there.
fn entry(
    place: u64,
    came: &Came,
    has_ended: bool,
    clock: i128,
    walked: &Walked<'_>,
    numbers: &Numbers,
) -> Option<Entry> {
    let source = &*walked.member.source;
    let record = &came.record;
    let kind = CollectiveKind::try_from(record.op).ok()?;
    let group = source.entry(record.group)?;
    let stack = came.stack.iter().rev().map(|frame| StackEntry::of(frame, numbers, source));
    let mut frames: Vec<Frame> = stack.filter_map(frame).collect();
    // A call that is no function of Python's has no line of its own.
    frames.dedup();
    let is_of_all = group.text == FIRST_GROUP;
    Some(Entry {
        record: place,
        group_number: group.text.parse().ok(),
        group: group.text.clone(),
        description: if is_of_all { OF_ALL } else { "undefined" }.to_owned(),
        backend: group.type_name.clone(),
        operation: names::operation(kind)?.to_owned(),
        between: [None, None],
        sequence: record.sequence.into(),
        is_message: false,
        tensors: [record.elements_in, record.elements_out].map(|elements| tensors(record, elements)),
        state: if has_ended { State::Completed } else { State::Scheduled },
        has_ended,
        created_ns: u64::try_from(i128::from(record.time) + clock).unwrap_or(0),
        frames,
    })
}

fn tensors(record: &Collective, elements: u64) -> Tensors {
    let is_none = elements == 0;
    let element_type = names::element_type(record.element_type).filter(|_| !is_none);
    Tensors { count: u32::from(!is_none), elements, element_type: element_type.map(str::to_owned) }
}

fn frame(entry: StackEntry) -> Option<Frame> {
    let function = entry.function.unwrap_or_else(|| "?".to_owned());
    Some(Frame { function, file: entry.file?, line: entry.line? })
}
