//! Evaluating in training mode is found by the function that evaluates; acting without gradients in training mode, as
//! references do, is not. In any program a model that is trained is not evaluated in training mode; but not every call without
//! gradients is an evaluation.
mod support;

use support::torch::{Model, Optimizer, Torch};
use support::{alarms, learn, with_library};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Role, Stage, flags};

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

/// A model with dropout.
fn net(torch: &mut Torch) -> Model {
    let model = torch.model("Net", NAMES);
    torch.part(model, "drop", "torch.nn.modules.dropout.Dropout");
    model
}

/// A call without gradients, whose result is compared with something or not.
fn look(torch: &mut Torch, model: Model, compares: bool) {
    torch.no_grad(|torch| {
        let stage = std::mem::replace(&mut torch.record.stage, Stage::Evaluation);
        torch.forward(model, 20);
        if compares {
            torch.record.call("torch.nn.functional.cross_entropy", Role::Other, 0);
        }
        torch.record.stage = stage;
    });
}

/// So many passes of twenty batches, with `before` each batch and `behind` each pass. Judged by the library.
fn passes(
    count: u32,
    before: impl Fn(&mut Torch, Model, u32),
    behind: impl Fn(&mut Torch, Model),
) -> Vec<String> {
    let mut torch = Torch::new(1);
    let model = net(&mut torch);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for pass in 0..count {
        torch.train(model);
        for number in 0..20 {
            before(&mut torch, model, pass * 20 + number);
            batch(&mut torch, model, optimizer);
        }
        behind(&mut torch, model);
    }
    alarms(&with_library(Invariants::default(), None), &torch.finish())
}

#[test]
fn in_any_program_it_is_found() {
    let found = |count| passes(count, |_, _, _| {}, |torch, model| look(torch, model, false));
    assert_eq!(found(4), ["evaluated-in-training-mode"]);
    // Once at the end of the run.
    assert_eq!(found(1), ["evaluated-in-training-mode"]);
    let switches = |torch: &mut Torch, model| {
        torch.eval(model);
        look(torch, model, false);
    };
    assert!(passes(4, |_, _, _| {}, switches).is_empty());
}

#[test]
fn what_belongs_to_the_training_step_is_no_evaluation() {
    for every in [1, 2] {
        let labels = |torch: &mut Torch, model, number: u32| {
            if number.is_multiple_of(every) {
                look(torch, model, true);
            }
        };
        assert!(passes(5, labels, |_, _| {}).is_empty(), "{every}");
        assert!(passes(1, labels, |_, _| {}).is_empty(), "{every}");
        // From a later pass on.
        let later = |torch: &mut Torch, model, number| {
            if number >= 60 {
                labels(torch, model, number);
            }
        };
        assert!(passes(5, later, |_, _| {}).is_empty(), "{every}");
    }
    let seldom = |torch: &mut Torch, model, number: u32| {
        if number.is_multiple_of(10) {
            look(torch, model, true);
        }
    };
    assert_eq!(passes(5, seldom, |_, _| {}), ["evaluated-in-training-mode"]);
}

#[test]
fn a_model_that_was_just_put_in_training_mode_is_meant_to_be() {
    let samples = |torch: &mut Torch, model| {
        torch.eval(model);
        look(torch, model, true);
        torch.train(model);
        look(torch, model, true);
        look(torch, model, true);
    };
    assert!(passes(4, |_, _, _| {}, samples).is_empty());
}

/// Two networks that are trained against one another, and samples of one now and then. `compares`: with something.
fn samples(compares: bool, loads: bool) -> Vec<String> {
    let mut torch = Torch::new(1);
    let (generator, critic) = (net(&mut torch), torch.model("Critic", &["weight"]));
    let optimizers = [torch.optimizer("Adam", &[generator]), torch.optimizer("Adam", &[critic])];
    let loader = torch.loader();
    for number in 0..60 {
        for (model, optimizer) in [critic, generator].into_iter().zip([optimizers[1], optimizers[0]]) {
            batch(&mut torch, model, optimizer);
        }
        if number % 20 == 19 {
            if loads {
                torch.record.call("torch.utils.data._Iter.__next__", Role::LoaderNext, loader.id());
            }
            look(&mut torch, generator, compares);
        }
    }
    alarms(&with_library(Invariants::default(), None), &torch.finish())
}

#[test]
fn samples_that_are_compared_with_nothing_are_no_evaluation() {
    assert!(samples(false, false).is_empty());
    assert_eq!(samples(true, false), ["evaluated-in-training-mode"]);
    assert_eq!(samples(false, true), ["evaluated-in-training-mode"]);
}

/// Trains with a part of the model in evaluation mode, and evaluates with it in training mode. Judged by the library.
fn switched(name: &str, class: &str, below: bool) -> Vec<String> {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", NAMES);
    let part = torch.part(model, name, class);
    if below {
        torch.part(model, &format!("{name}.drop"), "torch.nn.modules.dropout.Dropout");
    }
    let optimizer = torch.optimizer("AdamW", &[model]);
    let call = |torch: &mut Torch, line, [around, within]: [u16; 2]| {
        torch.forward_around(model, line, around, |torch| {
            torch.record.enter(&format!("{class}.__call__"), Role::ModuleCall, part, within);
            torch.record.exit(false);
        });
    };
    for _ in 0..12 {
        torch.zero_grad(optimizer);
        call(&mut torch, 10, [flags::MODULE_TRAIN, flags::MODULE_EVAL]);
        torch.backward(&[model]);
        torch.step(optimizer);
        torch.no_grad(|torch| call(torch, 20, [flags::MODULE_EVAL, flags::MODULE_TRAIN]));
    }
    alarms(&with_library(Invariants::default(), None), &torch.finish())
}

#[test]
fn a_batch_norm_or_dropout_that_was_switched_by_itself_is_meant_to_be() {
    assert!(switched("norm", "torch.nn.modules.batchnorm.BatchNorm2d", false).is_empty());
    assert!(switched("drop", "torch.nn.modules.dropout.Dropout", false).is_empty());
    let found = switched("body", "torch.nn.modules.container.Sequential", true);
    assert!(found.contains(&"part-in-evaluation-mode".to_owned()), "{found:?}");
    assert!(found.contains(&"part-evaluated-in-training-mode".to_owned()), "{found:?}");
}
