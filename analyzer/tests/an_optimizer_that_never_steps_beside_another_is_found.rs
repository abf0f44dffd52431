//! One of two optimizers that never steps is found where its gradients are computed and thrown away again and again, and not
//! where it may wait for its turn, where something else trains what it holds, or where there is nothing to use.
mod support;

use support::torch::{Grads, Model, Optimizer, Torch};
use support::{alarms, text, with_library};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::source::MemoryTrace;

fn found(trace: &MemoryTrace) -> Vec<String> {
    alarms(&with_library(Invariants::default(), None), trace)
}

/// An encoder and a decoder, with an optimizer each, of which the encoder's does not step.
struct Pair {
    torch: Torch,
    models: [Model; 2],
    optimizers: [Optimizer; 2],
}

impl Pair {
    fn new() -> Pair {
        let mut torch = Torch::new(1);
        let models = ["Encoder", "Decoder"].map(|class| torch.model(class, &["body.weight", "head.weight"]));
        let optimizers = models.map(|model| torch.optimizer("Adam", &[model]));
        Pair { torch, models, optimizers }
    }

    /// A batch, before which `clear` clears the gradients.
    fn batch(&mut self, clear: impl Fn(&mut Torch)) {
        clear(&mut self.torch);
        batch(&mut self.torch, self.models, self.optimizers);
    }

    fn run(mut self, batches: u32, clear: impl Fn(&mut Torch)) -> MemoryTrace {
        (0..batches).for_each(|_| self.batch(&clear));
        self.torch.finish()
    }
}

fn batch(torch: &mut Torch, models: [Model; 2], optimizers: [Optimizer; 2]) {
    torch.forward(models[0], 10);
    torch.forward(models[1], 11);
    torch.backward(&models);
    torch.step(optimizers[1]);
}

#[test]
fn one_whose_gradients_are_cleared_by_its_own_zero_grad() {
    let pair = Pair::new();
    let optimizers = pair.optimizers;
    let trace = pair.run(30, |torch| optimizers.iter().for_each(|one| torch.zero_grad(*one)));
    assert_eq!(found(&trace), ["step-missing"]);
    let report = text(&with_library(Invariants::default(), None), &trace);
    assert!(report.contains("Concerned: all 2 parameters of `Encoder`."), "{report}");
    assert!(report.contains("held by Adam."), "{report}");
}

#[test]
fn one_whose_gradients_are_cleared_by_its_model() {
    let pair = Pair::new();
    let models = pair.models;
    let trace = pair.run(30, |torch| models.iter().for_each(|one| torch.zero_grad_of(*one)));
    assert_eq!(found(&trace), ["step-missing"]);
}

#[test]
fn one_that_keeps_its_gradients_may_have_its_turn_later() {
    let pair = Pair::new();
    let decoder = pair.optimizers[1];
    assert_eq!(found(&pair.run(60, |torch| torch.zero_grad(decoder))), [""; 0]);
}

#[test]
fn one_over_a_part_of_the_model_whose_gradients_are_cleared_as_a_whole() {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["body.weight", "head.weight"]);
    let head = torch.optimizer_of("Adam", &[(model, "head")]);
    torch.optimizer_of("Adam", &[(model, "body")]);
    for _ in 0..60 {
        torch.zero_grad_of(model);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(head);
    }
    assert_eq!(found(&torch.finish()), [""; 0]);
}

#[test]
fn one_in_a_run_that_is_no_longer_than_a_try() {
    let pair = Pair::new();
    let optimizers = pair.optimizers;
    let clear = |torch: &mut Torch| optimizers.iter().for_each(|one| torch.zero_grad(*one));
    assert_eq!(found(&pair.run(12, clear)), [""; 0]);
}

#[test]
fn one_that_steps_in_the_end() {
    let mut pair = Pair::new();
    let optimizers = pair.optimizers;
    for _ in 0..30 {
        pair.batch(|torch| optimizers.iter().for_each(|one| torch.zero_grad(*one)));
    }
    pair.torch.step(optimizers[0]);
    assert_eq!(found(&pair.torch.finish()), [""; 0]);
}

#[test]
fn one_whose_parameters_the_script_updates_by_hand() {
    let mut pair = Pair::new();
    let (optimizers, encoder) = (pair.optimizers, pair.models[0]);
    for _ in 0..30 {
        pair.batch(|torch| optimizers.iter().for_each(|one| torch.zero_grad(*one)));
        pair.torch.write(encoder);
    }
    assert_eq!(found(&pair.torch.finish()), [""; 0]);
}

#[test]
fn one_whose_parameters_another_steps_with() {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["body.weight", "head.weight"]);
    let replaced = torch.optimizer("SGD", &[model]);
    let optimizer = torch.optimizer("Adam", &[model]);
    for _ in 0..30 {
        torch.zero_grad(replaced);
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    assert_eq!(found(&torch.finish()), [""; 0]);
}

#[test]
fn one_whose_gradients_are_not_finite() {
    let mut pair = Pair::new();
    let optimizers = pair.optimizers;
    pair.torch.gradients = Some(("Encoder.head", Grads::NonFinite));
    let clear = |torch: &mut Torch| optimizers.iter().for_each(|one| torch.zero_grad(*one));
    assert!(!found(&pair.run(30, clear)).contains(&"step-missing".to_owned()));
}

#[test]
fn one_whose_gradients_are_zero() {
    let mut pair = Pair::new();
    let optimizers = pair.optimizers;
    pair.torch.gradients = Some(("Encoder.", Grads::Zero));
    let clear = |torch: &mut Torch| optimizers.iter().for_each(|one| torch.zero_grad(*one));
    assert!(!found(&pair.run(30, clear)).contains(&"step-missing".to_owned()));
}

/// So many passes over the data of so many batches each.
fn passes(passes: u32, batches: u32) -> MemoryTrace {
    let Pair { mut torch, models, optimizers } = Pair::new();
    let loader = torch.loader();
    for _ in 0..passes {
        torch.each(loader, 5, batches, |torch, _| {
            optimizers.iter().for_each(|one| torch.zero_grad(*one));
            batch(torch, models, optimizers);
            true
        });
    }
    torch.finish()
}

#[test]
fn one_that_may_have_its_turn_in_the_second_pass() {
    assert_eq!(found(&passes(1, 60)), [""; 0]);
    assert_eq!(found(&passes(2, 30)), ["step-missing"]);
    assert_eq!(found(&passes(1, 300)), ["step-missing"]);
}
