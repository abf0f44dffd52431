//! Runs on disk as sources, and what is wrong with them when they cannot be read.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use rayon::prelude::*;
use traincheck_schema::run::{Process, Run};

use crate::check::{self, Checked, Tally};
use crate::clocks::{self, Clocks};
use crate::damage::Damage;
use crate::engine;
use crate::evidence::RunEvidence;
use crate::flight_recorder::Dump;
use crate::hang::{self, Hang};
use crate::infer::{self, Reference};
use crate::invariants::{Invariants, ReferenceRun};
use crate::job::Member;
use crate::program;
use crate::ranks::{Attempt, Ranked, Ranks};
use crate::relation::Part;
use crate::run_source::{Progress, RunSource};
use crate::sketch::{self, Counted, Identity, MergeSketchesError, Sketch};
use crate::stragglers::{self, Stragglers, spent};

/// Relations are not divided further: every part follows all calls and variables.
const MOST_PARTS: usize = 4;

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

/// Says which of the runs were already given, by the same or another way: a link, a copy, one of its segments.
pub fn given_twice(runs: &[Run]) -> Vec<String> {
    let identities: Vec<Identity> = runs.iter().map(Identity::of).collect();
    let folder = |at: usize| runs[at].folder.display();
    let twice = sketch::given_twice(&identities.iter().collect::<Vec<_>>()).into_iter();
    twice
        .map(|(at, earlier)| {
            let (at, earlier) = (folder(at), folder(earlier));
            format!("{at}: the same run as {earlier}; give every reference run once")
        })
        .collect()
}

/// The name of a run: that of its folder, without the way to it.
pub fn name(folder: &Path) -> String {
    let absolute = folder.canonicalize();
    let folder = absolute.as_deref().unwrap_or(folder);
    folder
        .file_name()
        .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The name of what a run is of: see [`program::name`]. None where that was not recorded.
pub fn program(run: &Run) -> Option<String> {
    let folder = run.info.as_ref().map(|info| info.folder.as_str());
    typed(run).map(|typed| program::name(typed, folder))
}

/// The script of a run, or the module that was run as one, as it was typed.
fn typed(run: &Run) -> Option<&str> {
    let arguments = run.info.as_ref()?.command.get(1..)?;
    let module =
        || arguments.iter().position(|argument| argument == "-m").and_then(|at| arguments.get(at + 1));
    arguments.iter().find(|argument| argument.ends_with(".py")).or_else(module).map(String::as_str)
}

/// The arguments of the script of a run; none where they were not recorded.
pub fn arguments(run: &Run) -> &[String] {
    let command = run.info.as_ref().map_or(&[][..], |info| &info.command);
    let script = typed(run).and_then(|typed| command.iter().position(|argument| argument == typed));
    script.map_or(&[], |script| &command[script + 1..])
}

fn process_name(process: &Process) -> String {
    format!("{}-{}", process.host, process.pid)
}

/// Of a job with more ranks none is decoded ahead in a thread of its own.
const MOST_AHEAD: usize = 16;
/// More threads for each core only wait for one another.
const MOST_FOR_A_CORE: usize = 4;

/// Uses no more than `threads` threads for everything that is read from here on in this process, nor more than four for
/// each core; 0: as many as there are cores. Only the first call has an effect.
pub fn set_threads(threads: usize) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(MOST_FOR_A_CORE * cores);
    // An error says that threads were started before; then their number stays.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// Goes over a process with all relations. Where there are threads to spare, each takes a part of the relations, and
/// another decodes for all of them.
fn go_over<T: Send>(
    process: &Process,
    processes: usize,
    progress: &Progress,
    pass: impl Fn(&mut RunSource, Part) -> T + Sync,
    merge: impl Fn(&mut T, T),
) -> T {
    let parts = (rayon::current_num_threads() / processes.max(1)).min(MOST_PARTS);
    if parts < 2 {
        return pass(&mut RunSource::new(process, progress), Part::WHOLE);
    }
    // Threads of their own: a source that is shared goes on only as fast as all are read.
    thread::scope(|scope| {
        let sources = RunSource::shared(process, progress, parts).into_iter().enumerate();
        let threads: Vec<_> = sources
            .map(|(number, mut source)| {
                let pass = &pass;
                scope.spawn(move || pass(&mut source, Part { number, of: parts }))
            })
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|p| resume_unwind(p)));
        done.reduce(|mut all, one| {
            merge(&mut all, one);
            all
        })
        .unwrap_or_else(|| pass(&mut RunSource::new(process, progress), Part::WHOLE))
    })
}

