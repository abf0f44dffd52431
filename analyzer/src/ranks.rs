//! The ranks of the job that a run is of: which of its processes belong together.

use std::collections::BTreeMap;

use traincheck_schema::record::DictKind;
use traincheck_schema::run::{Process, ProcessReader, Run};
use traincheck_schema::segment::{Frame, ProcessHeader, SegmentReader};

use crate::words::plural;

/// A process that has made no group in so many batches of records makes none.
const MOST_BATCHES: usize = 64;

/// What the processes of a run are to one another.
pub enum Ranks<'a> {
    /// There are no ranks, or there is one alone.
    Alone,
    /// All ranks of a job, in the order of their numbers.
    Job(Vec<&'a Process>),
    /// They cannot be compared, in words.
    Incomparable(String),
}

impl Ranks<'_> {
    /// Those of a run.
    pub fn of(run: &Run) -> Ranks<'_> {
        let mut ranks: BTreeMap<u32, Vec<&Process>> = BTreeMap::new();
        let (mut world, mut versions) = (Vec::new(), Vec::new());
        for ranked in ranked(run) {
            ranks.entry(ranked.rank).or_default().push(ranked.process);
            world.extend(ranked.world_size);
            versions.push(ranked.header.agent_version);
        }
        let Some(highest) = ranks.keys().next_back() else { return Ranks::Alone };
        let size = world.iter().copied().max().unwrap_or(0).max(highest.saturating_add(1));
        if size < 2 {
            return Ranks::Alone;
        }
        if world.iter().any(|one| *one != size) || ranks.values().any(|processes| processes.len() > 1) {
            let twice = ranks.iter().find(|(_, processes)| processes.len() > 1);
            return Ranks::Incomparable(match twice {
                Some((rank, processes)) => format!(
                    "rank {rank} was recorded {}: the folder has several jobs or attempts of one; record each into a \
                     folder of its own",
                    plural(processes.len() as u64, "time"),
                ),
                None => {
                    "its processes do not agree on how many ranks there are: the folder has several jobs; \
                         record each into a folder of its own"
                        .to_owned()
                }
            });
        }
        let missing: Vec<String> =
            (0..size).filter(|rank| !ranks.contains_key(rank)).take(8).map(|rank| rank.to_string()).collect();
        let absent = size as usize - ranks.len();
        if absent > 0 {
            let more = if absent > missing.len() { " and more" } else { "" };
            let which = if absent == 1 { "rank" } else { "ranks" };
            return Ranks::Incomparable(format!(
                "{which} {}{more} of {size} {} not recorded",
                missing.join(", "),
                if absent == 1 { "was" } else { "were" },
            ));
        }
        versions.sort_unstable();
        versions.dedup();
        if versions.len() > 1 {
            return Ranks::Incomparable(format!(
                "its ranks were recorded by different versions of the agent: {}",
                versions.join(", ")
            ));
        }
        Ranks::Job(ranks.into_values().flatten().collect())
    }
}

/// A process that has a rank.
pub struct Ranked<'a> {
    /// Its number.
    pub rank: u32,
    /// How many there are, where that is known.
    pub world_size: Option<u32>,
    /// The process.
    pub process: &'a Process,
    /// What it says of itself.
    pub header: ProcessHeader,
}

/// The processes of a run that have a rank: the one that their launcher gave them, else that in the first group of processes that
/// they made, which is the one of all.
pub fn ranked(run: &Run) -> Vec<Ranked<'_>> {
    let alone = run.processes.len() < 2;
    let of = |process| {
        let header = header(process)?;
        let group = || if alone { None } else { first_group(process) };
        let (rank, world_size) = match header.rank {
            Some(rank) => (rank, header.world_size),
            None => group().map(|(rank, size)| (rank, Some(size).filter(|size| *size > 0)))?,
        };
        Some(Ranked { rank, world_size, process, header })
    };
    run.processes.iter().filter_map(of).collect()
}

/// The rank in the first group of processes that a process made, and the size of the group.
fn first_group(process: &Process) -> Option<(u32, u32)> {
    let mut reader = process.reader();
    let group = |reader: &ProcessReader| {
        let groups = reader.dictionary().iter().filter(|entry| entry.kind == DictKind::ProcessGroup as u8);
        groups.min_by_key(|entry| entry.id).map(|entry| (entry.owner, entry.line))
    };
    for _ in 0..MOST_BATCHES {
        let read = reader.next_batch();
        if let Some(found) = group(&reader) {
            return Some(found);
        }
        read?.ok()?;
    }
    None
}

/// What a process says of itself at its start; `None`: it cannot be read.
pub fn header(process: &Process) -> Option<ProcessHeader> {
    match SegmentReader::open(process.segments.first()?).ok()?.next_frame()? {
        Ok(Frame::Header(header)) => Some(*header),
        _ => None,
    }
}
