//! What shows only when nothing more will come: parameters without a gradient, or with none that is not zero, and learning
//! rates that are next to nothing for most of the run.
mod support;

use support::torch::{Grads, Model, Optimizer, Torch};
use support::{alarms, library_of};
use traincheck_analyzer::relation::claim::Claim;
use traincheck_analyzer::relation::{owned, range, schedule};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::Role;

/// The claim alone, as a library has it.
fn found(claim: impl Into<Claim>, trace: &MemoryTrace) -> Vec<String> {
    alarms(&library_of([claim]), trace)
}

fn batch(torch: &mut Torch, models: &[Model], through: &[Model], optimizer: Optimizer) {
    torch.zero_grad(optimizer);
    for (number, model) in models.iter().enumerate() {
        torch.forward(*model, 10 + number as u32);
    }
    torch.backward(through);
    torch.step(optimizer);
}

/// A body and a head that are called in each of so many iterations, in which so many losses are computed; until `from` they are
/// not that of the part without a gradient.
fn two_parts(iterations: u32, without: &str, from: u32, losses: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (body, head) = (torch.model("Body", &["weight"]), torch.model("Head", &["weight"]));
    let optimizer = torch.optimizer("Adam", &[body, head]);
    for iteration in 0..iterations {
        let through = match without {
            _ if iteration >= from => &[body, head][..],
            "body" => &[head],
            _ => &[body],
        };
        torch.zero_grad(optimizer);
        torch.forward(body, 10);
        torch.forward(head, 11);
        for _ in 0..losses {
            torch.record.call("torch.nn.functional.mse_loss", Role::Other, 0);
        }
        torch.backward(through);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_part_that_is_called_and_gets_no_gradient() {
    let claim = owned::claim::Claim {
        subject: owned::claim::Subject::Called,
        outcome: owned::claim::Outcome::GetsGradient,
    };
    let found = |trace| found(claim.clone(), &trace);
    // Detached between the two; one of two losses is.
    assert_eq!(found(two_parts(30, "body", 30, 1)), ["no-gradient"]);
    assert_eq!(found(two_parts(30, "head", 30, 2)), ["no-gradient"]);
    // A head whose result nobody uses.
    assert!(found(two_parts(30, "head", 30, 1)).is_empty());
    // Its turn comes later, or was not due yet.
    assert!(found(two_parts(30, "body", 25, 1)).is_empty());
    assert!(found(two_parts(12, "body", 12, 1)).is_empty());
}

/// Gradients of the body are zero in so many of 30 iterations.
fn zero_until(until: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["body.weight", "head.weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    for iteration in 0..30 {
        torch.gradients = (iteration < until).then_some(("body", Grads::Zero));
        batch(&mut torch, &[model], &[model], optimizer);
    }
    torch.finish()
}

#[test]
fn gradients_that_are_all_zero() {
    let claim = range::claim::Claim {
        subject: range::claim::Subject::Gradients,
        outcome: range::claim::Outcome::GradientLives,
    };
    assert_eq!(found(claim.clone(), &zero_until(30)), ["zero-gradients"]);
    // A gate that opens.
    assert!(found(claim.clone(), &zero_until(20)).is_empty());
    assert!(found(claim, &zero_until(0)).is_empty());
}

/// Four passes of twenty batches. A scheduler multiplies the rate by a tenth, after each batch or after each pass.
fn decays(class: &'static str, per_batch: bool, passes: u32) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    let scheduler = torch.scheduler(class, optimizer);
    let loader = torch.loader();
    let mut rate = 0.1;
    for _ in 0..passes {
        torch.each(loader, 5, 20, |torch, _| {
            batch(torch, &[model], &[model], optimizer);
            if per_batch {
                rate *= 0.1;
                torch.schedule(scheduler, optimizer, rate);
            }
            true
        });
        if !per_batch {
            rate *= 0.1;
            torch.schedule(scheduler, optimizer, rate);
        }
    }
    torch.finish()
}

#[test]
fn a_rate_that_is_next_to_nothing() {
    let claim = schedule::claim::Claim {
        subject: schedule::claim::Subject::WholeRun,
        outcome: schedule::claim::Outcome::LastsOn,
    };
    assert_eq!(found(claim.clone(), &decays("StepLR", true, 4)), ["scheduler-stepped-too-often"]);
    assert_eq!(found(claim.clone(), &decays("StepLR", false, 12)), ["learning-rate-faded"]);
    assert!(found(claim.clone(), &decays("StepLR", false, 4)).is_empty());
    // Training has stalled: nothing is left to lose.
    assert!(found(claim, &decays("ReduceLROnPlateau", true, 4)).is_empty());
}
