//! A model that draws no random numbers in evaluation, and one that does.
mod support;

use support::torch::Torch;
use support::{alarms, learn};
use traincheck_analyzer::source::MemoryTrace;

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
