//! Dumps of the flight recorder as what hang compares.
//!
//! A dump is of one moment, at which the job may have gone on: what is missing in it counts only where somebody waits for it. And
//! it has the last entries alone, so those of all ranks begin at the first number that all of them still have.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use traincheck_schema::record::{
    Collective, CollectiveEvent, CollectiveKind, NO_ELEMENT_TYPE, ReduceKind, element_type_name,
};

use super::groups::{Entered, GroupEnd, Groups, Place};
use super::witness::Witness;
use crate::check::StackEntry;
use crate::flight_recorder::{Dump, Entry, names};
use crate::scene::came::Came;

/// What the flight recorder calls the group of all ranks.
pub(super) const OF_ALL: &str = "default_pg";
/// It ends a series of others, which have entries of their own.
const END_OF_SERIES: &str = "coalesced";
/// No job has more ranks; the number in the name of a file may be anything.
const MOST_RANKS: usize = 1 << 20;
/// Operations that are none of [`CollectiveKind`] are told apart by numbers from here on.
const OTHER_OPERATIONS: u8 = 128;

/// A dump that was read.
#[derive(Clone, Debug, Serialize)]
pub struct DumpEnd {
    /// Of which rank.
    pub rank: u32,
    /// Its file.
    pub file: String,
    /// The version of its format.
    pub version: String,
    /// How many collectives and messages it has.
    pub entries: u64,
}

impl DumpEnd {
    pub(super) fn of(dump: &Dump) -> DumpEnd {
        DumpEnd {
            rank: dump.rank,
            file: dump.file.display().to_string(),
            version: dump.version.clone(),
            entries: dump.entries.len() as u64,
        }
    }
}

/// Which group it is: its name, and its ranks where the dump tells them. Groups that divide the ranks may have one name.
type Key<'a> = (&'a str, Option<&'a [u32]>);

/// A group, as far as dumps tell of it.
struct Known<'a> {
    key: Key<'a>,
    /// What it is called here.
    name: String,
    backend: &'a str,
    size: u32,
    /// Its ranks in the job, in the order of those in the group.
    members: Vec<u32>,
    /// Collectives before this number are not in all dumps.
    first: u64,
    /// Whether all messages are there: else nobody knows which belong together.
    has_messages: bool,
}

/// What is listed of a group: for each dump that has some of it, by its place among the dumps, the places of the entries.
type Listed = BTreeMap<usize, Vec<usize>>;

/// How all groups ended, by dumps alone. `recorded`: what is known of them otherwise.
pub(super) fn groups(dumps: &[Dump], recorded: &[GroupEnd]) -> Vec<GroupEnd> {
    let operations = other_operations(dumps);
    let mut all: BTreeMap<Key<'_>, Listed> = BTreeMap::new();
    for (number, dump) in dumps.iter().enumerate() {
        for (at, entry) in dump.entries.iter().enumerate() {
            all.entry(key(dump, &entry.group)).or_default().entry(number).or_default().push(at);
        }
    }
    let mut of_one_name: BTreeMap<&str, u32> = BTreeMap::new();
    all.keys().for_each(|(name, _)| *of_one_name.entry(name).or_default() += 1);
    let have_unlisted: Vec<bool> = dumps.iter().map(has_unlisted).collect();
    let mut groups = Groups::default();
    for (key, listed) in &all {
        let known = Known::of(*key, of_one_name[key.0] == 1, listed, dumps, recorded);
        for (number, dump) in dumps.iter().enumerate() {
            match listed.get(&number) {
                Some(entries) => enter(&known, dump, entries, &operations, &mut groups),
                None if have_unlisted[number] => {}
                None => miss(&known, dump, &mut groups),
            }
        }
    }
    let describe = |rank: u32, came: &Came, _: bool| {
        let dump = dumps.iter().find(|dump| dump.rank == rank)?;
        let at = usize::try_from(came.record.call).ok()?;
        Some(described(rank, dump.entries.get(at)?, &came.record))
    };
    groups.end(Witness::FlightRecorder, &describe, &|_| false)
}

