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

/// How all groups ended, by dumps alone. `recorded`: what is known of them otherwise.
pub(super) fn groups(dumps: &[Dump], recorded: &[GroupEnd]) -> Vec<GroupEnd> {
    let operations = other_operations(dumps);
    let of_dump = |dump| entries_of(dump).map(move |entry| key(dump, &entry.group));
    let keys: BTreeSet<Key<'_>> = dumps.iter().flat_map(of_dump).collect();
    let mut groups = Groups::default();
    for &key in &keys {
        let is_only = keys.iter().filter(|(name, _)| *name == key.0).count() == 1;
        let known = Known::of(key, is_only, dumps, recorded);
        dumps.iter().for_each(|dump| enter(&known, dump, &operations, &mut groups));
    }
    let describe = |rank: u32, came: &Came, _: bool| {
        let dump = dumps.iter().find(|dump| dump.rank == rank)?;
        let at = usize::try_from(came.record.call).ok()?;
        Some(described(rank, dump.entries.get(at)?, &came.record))
    };
    groups.end(Witness::FlightRecorder, &describe, &|_| false)
}

fn entries_of(dump: &Dump) -> impl Iterator<Item = &Entry> {
    dump.entries.iter()
}

fn key<'a>(dump: &'a Dump, name: &'a str) -> Key<'a> {
    (name, dump.members.get(name).map(Vec::as_slice))
}

/// Numbers of operations that have none.
fn other_operations(dumps: &[Dump]) -> BTreeMap<&str, u8> {
    let all: BTreeSet<&str> =
        dumps.iter().flat_map(entries_of).map(|entry| entry.operation.as_str()).collect();
    let others = all.into_iter().filter(|operation| names::kind(operation).is_none());
    others.zip((OTHER_OPERATIONS..=u8::MAX).chain(std::iter::repeat(u8::MAX))).collect()
}

impl<'a> Known<'a> {
    fn of(key: Key<'a>, is_only: bool, dumps: &'a [Dump], recorded: &[GroupEnd]) -> Known<'a> {
        let in_it =
            |dump: &'a Dump| entries_of(dump).filter(move |entry| self::key(dump, &entry.group) == key);
        let is_of_all = dumps.iter().flat_map(in_it).any(|entry| entry.description == OF_ALL);
        let highest = dumps.last().map_or(0, |dump| dump.rank);
        let members: Vec<u32> = match key.1 {
            Some(told) => told.to_vec(),
            // No dump of gloo tells which ranks there are.
            None if is_of_all => (0..=highest).take(MOST_RANKS).collect(),
            None => dumps.iter().filter(|dump| in_it(dump).next().is_some()).map(|dump| dump.rank).collect(),
        };
        let name = if is_only { key.0.to_owned() } else { format!("{} of {members:?}", key.0) };
        let size = recorded.iter().find(|group| group.name == name).map_or(0, |group| group.size);
        let first = |dump| in_it(dump).find(|entry| !entry.is_message).map(|entry| entry.sequence);
        Known {
            key,
            name,
            backend: dumps.iter().flat_map(in_it).map(|entry| entry.backend.as_str()).next().unwrap_or(""),
            size: size.max(u32::try_from(members.len()).unwrap_or(u32::MAX)),
            first: dumps.iter().filter_map(first).max().unwrap_or(0),
            has_messages: dumps.iter().all(|dump| dump.entries.first().is_none_or(|entry| entry.record == 0)),
            members,
        }
    }
}

/// Takes in what a rank did in a group.
fn enter(known: &Known<'_>, dump: &Dump, operations: &BTreeMap<&str, u8>, groups: &mut Groups) {
    let of_it = |entry: &Entry| key(dump, &entry.group) == known.key;
    let all = || dump.entries.iter().enumerate().filter(|(_, entry)| of_it(entry));
    let place = known.members.iter().position(|rank| *rank == dump.rank);
    // NCCL tells the ranks of a group in those only that have used it. What is not listed may have been entered all the same,
    // where dumps were asked for without what has ended.
    let is_another =
        || dump.members.get(known.key.0).map(Vec::as_slice).is_some_and(|own| known.key.1 != Some(own));
    if all().next().is_none() && (place.is_none() || is_another() || has_unlisted(dump)) {
        return;
    }
    let place = Place {
        name: &known.name,
        backend: known.backend,
        size: known.size,
        rank_in_group: place.and_then(|at| u32::try_from(at).ok()).unwrap_or(dump.rank),
    };
    groups.is_in(dump.rank, place);
    let mut counts = [0_u32; 2];
    for (at, entry) in all() {
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
        let came = |record| Came { record, stack: Vec::new(), steps: 0 };
        groups.came(dump.rank, came(issued), place);
        if entry.has_ended {
            let ended = Collective { event: CollectiveEvent::Completed as u8, ..issued };
            groups.came(dump.rank, came(ended), place);
        }
    }
}

/// Whether the process has entered something in a group of which the dump lists nothing.
fn has_unlisted(dump: &Dump) -> bool {
    let is_listed = |number: &u64| dump.entries.iter().any(|entry| entry.group_number == Some(*number));
    !dump.used.iter().all(is_listed)
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
    let receives = matches!(entry.operation.as_str(), "recv");
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
