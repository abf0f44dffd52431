//! A loss, a gradient or a parameter that is NaN where the optimizer steps is found, and so are gradients that become
//! zero for good. What scripts and gradient scalers do on purpose is not.
mod support;

use support::torch::{Grads, Model, Optimizer, Torch};
use support::{alarms, learn};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{EventKind, ObjectKind, Role, pause};

const NAMES: &[&str] = &["hidden.weight", "hidden.bias", "head.weight", "head.bias"];

fn training(seed: u64, iterations: u32, each: impl Fn(&mut Torch, Model, Optimizer, u32)) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", NAMES);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for iteration in 1..=iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        each(&mut torch, model, optimizer, iteration);
    }
    torch.finish()
}

fn plain(torch: &mut Torch, model: Model, optimizer: Optimizer, _: u32) {
    torch.backward_from(1.5, &[model]);
    torch.step(optimizer);
}

fn learned() -> Invariants {
    learn(&[training(1, 12, plain), training(2, 12, plain)])
}

fn found(each: impl Fn(&mut Torch, Model, Optimizer, u32)) -> Vec<String> {
    alarms(&learned(), &training(3, 20, each))
}

#[test]
fn plain_training_is_clean() {
    assert!(found(plain).is_empty());
}

#[test]
fn a_gradient_that_is_no_number_is_found_where_a_step_follows() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration >= 5).then_some(("hidden", Grads::NonFinite));
        plain(torch, model, optimizer, iteration);
    });
    assert_eq!(causes, ["non-finite-gradients"]);
}

#[test]
fn it_is_no_error_where_the_script_leaves_the_step_out() {
    let causes = found(|torch, model, optimizer, iteration| {
        let bad = iteration == 9;
        torch.gradients = bad.then_some(("hidden", Grads::NonFinite));
        torch.backward_from(1.5, &[model]);
        if !bad {
            torch.step(optimizer);
        }
    });
    // That a step is missing is another matter.
    assert!(!causes.iter().any(|cause| cause.starts_with("non-finite")), "{causes:?}");
}

#[test]
fn it_is_no_error_where_a_scaler_makes_the_step() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration % 7 == 2).then_some(("", Grads::NonFinite));
        torch.backward_from(f64::INFINITY, &[model]);
        let scaler = torch.record.object("GradScaler", ObjectKind::Scaler, "torch.amp.GradScaler");
        torch.record.enter("torch.amp.GradScaler.step", Role::ScalerStep, scaler, 0);
        torch.step(optimizer);
        torch.record.exit(false);
    });
    // The references have no scaler, which is another matter.
    assert!(!causes.iter().any(|cause| cause.starts_with("non-finite")), "{causes:?}");
}

/// Something happens that no record tells of.
fn unseen(torch: &mut Torch) {
    torch.record.event(EventKind::Paused, 0, 0, 0, 0, pause::NESTED);
    torch.record.event(EventKind::Resumed, 0, 0, 0, 0, 0);
}

#[test]
fn it_is_no_error_where_a_later_backward_went_unseen() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration == 9).then_some(("hidden", Grads::NonFinite));
        match iteration {
            9 => return torch.backward_from(f64::NAN, &[model]),
            10 => unseen(torch),
            _ => torch.backward_from(1.5, &[model]),
        }
        torch.step(optimizer);
    });
    assert!(!causes.iter().any(|cause| cause.starts_with("non-finite")), "{causes:?}");
}

#[test]
fn a_loss_that_is_no_number_is_found() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.backward_from(if iteration > 6 { f64::NAN } else { 1.0 }, &[model]);
        torch.step(optimizer);
    });
    assert_eq!(causes, ["non-finite-loss"]);
}

#[test]
fn gradients_that_are_zero_for_good_are_found() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration >= 8).then_some(("hidden", Grads::Zero));
        plain(torch, model, optimizer, iteration);
    });
    assert_eq!(causes, ["zero-gradients"]);
}

#[test]
fn two_zeros_in_a_row_are_no_error() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration % 5 < 2).then_some(("hidden", Grads::Zero));
        plain(torch, model, optimizer, iteration);
    });
    assert!(causes.is_empty(), "{causes:?}");
}

#[test]
fn zeros_are_not_in_a_row_where_something_went_unseen_between_them() {
    let causes = found(|torch, model, optimizer, iteration| {
        torch.gradients = (iteration >= 5).then_some(("hidden", Grads::Zero));
        if iteration % 2 == 0 {
            unseen(torch);
        }
        plain(torch, model, optimizer, iteration);
    });
    assert!(causes.is_empty(), "{causes:?}");
}

#[test]
fn gradients_are_zero_where_nothing_is_left_to_learn() {
    let causes = found(|torch, model, optimizer, iteration| {
        let done = iteration >= 8;
        torch.gradients = done.then_some(("", Grads::Zero));
        torch.backward_from(if done { 0.0 } else { 1.0 }, &[model]);
        torch.step(optimizer);
    });
    assert!(causes.is_empty(), "{causes:?}");
}

#[test]
fn what_was_zero_once_in_a_reference_may_be_zero() {
    let dies = |torch: &mut Torch, model, optimizer, iteration: u32| {
        torch.gradients = (iteration == 10).then_some(("hidden", Grads::Zero));
        plain(torch, model, optimizer, iteration);
    };
    let invariants = learn(&[training(1, 12, plain), training(2, 12, dies)]);
    let dead = training(3, 20, |torch, model, optimizer, iteration| {
        torch.gradients = (iteration >= 8).then_some(("hidden", Grads::Zero));
        plain(torch, model, optimizer, iteration);
    });
    assert!(alarms(&invariants, &dead).is_empty());
}
