//! Invariants of two runs of one script: they find each error, and nothing in the runs of its clean variants.
mod support;

use support::scripts::{Error, Order, Schedule, Script, Style, gan, gan_with};
use support::torch::Torch;
use support::{alarms, learn, text};
use traincheck_analyzer::invariants::Invariants;

/// From two runs that differ in their seeds.
fn learned(script: Script) -> Invariants {
    let of = |seed| Script { seed, ..script }.run().finish();
    learn(&[of(11), of(12)])
}

fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for order in [Order::First, Order::BeforeBackward, Order::Last] {
        for style in [Style::Flat, Style::Epochs, Style::Steps] {
            for accumulate in [1, 2] {
                for schedule in [Schedule::None, Schedule::Epoch, Schedule::Iteration] {
                    for loader in [true, false] {
                        let clip = accumulate == 2;
                        scripts.push(Script {
                            order,
                            style,
                            accumulate,
                            schedule,
                            loader,
                            clip,
                            ..Script::default()
                        });
                    }
                }
            }
        }
    }
    scripts
}

/// A fifth of them. Five divides none of the numbers of ways, so every two ways of different kinds come together in one.
fn some_scripts() -> impl Iterator<Item = Script> {
    scripts().into_iter().step_by(5)
}

fn clean_variants(script: Script) -> Vec<Script> {
    let base = Script { seed: 77, ..script };
    vec![
        base,
        Script { epochs: 1, ..base },
        Script { epochs: 9, ..base },
        Script { batches: 2, ..base },
        Script { batches: 25, ..base },
        Script { evaluate: false, ..base },
        Script { evaluate: false, epochs: 7, batches: 3, ..base },
        Script { resume: true, epochs: 2, ..base },
    ]
}

#[test]
fn clean_variants_raise_no_alarm() {
    for script in scripts() {
        let invariants = learned(script);
        for variant in clean_variants(script) {
            let found = alarms(&invariants, &variant.run().finish());
            assert!(found.is_empty(), "{found:?} in {variant:?}");
        }
    }
}

#[test]
fn runs_killed_anywhere_raise_no_alarm() {
    for script in scripts() {
        let invariants = learned(script);
        for percent in (5..100).step_by(13) {
            let trace = Script { seed: 5, ..script }.run().killed(f64::from(percent) / 100.0);
            let found = alarms(&invariants, &trace);
            assert!(found.is_empty(), "{found:?} after {percent} % of {script:?}");
        }
    }
}

fn finds(script: Script, error: Error, cause: &str) {
    let invariants = learned(script);
    let trace = Script { seed: 42, error, ..script }.run().finish();
    let found = alarms(&invariants, &trace);
    assert_eq!(found, [cause], "in {script:?}:\n{}", text(&invariants, &trace));
}

#[test]
fn a_missing_zero_grad_is_found() {
    for script in some_scripts() {
        finds(script, Error::NoZeroGrad, "gradients-not-cleared");
    }
}

#[test]
fn an_optimizer_over_a_replaced_model_is_found() {
    for script in some_scripts() {
        finds(script, Error::StaleOptimizer, "stale-optimizer");
    }
}

#[test]
fn a_scheduler_that_never_steps_is_found() {
    for script in some_scripts() {
        if script.schedule != Schedule::None && script.loader {
            finds(script, Error::NoScheduler, "scheduler-not-stepped");
        }
    }
}

#[test]
fn a_scheduler_that_never_steps_is_found_in_a_long_run_without_a_loader() {
    let script = Script { schedule: Schedule::Epoch, loader: false, ..Script::default() };
    let invariants = learned(script);
    let trace = Script { error: Error::NoScheduler, epochs: 30, ..script }.run().finish();
    assert_eq!(alarms(&invariants, &trace), ["scheduler-not-stepped"]);
}

#[test]
fn a_scheduler_that_never_steps_is_found_when_the_second_pass_begins() {
    let script = Script::default();
    let invariants = learned(script);
    let trace = Script { error: Error::NoScheduler, ..script }.run().finish();
    let text = text(&invariants, &trace);
    assert!(text.contains(&format!("Found in iteration {} ", script.batches + 1)), "{text}");
}

#[test]
fn a_frozen_backbone_is_found_and_named() {
    for script in some_scripts() {
        finds(script, Error::FrozenBackbone, "frozen-parameters");
        let invariants = learned(script);
        let trace = Script { error: Error::FrozenBackbone, ..script }.run().finish();
        let text = text(&invariants, &trace);
        assert!(text.contains("all 4 parameters of `Net.backbone`"), "{text}");
    }
}

#[test]
fn evaluation_mode_left_on_is_found() {
    for script in some_scripts() {
        finds(script, Error::EvalAfterFirstEvaluation, "evaluation-mode");
    }
}