fn key<'a>(dump: &'a Dump, name: &'a str) -> Key<'a> {
    (name, dump.members.get(name).map(Vec::as_slice))
}

/// Numbers of operations that have none.
fn other_operations(dumps: &[Dump]) -> BTreeMap<&str, u8> {
    let entries = dumps.iter().flat_map(|dump| &dump.entries);
    let all: BTreeSet<&str> = entries.map(|entry| entry.operation.as_str()).collect();
    let others = all.into_iter().filter(|operation| names::kind(operation).is_none());
    others.zip((OTHER_OPERATIONS..=u8::MAX).chain(std::iter::repeat(u8::MAX))).collect()
}

impl<'a> Known<'a> {
    fn of(
        key: Key<'a>,
        is_only: bool,
        listed: &Listed,
        dumps: &'a [Dump],
        recorded: &[GroupEnd],
    ) -> Known<'a> {
        let entries_of = |(number, entries): (&usize, &Vec<usize>)| {
            let dump = &dumps[*number];
            entries.iter().map(|at| &dump.entries[*at]).collect::<Vec<_>>()
        };
        let entries: Vec<Vec<&'a Entry>> = listed.iter().map(entries_of).collect();
        let is_of_all = entries.iter().flatten().any(|entry| entry.description == OF_ALL);
        let highest = dumps.last().map_or(0, |dump| dump.rank);
        let members: Vec<u32> = match key.1 {
            Some(told) => told.to_vec(),
            // No dump of gloo tells which ranks there are.
            None if is_of_all => (0..=highest).take(MOST_RANKS).collect(),
            None => listed.keys().map(|number| dumps[*number].rank).collect(),
        };
        let name = if is_only { key.0.to_owned() } else { format!("{} of {members:?}", key.0) };
        let size = recorded.iter().find(|group| group.name == name).map_or(0, |group| group.size);
        let first = |entries: &Vec<&Entry>| {
            entries.iter().find(|entry| !entry.is_message).map(|entry| entry.sequence)
        };
        Known {
            key,
            name,
            backend: entries.iter().flatten().next().map_or("", |entry| entry.backend.as_str()),
            size: size.max(u32::try_from(members.len()).unwrap_or(u32::MAX)),
            first: entries.iter().filter_map(first).max().unwrap_or(0),
            has_messages: dumps.iter().all(|dump| dump.entries.first().is_none_or(|entry| entry.record == 0)),
            members,
        }
    }

    /// The place of a rank in the group.
    fn place_of(&self, rank: u32) -> Option<usize> {
        self.members.iter().position(|member| *member == rank)
    }

    fn place(&self, rank_in_group: u32) -> Place<'_> {
        Place { name: &self.name, backend: self.backend, size: self.size, rank_in_group }
    }
}

/// Takes in that a rank has entered nothing in a group in which it is.
fn miss(known: &Known<'_>, dump: &Dump, groups: &mut Groups) {
    // NCCL tells the ranks of a group in those only that have used it.
    let (name, ranks) = known.key;
    let is_in_another = dump.members.get(name).is_some_and(|own| ranks != Some(own));
    if let Some(place) = known.place_of(dump.rank).filter(|_| !is_in_another) {
        groups.is_in(dump.rank, known.place(u32::try_from(place).unwrap_or(dump.rank)));
    }
}

