//! Made-up traces are whole, as long as asked for, the same for the same seed, like that of the training that they
//! imitate, and say of it what a real one does.

use std::fs;

use traincheck_analyzer::check::check;
use traincheck_analyzer::engine::count_iterations;
use traincheck_analyzer::infer::{Reference, infer, read};
use traincheck_analyzer::invariants::{Invariants, Level, ReferenceRun};
use traincheck_analyzer::report::Report;
use traincheck_benches::synthetic::{Error, Synthetic};
use traincheck_schema::record::EventKind;
use traincheck_schema::run::Run;

/// What `traincheck inspect` says of tests/pipelines/digits.py, recorded with --seed 1: 115 iterations.
const REAL: Shape =
    Shape { iterations: 115.0, states: 39.3, arguments: 4.8, calls: 22.1, ops: 40.3, bytes: 1631.0 };

/// What a trace of 14,748 events has, per iteration but for `iterations`.
#[derive(Debug)]
struct Shape {
    iterations: f64,
    states: f64,
    arguments: f64,
    calls: f64,
    ops: f64,
    bytes: f64,
}

#[test]
fn it_is_read_back_whole_and_as_long_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (events, sealed) in [(1, true), (5_000, false), (100_000, true)] {
        let path = folder.path().join(events.to_string());
        let what = Synthetic { events, ..Synthetic::default() };
        let totals = what.write(&path, sealed).unwrap();
        // An iteration whose ops are recorded, and the end of a pass.
        assert!((events..events + 4_000).contains(&totals.events), "{totals:?} for {events}");
        let run = Run::open(&path).unwrap();
        let mut reader = run.processes[0].reader();
        let (mut found, mut open) = (0, Vec::new());
        let mut last = 0;
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("no damage");
            found += batch.events.len() as u64;
            for event in batch.events {
                assert!(event.time > last, "time goes on");
                last = event.time;
                match EventKind::try_from(event.kind).expect("a kind") {
                    EventKind::Enter | EventKind::OpEnter => {
                        assert_eq!(event.parent, open.last().copied().unwrap_or(0));
                        open.push(event.call);
                    }
                    EventKind::Exit | EventKind::OpExit => assert_eq!(open.pop(), Some(event.call)),
                    _ => {}
                }
                assert!(reader.dictionary().get(event.name).is_some() || event.name == 0);
                assert!(reader.dictionary().get(event.object).is_some() || event.object == 0);
            }
            assert!(batch.states.iter().all(|state| reader.dictionary().get(state.variable).is_some()));
        }
        assert_eq!(found, totals.events);
        assert!(open.is_empty());
        assert_eq!(reader.torn().is_none(), sealed);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |name: &str, seed| {
        let path = folder.path().join(name);
        Synthetic { seed, ..Synthetic::default() }.write(&path, true).unwrap();
        fs::read(path.join("synthetic-1-0.tcs")).unwrap()
    };
    assert_eq!(bytes("a", 1), bytes("b", 1));
    assert_ne!(bytes("c", 2), bytes("d", 1));
}

#[test]
fn it_has_the_shape_of_a_recorded_training() {
    let folder = tempfile::tempdir().unwrap();
    let totals = Synthetic { events: 14_748, ..Synthetic::default() }.write(folder.path(), true).unwrap();
    let run = Run::open(folder.path()).unwrap();
    let mut reader = run.processes[0].reader();
    let (mut iterations, mut calls, mut ops) = (0, 0, 0);
    while let Some(batch) = reader.next_batch() {
        for event in batch.expect("no damage").events {
            iterations = iterations.max(event.iteration);
            calls += u32::from(event.kind == EventKind::Enter as u8);
            ops += u32::from(event.kind == EventKind::OpEnter as u8);
        }
    }
    let per = |count: u64| count as f64 / f64::from(iterations);
    let ours = Shape {
        iterations: iterations.into(),
        states: per(totals.states),
        arguments: per(totals.arguments),
        calls: per(calls.into()),
        ops: per(ops.into()),
        bytes: per(run.processes[0].size()),
    };
    println!("made up:  {ours:?}\nrecorded: {REAL:?}");
    let near = |ours: f64, real: f64, what: &str| {
        assert!((0.7..1.4).contains(&(ours / real)), "{what}: {ours:.1} made up, {real:.1} recorded");
    };
    near(ours.iterations, REAL.iterations, "iterations");
    near(ours.states, REAL.states, "states");
    near(ours.arguments, REAL.arguments, "arguments");
    near(ours.calls, REAL.calls, "calls");
    near(ours.ops, REAL.ops, "ops");
    near(ours.bytes, REAL.bytes, "bytes");
}

fn learned() -> Invariants {
    let references = [1, 2].map(|seed| {
        let trace = Synthetic { seed, events: 20_000 + 3_000 * seed, ..Synthetic::default() }.memory();
        let (evidence, passed) = read(&mut trace.source(), count_iterations(&mut trace.source()));
        assert!(passed.damage.is_empty() && passed.iterations > 100);
        let run = ReferenceRun {
            name: seed.to_string(),
            program: None,
            processes: 1,
            iterations: 1,
            records: 1,
            torn: false,
            arguments: Vec::new(),
        };
        Reference { run, evidence }
    });
    infer(references.into())
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let invariants = learned();
    let alarms = |error| {
        let trace = Synthetic { seed: 3, events: 18_000, error, ..Synthetic::default() }.memory();
        let checked = check(&mut trace.source(), &invariants, "p");
        let report = Report::new("run".into(), &invariants, &checked);
        let alarms = report.findings.iter().filter(|finding| finding.level == Level::Alarm);
        alarms.map(|finding| finding.title.clone()).collect::<Vec<_>>()
    };
    assert_eq!(alarms(None), Vec::<String>::new());
    for error in [Error::NoZeroGrad, Error::LeftInEvaluation, Error::NoSchedulerStep, Error::Frozen] {
        assert!(!alarms(Some(error)).is_empty(), "{error:?}");
    }
}
