//! The call of a generator encloses what it calls while it runs, whoever resumed it and in whatever thread, and nothing
//! of what happens while it is suspended.
mod support;

use support::Recorder;
use traincheck_analyzer::call::Call;
use traincheck_analyzer::evidence::RunEvidence;
use traincheck_analyzer::infer::read;
use traincheck_analyzer::relation::contain::claim::{Outcome, Subject};
use traincheck_schema::record::{EventKind, Role};

fn user(function: &str) -> Call {
    Call { function: function.into(), role: Role::User, object: None }
}

fn step() -> Call {
    Call { function: "torch.optim.SGD.step".into(), role: Role::OptimizerStep, object: None }
}

/// In how many of all calls of `outer` there was one of `inner`.
fn contained(evidence: &RunEvidence, outer: &str, inner: Call) -> (u64, u64) {
    let subject = Subject::Call { call: user(outer) };
    let Some(found) = evidence.subjects.get(&subject.into()) else { return (0, 0) };
    let held = found
        .held
        .get(&Outcome::Called { call: inner }.into())
        .map_or(0, |cells| cells.values().flatten().sum());
    (held, found.total.values().flatten().sum())
}

/// Epochs that train on what a generator gives. `finished`: it ends, else it is dropped. `thread`: where it ends.
fn epochs(finished: bool, thread: u16) -> RunEvidence {
    let mut record = Recorder::default();
    for _ in 0..8 {
        record.enter("train", Role::User, 0, 0);
        record.enter("batches", Role::User, 0, 0);
        record.call("load", Role::User, 0);
        let mut batches = record.suspend();
        for _ in 0..3 {
            record.iteration += 1;
            record.event(EventKind::Iteration, 0, 0, 0, 0, 0);
            record.call("torch.Tensor.backward", Role::Backward, 0);
            record.call("torch.optim.SGD.step", Role::OptimizerStep, 0);
            record.resume(batches);
            record.call("load", Role::User, 0);
            batches = record.suspend();
        }
        if thread != 0 {
            record.exit(false);
        }
        if finished {
            record.thread = thread;
            record.resume(batches);
            record.call("clean_up", Role::User, 0);
            record.exit(false);
            record.thread = 0;
        }
        if thread == 0 {
            record.exit(false);
        }
    }
    let trace = record.finish(7, None);
    read(&mut trace.source(), 100).0
}

#[test]
fn what_happens_meanwhile_is_its_callers() {
    let evidence = epochs(true, 0);
    let (held, all) = contained(&evidence, "batches", user("load"));
    assert!(held == all && all >= 6, "{held} of {all}");
    assert_eq!(contained(&evidence, "batches", step()).0, 0);
    // The caller made all of it, and has heard of what the generator did for it.
    for inner in [step(), user("load"), user("batches"), user("clean_up")] {
        let (held, all) = contained(&evidence, "train", inner.clone());
        assert!(held == all && all >= 6, "{inner:?}: {held} of {all}");
    }
}

#[test]
fn one_that_goes_on_in_another_thread_is_the_same_call() {
    let evidence = epochs(true, 1);
    let (held, all) = contained(&evidence, "batches", user("clean_up"));
    assert!(held == all && all >= 6, "{held} of {all}");
    // The caller had returned.
    assert_eq!(contained(&evidence, "train", user("clean_up")).0, 0);
}

#[test]
fn one_that_is_dropped_gives_no_verdict_and_disturbs_none() {
    let evidence = epochs(false, 0);
    assert_eq!(contained(&evidence, "batches", user("load")), (0, 0));
    let (held, all) = contained(&evidence, "train", step());
    assert!(held == all && all >= 6, "{held} of {all}");
}
