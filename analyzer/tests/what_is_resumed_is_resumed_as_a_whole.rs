//! Where the state of an optimizer is loaded that of its scheduler is, and the other way round.
mod support;

use support::torch::Torch;
use support::{alarms, library_of};
use traincheck_analyzer::relation::lifecycle::claim::{Cadence, Claim, Outcome, Subject, TrackedKind};

const BOTH: [TrackedKind; 2] = [TrackedKind::Optimizer, TrackedKind::Scheduler];

/// What is found where the states of these are loaded, the scheduler being made before that or after it. `empty`: there is
/// nothing in the optimizer's.
fn found_in(loaded: &[TrackedKind], made_after: bool, empty: bool) -> Vec<String> {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    let mut scheduler = (!made_after).then(|| torch.scheduler("StepLR", optimizer));
    torch.load_state(model);
    if loaded.contains(&TrackedKind::Optimizer) {
        torch.load_optimizer(optimizer, empty);
    }
    let scheduler = *scheduler.get_or_insert_with(|| torch.scheduler("StepLR", optimizer));
    if loaded.contains(&TrackedKind::Scheduler) {
        torch.load_scheduler(scheduler);
    }
    for _ in 0..5 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
        torch.scheduler_step(scheduler);
    }
    let claims = BOTH.map(|kind| {
        let subject = Subject::Object { kind, class: "*".into(), cadence: Cadence::Restored };
        Claim { subject, outcome: Outcome::Loaded }
    });
    alarms(&library_of(claims), &torch.finish())
}

fn found(loaded: &[TrackedKind], made_after: bool) -> Vec<String> {
    found_in(loaded, made_after, false)
}

#[test]
fn one_of_them_is_left_out() {
    assert_eq!(found(&[TrackedKind::Optimizer], false), ["learning-rate-reset-on-resume"]);
    assert_eq!(found(&[TrackedKind::Scheduler], false), ["optimizer-state-reset-on-resume"]);
}

#[test]
fn both_are_loaded_or_none() {
    assert!(found(&BOTH, false).is_empty());
    assert!(found(&BOTH, true).is_empty());
    // Another training that begins with these weights.
    assert!(found(&[], false).is_empty());
}

#[test]
fn a_wrapper_gives_an_optimizer_its_own_empty_state() {
    assert!(found_in(&[TrackedKind::Optimizer], false, true).is_empty());
}

#[test]
fn a_schedule_is_made_to_begin_where_the_optimizer_stands() {
    assert!(found(&[TrackedKind::Optimizer], true).is_empty());
}
