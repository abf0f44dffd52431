//! What was learned from one program or configuration and is a matter of choice raises no alarm on another.
mod support;

use support::torch::{Model, Optimizer, Torch};
use support::{Value, alarms, checked, learn};
use traincheck_analyzer::check::Status;
use traincheck_analyzer::invariants::{Doubt, Invariants, Level};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

/// How a program trains.
#[derive(Clone, Copy)]
struct Program {
    optimizer: &'static str,
    clear: Clear,
    clip: bool,
}

#[derive(Clone, Copy)]
enum Clear {
    Optimizer,
    Model,
    Nobody,
}

const PROGRAM: Program = Program { optimizer: "AdamW", clear: Clear::Optimizer, clip: true };

impl Program {
    fn run(self, seed: u64) -> MemoryTrace {
        let mut torch = Torch::new(seed);
        let model = torch.model("Net", &["weight", "bias"]);
        let optimizer = torch.optimizer(self.optimizer, &[model]);
        for _ in 0..12 {
            torch.within("train_epoch", |torch| {
                for _ in 0..6 {
                    match self.clear {
                        Clear::Optimizer => torch.zero_grad(optimizer),
                        Clear::Model => torch.zero_grad_of(model),
                        Clear::Nobody => {}
                    }
                    torch.forward(model, 10);
                    torch.backward(&[model]);
                    if self.clip {
                        torch.clip();
                    }
                    torch.step(optimizer);
                }
            });
        }
        torch.finish()
    }

    fn learned(self) -> Invariants {
        learn(&[self.run(1), self.run(2)])
    }
}

/// As if the runs had been of these programs.
fn of(mut invariants: Invariants, programs: [&str; 2]) -> Invariants {
    for (run, program) in invariants.runs.iter_mut().zip(programs) {
        run.program = Some(program.into());
    }
    invariants
}

fn count(invariants: &Invariants) -> usize {
    invariants.invariants.iter().filter(|invariant| invariant.level == Level::Alarm).count()
}

#[test]
fn another_optimizer() {
    let found = alarms(&PROGRAM.learned(), &Program { optimizer: "SGD", ..PROGRAM }.run(3));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn gradients_that_the_model_clears() {
    let invariants = PROGRAM.learned();
    let found = alarms(&invariants, &Program { clear: Clear::Model, ..PROGRAM }.run(3));
    assert!(found.is_empty(), "{found:?}");
    let found = alarms(&invariants, &Program { clear: Clear::Nobody, ..PROGRAM }.run(3));
    assert_eq!(found, ["gradients-not-cleared"]);
}

#[test]
fn what_all_references_are_of_one_program_for_applies_to_any() {
    let invariants = of(PROGRAM.learned(), ["train.py", "train.py"]);
    let trace = Program { clip: false, ..PROGRAM }.run(3);
    assert_eq!(alarms(&invariants.for_program(Some("other.py")), &trace), ["clipping-missing"]);
    assert_eq!(alarms(&invariants.for_program(None), &trace), ["clipping-missing"]);
}

#[test]
fn what_one_program_of_several_does_is_a_notice_for_others() {
    let mut invariants = of(PROGRAM.learned(), ["one.py", "two.py"]);
    let all = count(&invariants);
    assert_eq!(count(&invariants.for_program(Some("one.py"))), all);
    // What both of them do but in functions of their own applies to any other.
    let applying = count(&invariants.for_program(Some("three.py")));
    assert!(0 < applying && applying < all, "{applying} of {all}");
    for invariant in &mut invariants.invariants {
        invariant.evidence[1] = Default::default();
    }
    assert_eq!(count(&invariants.for_program(Some("one.py"))), all);
    // Nor may what was measured make alarms of them, or of what was in doubt before.
    invariants.invariants.iter_mut().for_each(|one| one.doubt = Some(Doubt::FewExamples));
    let others = invariants.for_program(Some("three.py"));
    assert_eq!(count(&others), 0);
    assert!(others.invariants.iter().all(|one| one.doubt.is_none()));
    let own = invariants.for_program(Some("one.py"));
    assert!(own.invariants.iter().all(|one| one.doubt.is_some()));
}

#[test]
fn a_program_is_one_however_its_path_was_typed() {
    let invariants = of(PROGRAM.learned(), ["train.py", "./train.py"]);
    let trace = Program { clip: false, ..PROGRAM }.run(3);
    assert_eq!(alarms(&invariants.for_program(Some("/home/me/train.py")), &trace), ["clipping-missing"]);
    let mut invariants = of(PROGRAM.learned(), ["/a/./train.py", "/a/./other.py"]);
    let all = count(&invariants);
    invariants.invariants.iter_mut().for_each(|invariant| invariant.evidence[1] = Default::default());
    for name in ["/a/./train.py", "/./a/train.py", "/a/train.py", "/b/./train.py", "../a/train.py"] {
        assert_eq!(count(&invariants.for_program(Some(name))), all, "{name}");
    }
    assert_eq!(count(&invariants.for_program(Some("/b/train.py"))), 0);
}

/// A model whose optimizer holds a copy of its weights. `by_hand`: the script gives the copy its gradients, and writes
/// it back.
fn over_a_copy(by_hand: bool) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", &["weight", "bias"]);
    let copy = torch.model("Net", &["weight", "bias"]);
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[copy]);
    torch.drop_model(copy);
    for _ in 0..12 {
        torch.within("train_epoch", |torch| {
            for _ in 0..6 {
                torch.zero_grad(optimizer);
                torch.zero_grad_of(model);
                torch.forward(model, 10);
                torch.backward(&[model, copy][..1 + usize::from(by_hand)]);
                torch.clip();
                torch.step(optimizer);
                if by_hand {
                    torch.write(model);
                }
            }
        });
    }
    torch.finish()
}