/// Counts what each run says, several processes at a time; and where their traces are damaged.
///
/// # Errors
/// If a run is given several times.
pub fn sketch(runs: &[Run], progress: &Progress) -> Result<(Sketch, Vec<Damage>), MergeSketchesError> {
    let processes = runs.iter().map(|run| run.processes.len()).sum();
    runs.iter().flat_map(|run| &run.processes).for_each(|process| progress.expect(process.size()));
    let counted: Vec<(Sketch, Vec<Damage>)> =
        runs.par_iter().map(|run| sketch_run(run, processes, progress)).collect();
    let (sketches, damage): (Vec<_>, Vec<_>) = counted.into_iter().unzip();
    Ok((Sketch::merge(sketches)?, damage.into_iter().flatten().collect()))
}

fn sketch_run(run: &Run, in_all: usize, progress: &Progress) -> (Sketch, Vec<Damage>) {
    let processes: Vec<(RunEvidence, engine::Passed)> = run
        .processes
        .par_iter()
        .map(|process| {
            // Where no footer tells, the records have to be gone over twice.
            let iterations = process.last_iteration().unwrap_or_else(|| {
                progress.expect(process.size());
                engine::count_iterations(&mut RunSource::new(process, progress))
            });
            let read = |source: &mut RunSource, part| infer::read_part(source, iterations, part);
            go_over(process, in_all, progress, read, |all, one| all.0.merge(one.0))
        })
        .collect();
    let mut reference = Reference {
        run: ReferenceRun {
            name: name(&run.folder),
            program: program(run),
            processes: processes.len() as u64,
            iterations: 0,
            records: 0,
            torn: false,
            arguments: arguments(run).to_vec(),
        },
        evidence: RunEvidence::default(),
    };
    let mut damage = Vec::new();
    if let Ranks::Job(attempt) = Ranks::of(run) {
        let iterations = processes.iter().map(|(_, passed)| passed.iterations).max().unwrap_or(0);
        reference.evidence.merge(infer::read_ranks(members(&attempt.ranks, progress), iterations));
    }
    for (evidence, passed) in processes {
        reference.evidence.merge(evidence);
        reference.run.iterations = reference.run.iterations.max(passed.iterations.into());
        reference.run.records += passed.records;
        reference.run.torn |= passed.end.torn.is_some();
        damage.extend(passed.damage);
    }
    (Sketch::of(Counted { identity: Identity::of(run), reference }), damage)
}

