//! Evaluating in training mode is found by the function that evaluates; acting without gradients in training mode, as
//! references do, is not.
mod support;

use support::torch::{Model, Optimizer, Torch};
use support::{alarms, learn};
use traincheck_analyzer::source::MemoryTrace;

const NAMES: &[&str] = &["hidden.weight", "hidden.bias", "norm._running_mean"];

struct Script {
    seed: u64,
    epochs: u32,
    evaluates: bool,
    acts: bool,
    forgets: bool,
    first: bool,
}

const CLEAN: Script =
    Script { seed: 1, epochs: 4, evaluates: true, acts: false, forgets: false, first: false };

fn batch(torch: &mut Torch, model: Model, optimizer: Optimizer) {
    torch.zero_grad(optimizer);
    torch.forward(model, 10);
    torch.backward(&[model]);
    torch.step(optimizer);
}

impl Script {
    fn evaluate(&self, torch: &mut Torch, model: Model) {
        torch.within("evaluate", |torch| {
            if !self.forgets {
                torch.eval(model);
            }
            for _ in 0..3 {
                torch.no_grad(|torch| torch.forward(model, 20));
            }
        });
    }

    fn run(&self) -> MemoryTrace {
        let mut torch = Torch::new(self.seed);
        let model = torch.model("Net", NAMES);
        let optimizer = torch.optimizer("AdamW", &[model]);
        if self.first {
            self.evaluate(&mut torch, model);
        }
        for _ in 0..self.epochs {
            torch.within("train_epoch", |torch| {
                torch.train(model);
                for _ in 0..5 {
                    if self.acts {
                        torch.within("act", |torch| torch.no_grad(|torch| torch.forward(model, 15)));
                    }
                    batch(torch, model, optimizer);
                }
            });
            if self.evaluates {
                self.evaluate(&mut torch, model);
            }
        }
        torch.finish()
    }
}

fn found(references: [Script; 2], script: Script) -> Vec<String> {
    alarms(&learn(&references.map(|reference| reference.run())), &script.run())
}

fn references() -> [Script; 2] {
    [Script { acts: true, ..CLEAN }, Script { seed: 2, acts: true, ..CLEAN }]
}

#[test]
fn it_is_found() {
    assert_eq!(
        found(references(), Script { seed: 3, acts: true, forgets: true, ..CLEAN }),
        ["evaluated-in-training-mode"]
    );
    assert_eq!(
        found(references(), Script { seed: 3, epochs: 1, forgets: true, ..CLEAN }),
        ["evaluated-in-training-mode"]
    );
}

#[test]
fn clean_variants_raise_no_alarm() {
    for script in [
        Script { seed: 3, acts: true, ..CLEAN },
        Script { seed: 3, epochs: 1, ..CLEAN },
        Script { seed: 3, evaluates: false, acts: true, ..CLEAN },
        Script { seed: 3, first: true, acts: true, ..CLEAN },
    ] {
        let found = found(references(), script);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn references_that_do_it_say_nothing() {
    let references = [Script { forgets: true, ..CLEAN }, Script { seed: 2, ..CLEAN }];
    assert!(found(references, Script { seed: 3, forgets: true, ..CLEAN }).is_empty());
}
