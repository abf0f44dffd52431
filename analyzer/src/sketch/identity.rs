//! What tells one run from another: who recorded it and when, and where it lies.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use traincheck_schema::run::Run;

use crate::ranks;

/// What tells the recording of a process from every other one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The host, as its files call it.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it began, ns since 1970.
    pub wall_ns: u64,
    /// The same, `CLOCK_MONOTONIC`, ns.
    pub monotonic_ns: u64,
}

/// What tells a run from every other one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Its folder, without links, as it was called where the run was counted.
    pub folder: String,
    /// The recordings of its processes, as far as they can be told.
    pub recordings: Vec<Recording>,
}

impl Identity {
    /// That of a run on disk.
    pub fn of(run: &Run) -> Identity {
        let folder = run.folder.canonicalize();
        let folder = folder.as_deref().unwrap_or(&run.folder).to_string_lossy().into_owned();
        let headers = run.processes.iter().filter_map(ranks::header).filter(|header| header.wall_ns != 0);
        let recording = headers.map(|header| Recording {
            host: header.host,
            pid: header.pid,
            wall_ns: header.wall_ns,
            monotonic_ns: header.monotonic_ns,
        });
        let mut recordings: Vec<Recording> = recording.collect();
        recordings.sort_unstable();
        recordings.dedup();
        Identity { folder, recordings }
    }
}

/// Which of the runs were already given, by the same or another way (a link, a copy, one of its segments), and where: places
/// in `runs`. Where it cannot be told who recorded them, one folder is one run; else another machine may have called its
/// folder the same.
pub fn given_twice(runs: &[&Identity]) -> Vec<(usize, usize)> {
    let mut recordings: HashMap<&Recording, usize> = HashMap::new();
    let mut folders: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut twice = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let in_folder = folders.entry(&run.folder).or_default();
        let untold = |earlier: &&usize| run.recordings.is_empty() || runs[**earlier].recordings.is_empty();
        let same_folder = in_folder.iter().find(untold).copied();
        let same = run.recordings.iter().filter_map(|one| recordings.get(one).copied()).chain(same_folder);
        twice.extend(same.min().map(|earlier| (at, earlier)));
        in_folder.push(at);
        for recording in &run.recordings {
            recordings.entry(recording).or_insert(at);
        }
    }
    twice
}