/// Ranks of a job, to be gone over side by side.
fn members(ranks: &[Ranked<'_>], progress: &Progress) -> Vec<Member<'static>> {
    let ahead = ranks.len() <= MOST_AHEAD && rayon::current_num_threads() > 1;
    let source = |process: &Process| match ahead {
        true => RunSource::shared(process, progress, 1).pop(),
        false => None,
    };
    let member = |Ranked { rank, process, .. }: &Ranked<'_>| {
        progress.expect(process.size());
        Member {
            number: *rank,
            process: process_name(process),
            source: Box::new(source(process).unwrap_or_else(|| RunSource::new(process, progress))),
        }
    };
    ranks.iter().map(member).collect()
}

/// What makes the times of these ranks those of one clock. Where they are on several hosts it reads them all.
fn clocks(ranks: &[Ranked<'_>], progress: &Progress) -> Clocks {
    let mut hosts: Vec<(&str, i128)> = Vec::new();
    let mut places = Vec::with_capacity(ranks.len());
    for Ranked { process, header, .. } in ranks {
        let known = hosts.iter().position(|(name, _)| *name == process.host);
        places.push(known.unwrap_or(hosts.len()));
        if known.is_none() {
            hosts.push((&process.host, i128::from(header.wall_ns) - i128::from(header.monotonic_ns)));
        }
    }
    let ahead = places.iter().map(|host| hosts[*host].1).collect();
    match hosts.len() {
        0 | 1 => Clocks { ahead, hosts: hosts.len(), error_ns: Some(0) },
        _ => clocks::align(members(ranks, progress), &places, ahead),
    }
}

/// Says where a job hangs, by what was recorded of its last attempt.
pub fn hang(run: &Run, progress: &Progress) -> Hang {
    let attempt = Attempt::last_of(run);
    let clocks = clocks(&attempt.ranks, progress);
    let found = hang::find(members(&attempt.ranks, progress), &clocks.ahead);
    Hang { note: note(run), attempt: attempt.of_several(), ..found }
}

/// What was recorded of the collectives of that attempt, as dumps of the flight recorder.
pub fn dumps(run: &Run, progress: &Progress) -> Vec<Dump> {
    let attempt = Attempt::last_of(run);
    hang::written::dumps(members(&attempt.ranks, progress), &clocks(&attempt.ranks, progress).ahead)
}

/// Why the ranks of a run are not a whole job, if they are not.
fn note(run: &Run) -> Option<String> {
    match Ranks::of(run) {
        Ranks::Incomparable(why) => Some(why),
        Ranks::Alone | Ranks::Job(_) => None,
    }
}

/// Says which rank of a job the others wait for, likewise.
pub fn stragglers(run: &Run, progress: &Progress) -> Stragglers {
    let attempt = Attempt::last_of(run);
    let clocks = clocks(&attempt.ranks, progress);
    let mut found = stragglers::find(members(&attempt.ranks, progress), &clocks.ahead);
    if found.ranks.iter().any(|rank| !rank.slow.is_empty()) {
        spent::explain(&mut found, members(&attempt.ranks, progress));
    }
    Stragglers {
        hosts: clocks.hosts as u64,
        clock_error_ns: clocks.error_ns,
        note: note(run),
        attempt: attempt.of_several(),
        ..found
    }
}

/// Checks a run, several processes at a time, and all its ranks side by side.
pub fn check(run: &Run, invariants: &Invariants, progress: &Progress) -> Checked {
    let in_all = run.processes.len();
    run.processes.iter().for_each(|process| progress.expect(process.size()));
    let processes: Vec<Checked> = run
        .processes
        .par_iter()
        .map(|process| {
            let name = process_name(process);
            let check = |source: &mut RunSource, part| check::check_part(source, invariants, &name, part);
            go_over(process, in_all, progress, check, Checked::merge_part)
        })
        .collect();
    let mut all = Checked::default();
    for process in processes {
        all.merge(process);
    }
    match Ranks::of(run) {
        Ranks::Alone => {}
        Ranks::Job(attempt) => {
            all.merge(check::check_ranks(members(&attempt.ranks, progress), invariants));
            for Ranked { rank, process, .. } in &attempt.ranks {
                let name = process_name(process);
                let of_it = all.processes.iter_mut().filter(|checked| checked.name == name);
                of_it.for_each(|checked| checked.rank = Some(*rank));
            }
            all.attempts_left_out = attempt.left_out();
        }
        Ranks::Incomparable(why) => all.ranks_not_compared = Some(why),
    }
    // Where there is no process none was triggered.
    all.tallies.resize_with(invariants.invariants.len(), Tally::default);
    all
}
