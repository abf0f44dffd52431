//! A closure that is given to an optimizer's step runs a backward whenever it is evaluated.
mod support;

use support::{Recorder, alarms, library_of};
use traincheck_analyzer::call::Call;
use traincheck_analyzer::relation::contain::claim::{Claim, Outcome, Subject};
use traincheck_schema::record::{ObjectKind, Role};

/// Steps of an optimizer of this class that call these.
fn found(class: &str, calls: &[(&str, Role)]) -> Vec<String> {
    let mut record = Recorder::default();
    let optimizer = record.object(class, ObjectKind::Optimizer, &format!("torch.optim.{class}"));
    for iteration in 1..=5 {
        record.iteration = iteration;
        record.enter(&format!("torch.optim.{class}.step"), Role::OptimizerStep, optimizer, 0);
        for (name, role) in calls {
            record.call(name, *role, 0);
        }
        record.exit(false);
    }
    let outcome = Outcome::Called { call: Call::any(Role::Backward) };
    let claim = Claim { subject: Subject::Closure, outcome };
    alarms(&library_of([claim]), &record.finish(97, None))
}

const ZERO_GRAD: (&str, Role) = ("torch.optim.Optimizer.zero_grad", Role::ZeroGrad);
const BACKWARD: (&str, Role) = ("torch.Tensor.backward", Role::Backward);

#[test]
fn one_that_computes_a_loss_alone() {
    assert_eq!(found("SGD", &[ZERO_GRAD]), ["stale-closure"]);
    // LBFGS takes no step without one: it gives back what was computed before.
    assert_eq!(found("LBFGS", &[]), ["stale-closure"]);
}

#[test]
fn one_that_computes_gradients() {
    assert!(found("SGD", &[ZERO_GRAD, BACKWARD]).is_empty());
    assert!(found("LBFGS", &[BACKWARD, BACKWARD]).is_empty());
}

#[test]
fn a_step_without_one() {
    assert!(found("SGD", &[]).is_empty());
    // The step of another optimizer, which this one wraps.
    assert!(found("SAM", &[("torch.optim.SGD.step", Role::OptimizerStep)]).is_empty());
    // Gradients are asked for.
    assert!(found("LBFGS", &[("torch.autograd.grad", Role::AutogradGrad)]).is_empty());
}