#[test]
fn evaluation_mode_from_the_start_is_found_in_the_second_iteration() {
    for script in some_scripts() {
        finds(Script { evaluate: false, ..script }, Error::EvalFromTheStart, "evaluation-mode");
        let invariants = learned(script);
        let trace = Script { error: Error::EvalFromTheStart, ..script }.run().finish();
        let text = text(&invariants, &trace);
        assert!(text.contains("Found in iteration 2 ") && text.contains("since iteration 1"), "{text}");
    }
}

#[test]
fn a_missing_step_is_found() {
    for script in some_scripts() {
        let invariants = learned(script);
        let trace = Script { error: Error::NoStep, ..script }.run().finish();
        let found = alarms(&invariants, &trace);
        // With accumulation and neither a loader nor a function that ought to contain one, it takes longer to show.
        if script.accumulate == 1 || script.loader || script.style == Style::Epochs {
            assert!(found.contains(&"step-missing".to_owned()), "{found:?} in {script:?}");
        } else {
            let trace = Script { error: Error::NoStep, epochs: 30, ..script }.run().finish();
            let found = alarms(&invariants, &trace);
            assert!(found.contains(&"step-missing".to_owned()), "{found:?} in {script:?}");
        }
    }
}

#[test]
fn a_missing_step_is_found_early_where_gradients_are_accumulated() {
    for script in some_scripts().filter(|script| script.accumulate == 2) {
        let invariants = learned(script);
        // One epoch, so that nothing can be told at the end of another.
        let trace = Script { error: Error::NoStep, epochs: 1, batches: 90, ..script }.run().finish();
        let text = text(&invariants, &trace);
        assert!(alarms(&invariants, &trace).contains(&"step-missing".to_owned()), "{text} in {script:?}");
    }
}

#[test]
fn clipping_after_the_step_is_found_in_the_second_step() {
    for script in some_scripts().filter(|script| script.clip) {
        finds(script, Error::ClipAfterStep, "clipping-after-the-step");
        let trace = Script { error: Error::ClipAfterStep, ..script }.run().finish();
        let text = text(&learned(script), &trace);
        assert!(text.contains(&format!("Found in iteration {} ", 2 * script.accumulate)), "{text}");
    }
}

#[test]
fn gradients_that_are_cleared_before_a_step_has_used_them_are_found() {
    for script in some_scripts().filter(|script| script.accumulate == 2) {
        finds(Script { batches: 12, ..script }, Error::ZeroInsideAccumulation, "gradients-thrown-away");
    }
    for script in some_scripts() {
        finds(script, Error::ZeroBeforeStep, "gradients-thrown-away");
    }
}

#[test]
fn a_missing_backward_is_found() {
    for script in some_scripts() {
        finds(script, Error::NoBackward, "backward-missing");
    }
}

#[test]
fn parameters_in_no_optimizer_are_found() {
    for script in some_scripts() {
        finds(script, Error::HeadNotInOptimizer, "parameters-in-no-optimizer");
    }
}

#[test]
fn a_learning_rate_of_zero_is_no_error_of_the_step() {
    let script = Script::default();
    let invariants = learned(script);
    let trace = Script { error: Error::ZeroLearningRate, ..script }.run().finish();
    assert!(alarms(&invariants, &trace).is_empty());
}

#[test]
fn two_optimizers_of_one_class_are_told_apart() {
    let invariants = learn(&[gan(1, 3, 5, Error::None).finish(), gan(2, 3, 5, Error::None).finish()]);
    for (epochs, batches) in [(1, 9), (5, 2), (3, 5)] {
        let found = alarms(&invariants, &gan(9, epochs, batches, Error::None).finish());
        assert!(found.is_empty(), "{found:?}");
    }
    for percent in [10, 33, 61, 88] {
        let found = alarms(&invariants, &gan(9, 3, 5, Error::None).killed(f64::from(percent) / 100.0));
        assert!(found.is_empty(), "{found:?} after {percent} %");
    }
    let found = alarms(&invariants, &gan_with(9, 3, 5, 2, Error::None).finish());
    assert!(found.is_empty(), "one may step more often than the other: {found:?}");
    let found = alarms(&invariants, &gan(3, 3, 5, Error::NoZeroGrad).finish());
    assert_eq!(found, ["gradients-not-cleared"]);
}

/// A scheduler stepped with an optimizer of this class.
fn scheduled(seed: u64, class: &str) -> Torch {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["head.weight", "head.bias"]);
    let optimizer = torch.optimizer(class, &[model]);
    let scheduler = torch.scheduler("StepLR", optimizer);
    for _ in 0..12 {
        torch.zero_grad(optimizer);
        torch.forward(model, 12);
        torch.backward(&[model]);
        torch.step(optimizer);
        torch.scheduler_step(scheduler);
    }
    torch
}

#[test]
fn another_optimizer_does_what_that_of_the_references_did() {
    let invariants = learn(&[scheduled(1, "AdamW").finish(), scheduled(2, "AdamW").finish()]);
    let trace = scheduled(3, "SGD").finish();
    assert!(alarms(&invariants, &trace).is_empty(), "{}", text(&invariants, &trace));
}
