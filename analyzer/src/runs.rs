//! Runs on disk as sources, and what is wrong with them when they cannot be read.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use traincheck_schema::run::{Process, Run};

use crate::check::{self, Checked};
use crate::engine;
use crate::evidence::RunEvidence;
use crate::infer::{self, Reference};
use crate::invariants::{Invariants, ReferenceRun};
use crate::run_source::{Progress, RunSource};

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

/// Uses no more than `threads` threads for everything that is read from here on in this process; 0: as many as
/// there are cores. Only the first call has an effect.
pub fn set_threads(threads: usize) {
    // An error says that threads were started before; then their number stays.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// Where there are more threads than processes to read, each process is decoded in a thread of its own.
fn source(process: &Process, processes: usize, progress: &Progress) -> RunSource {
    if processes < rayon::current_num_threads() {
        RunSource::ahead(process, progress)
    } else {
        RunSource::new(process, progress)
    }
}

/// Reads what each run says, several processes at a time.
pub fn read_references(runs: &[Run], progress: &Progress) -> (Vec<Reference>, Vec<String>) {
    let processes = runs.iter().map(|run| run.processes.len()).sum();
    runs.iter().flat_map(|run| &run.processes).for_each(|process| progress.expect(process.size()));
    let read: Vec<(Reference, Vec<String>)> =
        runs.par_iter().map(|run| read_reference(run, processes, progress)).collect();
    let (references, damage): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    (references, damage.into_iter().flatten().collect())
}

fn read_reference(run: &Run, in_all: usize, progress: &Progress) -> (Reference, Vec<String>) {
    let processes: Vec<(RunEvidence, engine::Passed)> = run
        .processes
        .par_iter()
        .map(|process| {
            // Where no footer tells, the records have to be gone over twice.
            let iterations = process.last_iteration().unwrap_or_else(|| {
                progress.expect(process.size());
                engine::count_iterations(&mut source(process, in_all, progress))
            });
            infer::read(&mut source(process, in_all, progress), iterations)
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
pub fn check(run: &Run, invariants: &Invariants, progress: &Progress) -> Checked {
    let in_all = run.processes.len();
    run.processes.iter().for_each(|process| progress.expect(process.size()));
    let processes: Vec<Checked> = run
        .processes
        .par_iter()
        .map(|process| {
            check::check(&mut source(process, in_all, progress), invariants, &process_name(process))
        })
        .collect();
    let mut all = Checked::default();
    for process in processes {
        all.merge(process);
    }
    all
}