/// Takes in what a rank has entered in a group.
fn enter(
    known: &Known<'_>,
    dump: &Dump,
    entries: &[usize],
    operations: &BTreeMap<&str, u8>,
    groups: &mut Groups,
) {
    let place = known.place_of(dump.rank).and_then(|at| u32::try_from(at).ok());
    let place = known.place(place.unwrap_or(dump.rank));
    groups.is_in(dump.rank, place);
    let mut counts = [0_u32; 2];
    for &at in entries {
        let entry = &dump.entries[at];
        let is_compared = match entry.is_message {
            true => known.has_messages,
            false => entry.sequence >= known.first,
        };
        if !is_compared || entry.operation == END_OF_SERIES {
            continue;
        }
        let count = &mut counts[usize::from(entry.is_message)];
        *count += 1;
        let issued = record(entry, at, *count, operations);
        let came = |record| Came { record, stack: Vec::new(), steps: 0, before_step: false };
        groups.came(dump.rank, came(issued), place);
        if entry.has_ended {
            let ended = Collective { event: CollectiveEvent::Completed as u8, ..issued };
            groups.came(dump.rank, came(ended), place);
        }
    }
}

/// Whether the process has entered something in a group of which the dump lists nothing. What is not listed may have been entered
/// all the same then, as where dumps were asked for without what has ended.
fn has_unlisted(dump: &Dump) -> bool {
    let listed: BTreeSet<u64> = dump.entries.iter().filter_map(|entry| entry.group_number).collect();
    !dump.used.iter().all(|number| listed.contains(number))
}

/// As it would have been recorded. What the flight recorder does not say is not known.
fn record(entry: &Entry, at: usize, sequence: u32, operations: &BTreeMap<&str, u8>) -> Collective {
    let [from, to] = entry.between;
    let (op, peer) = match (names::kind(&entry.operation), from) {
        (Some(CollectiveKind::Send), _) => (CollectiveKind::Send as u8, to),
        (Some(CollectiveKind::Recv), None) => (CollectiveKind::RecvAnySource as u8, None),
        (Some(kind), from) => (kind as u8, from),
        (None, _) => (operations.get(entry.operation.as_str()).copied().unwrap_or_default(), None),
    };
    let [put_in, got_out] = &entry.tensors;
    let tensors = if put_in.count > 0 { put_in } else { got_out };
    let element_type = tensors.element_type.as_deref().and_then(names::element_type_number);
    Collective {
        event: CollectiveEvent::Issued as u8,
        op,
        call: at as u64,
        number: entry.record.saturating_add(1),
        sequence,
        elements_in: put_in.elements,
        elements_out: got_out.elements,
        peer: peer.and_then(|peer| i32::try_from(peer).ok()).unwrap_or(-1),
        tensors: tensors.count,
        reduce: ReduceKind::Unknown as u8,
        element_type: element_type.unwrap_or(NO_ELEMENT_TYPE),
        ..Collective::EMPTY
    }
}

fn described(rank: u32, entry: &Entry, record: &Collective) -> Entered {
    let kind = CollectiveKind::try_from(record.op).ok().map(|kind| kind.word().into());
    let receives = entry.operation == "recv";
    Entered {
        rank,
        sequence: u32::try_from(entry.sequence).unwrap_or(u32::MAX),
        kind: kind.unwrap_or_else(|| entry.operation.clone().into()),
        reduce: None,
        element_type: element_type_name(record.element_type),
        elements: if receives { record.elements_out } else { record.elements_in },
        peer: (record.peer >= 0).then_some(record.peer),
        iteration: None,
        failed: false,
        state: Some(entry.state.word()),
        stack: stack(entry),
    }
}

/// The calls around it, outermost first; those within `torch.distributed` are the collective itself.
fn stack(entry: &Entry) -> Vec<StackEntry> {
    let own = entry.frames.iter().take_while(|frame| frame.file.contains("/torch/distributed/")).count();
    let mut called = format!("torch.distributed.{}", entry.operation);
    let mut stack: Vec<StackEntry> = Vec::new();
    for frame in &entry.frames[own..] {
        let (file, function) = (Some(frame.file.clone()), Some(frame.function.clone()));
        stack.push(StackEntry { call: Some(called), file, line: Some(frame.line), function });
        called = frame.function.clone();
    }
    stack.reverse();
    stack
}
