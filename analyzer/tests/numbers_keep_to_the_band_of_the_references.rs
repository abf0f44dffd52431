//! The loss, gradients and updates are of the size that they had in the references, with as much room as these differ.
mod support;

use support::torch::Torch;
use support::{alarms, learn};
use traincheck_analyzer::invariants::{Doubt, Invariants, Level};
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::source::MemoryTrace;

const NAMES: &[&str] = &["hidden.weight", "head.weight"];

/// With a loss that falls from `first`.
fn training(seed: u64, iterations: u32, first: f64) -> MemoryTrace {
    with_losses(seed, iterations, |iteration| first * 0.9_f64.powi(iteration as i32))
}

fn with_losses(seed: u64, iterations: u32, loss: impl Fn(u32) -> f64) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for iteration in 0..iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward_from(loss(iteration), &[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

fn found(references: &[f64], first: f64) -> Vec<String> {
    let traces: Vec<MemoryTrace> =
        (1..).zip(references).map(|(seed, &first)| training(seed, 20, first)).collect();
    alarms(&learn(&traces), &training(9, 20, first))
}

#[test]
fn a_loss_that_is_a_multiple_of_what_it_was_is_found() {
    assert_eq!(found(&[2.0, 2.1, 2.2], 8.0), ["loss-of-another-size"]);
    // So is one that is a fraction of it.
    assert_eq!(found(&[2.0, 2.1, 2.2], 0.3), ["loss-of-another-size"]);
    assert!(found(&[2.0, 2.1, 2.2], 3.0).is_empty());
    assert!(found(&[2.0, 2.1, 2.2], 1.5).is_empty());
}

#[test]
fn references_that_differ_leave_more_room() {
    assert!(found(&[2.0, 2.5, 3.6], 8.0).is_empty());
    assert_eq!(found(&[2.0, 2.5, 3.6], 40.0), ["loss-of-another-size"]);
}

#[test]
fn a_loss_that_falls_further_in_a_longer_run_is_none() {
    let learned = learn(&[training(1, 20, 2.0), training(2, 20, 2.1), training(4, 20, 2.2)]);
    assert!(alarms(&learned, &training(3, 60, 2.1)).is_empty());
    // Nor is it known of a few iterations how high a loss goes.
    assert!(alarms(&learned, &training(3, 8, 0.5)).is_empty());
}

#[test]
fn a_few_batches_that_are_far_from_the_others_are_none() {
    let learned = learn(&[training(1, 20, 2.0), training(2, 20, 2.1), training(4, 20, 2.2)]);
    let apart =
        |every: u32| with_losses(3, 40, move |iteration| if iteration % every == 1 { 500.0 } else { 1.5 });
    assert!(alarms(&learned, &apart(3)).is_empty());
    assert_eq!(alarms(&learned, &with_losses(3, 40, |_| 500.0)), ["loss-of-another-size"]);
    // What is scattered is of no size.
    assert!(alarms(&learned, &with_losses(3, 40, |iteration| 10_f64.powi(iteration as i32 % 4))).is_empty());
}

#[test]
fn a_run_that_goes_on_with_another_begins_lower() {
    let resumed = |loads: bool| {
        let mut torch = Torch::new(3);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        if loads {
            torch.load_optimizer(optimizer, false);
        }
        for _ in 0..20 {
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward_from(0.1, &[model]);
            torch.step(optimizer);
        }
        torch.finish()
    };
    let learned = learn(&[training(1, 20, 2.0), training(2, 20, 2.1), training(4, 20, 2.2)]);
    let sizes =
        |trace: &MemoryTrace| alarms(&learned, trace).iter().any(|cause| cause == "loss-of-another-size");
    assert!(sizes(&resumed(false)));
    assert!(!sizes(&resumed(true)));
}

fn bands(learned: &Invariants) -> Vec<(Level, Option<Doubt>)> {
    let bands = learned.invariants.iter().filter(|i| i.claim.relation() == RelationName::Band);
    bands.map(|i| (i.level, i.doubt)).collect()
}

#[test]
fn two_runs_show_no_spread_and_one_that_is_far_from_the_others_bears_nothing_out() {
    let two = bands(&learn(&[training(1, 20, 2.0), training(2, 20, 2.1)]));
    assert!(!two.is_empty() && two.iter().all(|band| *band == (Level::Notice, None)));
    let three = [training(1, 20, 2.0), training(2, 20, 2.1), training(4, 20, 2.2)];
    assert!(bands(&learn(&three)).contains(&(Level::Alarm, None)));
    let apart = learn(&[training(1, 20, 2.0), training(2, 20, 2.1), training(4, 20, 64.0)]);
    assert!(bands(&apart).contains(&(Level::Notice, Some(Doubt::FailsElsewhere))));
}

#[test]
fn another_setting_has_numbers_of_its_own() {
    let with = |seed: u64, rate: f64, accumulate: u32, loss: f64| {
        let mut torch = Torch::new(seed);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        torch.set_lr(optimizer, rate);
        for _ in 0..40 / accumulate {
            torch.zero_grad(optimizer);
            for _ in 0..accumulate {
                torch.forward(model, 10);
                torch.backward_from(loss, &[model]);
            }
            torch.step(optimizer);
        }
        torch.finish()
    };
    let learned = learn(&[with(1, 0.1, 1, 2.0), with(2, 0.1, 1, 2.1), with(4, 0.1, 1, 2.2)]);
    let sizes =
        |trace: &MemoryTrace| alarms(&learned, trace).iter().any(|cause| cause.ends_with("-of-another-size"));
    assert!(sizes(&with(3, 0.1, 1, 20.0)));
    assert!(!sizes(&with(3, 0.5, 1, 20.0)));
    assert!(!sizes(&with(3, 0.1, 4, 0.5)));
}
