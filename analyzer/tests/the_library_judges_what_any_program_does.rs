//! What people write in their training scripts on purpose breaks nothing that the library says of any program; the errors
//! beside it do.
mod support;

use support::torch::{Model, Optimizer, Torch};
use support::{alarms, with_library};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::source::MemoryTrace;

fn found(trace: &MemoryTrace) -> Vec<String> {
    alarms(&with_library(Invariants::default(), None), trace)
}

#[track_caller]
fn assert_clean(trace: &MemoryTrace) {
    let found = found(trace);
    assert!(found.is_empty(), "{found:?}");
}

fn net(torch: &mut Torch) -> Model {
    torch.model("Net", &["body.weight", "head.weight"])
}

fn batch(torch: &mut Torch, model: Model, optimizer: Optimizer) {
    torch.zero_grad(optimizer);
    torch.forward(model, 10);
    torch.backward(&[model]);
    torch.step(optimizer);
}

/// An optimizer over a model that does not run, but a copy of it. `given`: the script gives the model the gradients.
fn over_a_model_whose_copies_run(given: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let outer = torch.optimizer("Adam", &[model]);
    let gone = torch.orphan(model, outer);
    for _ in 0..12 {
        let copy = net(&mut torch);
        let inner = torch.optimizer("SGD", &[copy]);
        for _ in 0..3 {
            batch(&mut torch, copy, inner);
        }
        if given {
            torch.give_gradients(gone);
        }
        torch.step(outer);
        torch.zero_grad(outer);
        torch.drop_model(copy);
    }
    torch.finish()
}

#[test]
fn a_model_that_is_trained_by_its_copies() {
    assert_clean(&over_a_model_whose_copies_run(true));
    assert_eq!(found(&over_a_model_whose_copies_run(false)), ["stale-optimizer"]);
}

/// An optimizer over a body and a head, which is another one than the model has, or has its turn later.
fn over_a_head_that_does_not_run(replaced: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (body, head) = (torch.model("Body", &["weight"]), torch.model("Head", &["weight"]));
    let optimizer = torch.optimizer("Adam", &[body, head]);
    let other = torch.model("Head", &["weight"]);
    for iteration in 0..30 {
        torch.zero_grad(optimizer);
        torch.forward(body, 10);
        if replaced {
            torch.forward(other, 11);
            torch.backward(&[body, other]);
        } else if iteration < 20 {
            torch.backward(&[body]);
        } else {
            torch.forward(head, 11);
            torch.backward(&[body, head]);
        }
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_part_that_has_its_turn_later() {
    assert_clean(&over_a_head_that_does_not_run(false));
    let found = found(&over_a_head_that_does_not_run(true));
    assert!(found.contains(&"stale-optimizer".to_owned()), "{found:?}");
}

/// An image is trained by what a model makes of it, which gets gradients itself.
fn trains_an_image(evaluates: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let (model, image) = (net(&mut torch), torch.model("Image", &["pixels"]));
    let optimizer = torch.optimizer("Adam", &[image]);
    let image = torch.orphan(image, optimizer);
    if evaluates {
        torch.eval(model);
    }
    for _ in 0..20 {
        torch.zero_grad(optimizer);
        torch.zero_grad_of(model);
        torch.forward(model, 10);
        torch.backward(&[model, image]);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_model_that_a_loss_is_computed_with() {
    assert_clean(&trains_an_image(true));
    assert_eq!(found(&trains_an_image(false)), ["parameters-in-no-optimizer"]);
}

/// Two optimizers of one model: `at_once`, or the second where the first one is done.
fn two_optimizers(at_once: bool) -> MemoryTrace {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let (first, second) = (torch.optimizer("Adam", &[model]), torch.optimizer("SGD", &[model]));
    for iteration in 0..20 {
        batch(&mut torch, model, first);
        if at_once {
            torch.step(second);
        } else if iteration == 19 {
            // The loop behind this one, whose first batch is told from it by no iteration.
            torch.zero_grad(second);
            torch.forward(model, 11);
            torch.backward(&[model]);
            torch.step(second);
        }
    }
    for _ in 0..20 {
        batch(&mut torch, model, second);
    }
    torch.finish()
}

#[test]
fn two_optimizers_of_one_model() {
    assert_clean(&two_optimizers(false));
    assert_eq!(found(&two_optimizers(true)), ["held-by-many"]);
}
