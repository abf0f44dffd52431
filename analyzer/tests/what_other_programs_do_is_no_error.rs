//! What was learned from one program or configuration and is a matter of choice raises no alarm on another.
mod support;

use support::torch::Torch;
use support::{alarms, learn};
use traincheck_analyzer::invariants::{Invariants, Level};
use traincheck_analyzer::source::MemoryTrace;

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
    assert_eq!(count(&invariants.for_program(Some("three.py"))), 0);
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
