//! A model that draws no random numbers in evaluation, and one that does; activations that are computed again with the same
//! random numbers, and with others.
mod support;

use support::torch::Torch;
use support::{Value, alarms, learn};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind, flags};

/// Trains, with an evaluation of two batches after every third of 18 iterations. `draws`: whether the model does in the
/// batch with this number.
fn training(seed: u64, draws: impl Fn(u64) -> bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["hidden.weight", "head.weight"]);
    let optimizer = torch.optimizer("AdamW", &[model]);
    let (mut batch, mut stream) = (0, 100 * seed);
    for iteration in 1..=18 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
        if iteration % 3 == 0 {
            torch.eval(model);
            for _ in 0..2 {
                // What draws beside it, such as a loader, does not matter.
                stream += 1;
                let before = stream;
                stream += u64::from(draws(batch));
                torch.evaluate(model, 20, [before, stream]);
                batch += 1;
            }
            torch.train(model);
        }
    }
    torch.finish()
}

fn found(reference: impl Fn(u64) -> bool, run: impl Fn(u64) -> bool) -> Vec<String> {
    let invariants = learn(&[training(1, &reference), training(2, &reference)]);
    alarms(&invariants, &training(3, run))
}

#[test]
fn dropout_that_is_on_in_evaluation_is_found() {
    assert_eq!(found(|_| false, |_| true), ["random-numbers-in-evaluation"]);
    assert_eq!(found(|_| false, |batch| batch > 8), ["random-numbers-in-evaluation"]);
    assert!(found(|_| false, |_| false).is_empty());
}

#[test]
fn a_model_that_samples_in_the_references_may() {
    assert!(found(|_| true, |_| true).is_empty());
    assert!(found(|batch| batch == 5, |_| true).is_empty());
}

#[test]
fn what_happens_once_or_twice_is_an_accident() {
    assert!(found(|_| false, |batch| batch % 3 != 0).is_empty());
}

/// A call of the block, outermost or not, with PyTorch's stream at its entry.
fn block(torch: &mut Torch, outermost: u16, words: u64) {
    let stream = torch.record.variable("torch.default_generator", VariableKind::Rng, 0);
    let object = torch.record.object("Net.block", ObjectKind::Module, "__main__.Block");
    torch.record.enter("__main__.Block.__call__", Role::ModuleCall, object, flags::MODULE_TRAIN | outermost);
    torch.record.state(stream, Attribute::Data, Value::Tensor(words));
    torch.record.exit(false);
}

/// Trains with a block that is computed again in each backward. `forgets`: with other random numbers in this iteration;
/// `calls`: how often it is called.
fn checkpointed(seed: u64, calls: u64, forgets: impl Fn(u64) -> bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["block.weight"]);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for iteration in 1..=12 {
        let words = 100 * seed + 10 * iteration;
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        (0..calls).for_each(|call| block(&mut torch, 0, words + call));
        torch.record.enter("torch.Tensor.backward", Role::Backward, 0, 0);
        block(&mut torch, flags::OUTERMOST, words + if forgets(iteration) { 9 } else { 0 });
        torch.record.exit(false);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn what_is_computed_again_with_other_random_numbers_is_found() {
    let cause = "recomputed-with-other-random-numbers";
    let found = |reference: fn(u64) -> bool, calls, run: fn(u64) -> bool| {
        let invariants = learn(&[checkpointed(1, 1, reference), checkpointed(2, 1, reference)]);
        alarms(&invariants, &checkpointed(3, calls, run))
    };
    assert_eq!(found(|_| false, 1, |_| true), [cause]);
    assert!(found(|_| false, 1, |_| false).is_empty());
    assert!(found(|_| false, 1, |iteration| iteration % 3 != 0).is_empty(), "never three times in a row");
    // Nothing is drawn, and nothing preserved.
    assert!(found(|_| true, 1, |_| true).is_empty());
    // Which of several calls is computed again cannot be told.
    assert!(found(|_| false, 2, |_| true).is_empty());
}