#[test]
fn weights_that_the_script_itself_writes_back() {
    let invariants = PROGRAM.learned();
    let found = alarms(&invariants, &over_a_copy(true));
    assert!(found.is_empty(), "{found:?}");
    let found = alarms(&invariants, &over_a_copy(false));
    assert_eq!(found.first().map(String::as_str), Some("stale-optimizer"), "{found:?}");
}

/// The program with a step for every four batches. `kept`: gradients are cleared then, else before every backward.
fn accumulating(kept: bool) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model("Net", &["weight", "bias"]);
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[model]);
    for _ in 0..12 {
        torch.within("train_epoch", |torch| {
            for batch in 0..8 {
                if !kept || batch % 4 == 0 {
                    torch.zero_grad(optimizer);
                }
                torch.forward(model, 10);
                torch.backward(&[model]);
                if batch % 4 == 3 {
                    torch.clip();
                    torch.step(optimizer);
                }
            }
        });
    }
    torch.finish()
}

#[test]
fn accumulation_of_gradients() {
    let invariants = PROGRAM.learned();
    let found = alarms(&invariants, &accumulating(true));
    assert!(found.is_empty(), "{found:?}");
    let found = alarms(&invariants, &accumulating(false));
    assert_eq!(found.first().map(String::as_str), Some("step-missing"), "{found:?}");
}

/// The program with another model, in which `change` changes something before it trains.
fn other_model(class: &str, change: impl FnOnce(&mut Torch, Model, Optimizer) -> Model) -> MemoryTrace {
    let mut torch = Torch::new(3);
    let model = torch.model(class, &["weight", "bias"]);
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[model]);
    let model = change(&mut torch, model, optimizer);
    train(&mut torch, model, optimizer);
    torch.finish()
}

fn train(torch: &mut Torch, model: Model, optimizer: Optimizer) {
    for _ in 0..12 {
        torch.within("train_epoch", |torch| {
            for _ in 0..6 {
                torch.zero_grad(optimizer);
                torch.forward(model, 10);
                torch.backward(&[model]);
                torch.clip();
                torch.step(optimizer);
            }
        });
    }
}

/// How the claim ended that the model is called in training mode.
fn in_training(invariants: &Invariants, trace: &MemoryTrace) -> Status {
    let says = "in every training iteration, `Net.__call__` is called in training mode";
    let at = invariants.invariants.iter().position(|one| one.claim.text() == says).expect("it was learned");
    assert_eq!(invariants.invariants[at].level, Level::Alarm);
    checked(invariants, trace).tallies[at].status()
}

#[test]
fn another_model_or_the_same_in_a_wrapper() {
    let invariants = PROGRAM.learned();
    let other = other_model("Other", |_, model, _| model);
    let wrapped = other_model("Net", |torch, model, _| torch.wrap(model, "Task"));
    for (what, trace) in [("another", other), ("wrapped", wrapped)] {
        let found = alarms(&invariants, &trace);
        assert!(found.is_empty(), "{what}: {found:?}");
        assert_eq!(in_training(&invariants, &trace), Status::NotTriggered, "{what}");
    }
    let evaluating = other_model("Net", |torch, model, _| {
        torch.eval(model);
        model
    });
    assert_eq!(alarms(&invariants, &evaluating), ["evaluation-mode"]);
}

