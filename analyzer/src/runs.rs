//! Runs on disk as sources, and what is wrong with them when they cannot be read.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use traincheck_schema::record::DictEntry;
use traincheck_schema::run::{self as schema, Process, ProcessReader, Run};

use crate::check::{self, Checked};
use crate::engine;
use crate::evidence::RunEvidence;
use crate::infer::{self, Reference};
use crate::invariants::{Invariants, ReferenceRun};
use crate::source::{Batch, End, Source};

/// A reader that finds damage so many times in a row is given up.
const MOST_DAMAGE: u32 = 10_000;

/// The trace of one process on disk.
pub struct RunSource {
    reader: ProcessReader,
    damage_in_a_row: u32,
}

impl RunSource {
    /// From the beginning.
    pub fn new(process: &Process) -> RunSource {
        RunSource { reader: process.reader(), damage_in_a_row: 0 }
    }
}

impl Source for RunSource {
    fn next_batch(&mut self) -> Option<Result<Batch, String>> {
        if self.damage_in_a_row >= MOST_DAMAGE {
            return None;
        }
        match self.reader.next_batch()? {
            Ok(batch) => {
                self.damage_in_a_row = 0;
                let lost = batch.dropped.iter().map(|dropped| dropped.count).fold(0, u64::saturating_add);
                let schema::Batch { events, states, arguments, .. } = batch;
                Some(Ok(Batch { events, states, arguments, lost }))
            }
            Err(damage) => {
                self.damage_in_a_row += 1;
                Some(Err(damage.to_string()))
            }
        }
    }

    fn entry(&self, id: u32) -> Option<&DictEntry> {
        self.reader.dictionary().get(id)
    }

    fn end(&self) -> End {
        let torn = self.reader.torn().map(|torn| {
            let mut text = "it was not sealed, as after a kill".to_owned();
            if torn.bytes_after_last_frame > 0 {
                text += &format!("; {} bytes after the last whole frame", torn.bytes_after_last_frame);
            }
            let recovered = torn.events_recovered + torn.states_recovered + torn.arguments_recovered;
            if recovered > 0 {
                text += &format!("; {recovered} records recovered from its rings");
            }
            text
        });
        End { torn }
    }
}

/// Opens all runs, or says what is wrong with each one that cannot be opened.
///
/// # Errors
/// One line for every bad run.
pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Run>, Vec<String>> {
    let (mut runs, mut bad) = (Vec::new(), Vec::new());
    for path in paths {
        match Run::open(path) {
            Ok(run) => runs.push(run),
            Err(error) => bad.push(error.to_string()),
        }
    }
    if bad.is_empty() { Ok(runs) } else { Err(bad) }
}

/// The name of a run: that of its folder, without the way to it.
pub fn name(folder: &Path) -> String {
    let absolute = folder.canonicalize();
    let folder = absolute.as_deref().unwrap_or(folder);
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

fn process_name(process: &Process) -> String {
    format!("{}-{}", process.host, process.pid)
}

/// Reads what each run says, several processes at a time.
pub fn read_references(runs: &[Run]) -> (Vec<Reference>, Vec<String>) {
    let read: Vec<(Reference, Vec<String>)> = runs.par_iter().map(read_reference).collect();
    let (references, damage): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    (references, damage.into_iter().flatten().collect())
}

fn read_reference(run: &Run) -> (Reference, Vec<String>) {
    let processes: Vec<(RunEvidence, engine::Passed)> = run
        .processes
        .par_iter()
        .map(|process| {
            let iterations = engine::count_iterations(&mut RunSource::new(process));
            infer::read(&mut RunSource::new(process), iterations)
        })
        .collect();
    let mut reference = Reference {
        run: ReferenceRun {
            name: name(&run.folder),
            processes: processes.len() as u64,
            iterations: 0,
            records: 0,
            torn: false,
        },
        evidence: RunEvidence::default(),
    };
    let mut damage = Vec::new();
    for (evidence, passed) in processes {
        reference.evidence.merge(evidence);
        reference.run.iterations = reference.run.iterations.max(passed.iterations.into());
        reference.run.records += passed.records;
        reference.run.torn |= passed.end.torn.is_some();
        damage.extend(passed.damage);
    }
    (reference, damage)
}

/// Checks a run, several processes at a time.
pub fn check(run: &Run, invariants: &Invariants) -> Checked {
    let processes: Vec<Checked> = run
        .processes
        .par_iter()
        .map(|process| check::check(&mut RunSource::new(process), invariants, &process_name(process)))
        .collect();
    let mut all = Checked::default();
    for process in processes {
        all.merge(process);
    }
    all
}