#[test]
fn a_wrapped_model_that_is_evaluated_without_its_wrapper() {
    let invariants = PROGRAM.learned();
    let mut torch = Torch::new(3);
    let (model, wrapper) =
        (torch.model("Net", &["weight", "bias"]), torch.model("Task", &["weight", "bias"]));
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[wrapper]);
    for _ in 0..3 {
        train(&mut torch, wrapper, optimizer);
        torch.eval(model);
        torch.no_grad(|torch| torch.forward(model, 20));
        torch.train(model);
    }
    let found = alarms(&invariants, &torch.finish());
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_mode_that_is_set_on_the_model_within_a_wrapper() {
    let task = |seed| {
        let mut torch = Torch::new(seed);
        let model = torch.model("Net", &["weight", "bias"]);
        let optimizer = torch.optimizer(PROGRAM.optimizer, &[model]);
        let task = torch.wrap(model, "Task");
        train(&mut torch, task, optimizer);
        torch.finish()
    };
    let invariants = learn(&[task(1), task(2)]);
    let switched = other_model("Net", |torch, model, _| {
        torch.train(model);
        torch.wrap(model, "Task")
    });
    let found = alarms(&invariants, &switched);
    assert!(found.is_empty(), "{found:?}");
    let stale = other_model("Net", |torch, model, optimizer| {
        let task = torch.wrap(model, "Task");
        train(torch, task, optimizer);
        torch.orphan(task, optimizer);
        torch.model("Task", &["net.weight", "net.bias"])
    });
    assert_eq!(alarms(&invariants, &stale).first().map(String::as_str), Some("stale-optimizer"));
}

/// The program with a step for every `batches` batches, which clears gradients behind it. `without`: a part that it lacks.
fn clearing_behind(seed: u64, batches: u32, without: &str) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["weight", "bias"]);
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[model]);
    for _ in 0..60 {
        for _ in 0..batches {
            torch.forward(model, 10);
            torch.backward(&[model]);
        }
        if without != "clip" {
            torch.clip();
        }
        if without != "step" {
            torch.step(optimizer);
        }
        if without != "zero_grad" {
            torch.zero_grad(optimizer);
        }
    }
    torch.finish()
}

#[test]
fn a_first_step_that_comes_later() {
    let invariants = learn(&[clearing_behind(1, 1, ""), clearing_behind(2, 1, "")]);
    let found = alarms(&invariants, &clearing_behind(3, 4, ""));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn references_of_which_some_accumulate_gradients_and_some_do_not() {
    let references = [(1, 1), (2, 1), (3, 4), (4, 4)];
    let invariants = learn(&references.map(|(seed, batches)| clearing_behind(seed, batches, "")));
    for batches in [1, 4, 8] {
        let found = alarms(&invariants, &clearing_behind(5, batches, ""));
        assert!(found.is_empty(), "{batches}: {found:?}");
        for (without, cause) in
            [("clip", "clipping-missing"), ("step", "step-missing"), ("zero_grad", "gradients-not-cleared")]
        {
            let found = alarms(&invariants, &clearing_behind(5, batches, without));
            assert_eq!(found, [cause], "{batches} without {without}");
        }
    }
}

/// The program with a gradient scaler. `unscales`: before clipping.
fn scaling(seed: u64, enabled: bool, unscales: bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["weight", "bias"]);
    let optimizer = torch.optimizer(PROGRAM.optimizer, &[model]);
    let class = "torch.amp.grad_scaler.GradScaler";
    let scaler = torch.record.object("GradScaler", ObjectKind::Scaler, class);
    let flag = torch.record.variable("GradScaler._enabled", VariableKind::ScalerState, scaler);
    let call = |torch: &mut Torch, method: &str, role| {
        torch.record.call(&format!("{class}.{method}"), role, scaler);
    };
    for _ in 0..30 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        call(&mut torch, "scale", Role::ScalerScale);
        torch.backward(&[model]);
        if unscales {
            call(&mut torch, "unscale_", Role::ScalerUnscale);
        }
        torch.clip();
        torch.record.enter(&format!("{class}.step"), Role::ScalerStep, scaler, 0);
        torch.step(optimizer);
        torch.record.exit(false);
        torch.record.enter(&format!("{class}.update"), Role::ScalerUpdate, scaler, 0);
        torch.record.look(false);
        torch.record.state(flag, Attribute::Value, Value::Bool(enabled));
        torch.record.exit(false);
    }
    torch.finish()
}

#[test]
fn a_gradient_scaler_that_is_switched_off() {
    let invariants = learn(&[scaling(1, true, true), scaling(2, true, true)]);
    let found = alarms(&invariants, &scaling(3, false, false));
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(alarms(&invariants, &scaling(3, true, false)), ["clipping-before-unscaling"]);
}

#[test]
fn a_part_that_a_training_can_do_without() {
    let invariants = of(PROGRAM.learned(), ["one.py", "two.py"]);
    let trace = Program { clip: false, ..PROGRAM }.run(5);
    assert_eq!(alarms(&invariants.for_program(Some("two.py")), &trace), ["clipping-missing"]);
    let found = alarms(&invariants.for_program(Some("three.py")), &trace);
    assert!(found.is_empty(), "{found:?}");
    let trace = Program { clear: Clear::Nobody, ..PROGRAM }.run(5);
    assert_eq!(alarms(&invariants.for_program(Some("three.py")), &trace), ["gradients-not-cleared"]);
}
