//! A function of the script that changes parameters in the references and changes none is found.
mod support;

use support::torch::{Model, Torch};
use support::{alarms, learn};
use traincheck_analyzer::source::MemoryTrace;

#[derive(Clone, Copy)]
struct Script {
    seed: u64,
    iterations: u32,
    /// Iterations in which `prune` writes.
    writes: fn(u32) -> bool,
    /// Whether `prune` is called.
    prunes: bool,
    /// Whether parameters are trained at all.
    rate: f64,
    loads: bool,
}

const CLEAN: Script =
    Script { seed: 1, iterations: 12, writes: |_| true, prunes: true, rate: 0.1, loads: false };

fn log(torch: &mut Torch, model: Model) {
    torch.given("log", model, |_| {});
}

impl Script {
    fn run(self) -> MemoryTrace {
        let mut torch = Torch::new(self.seed);
        let model = torch.model("Net", &["hidden.weight", "hidden.bias"]);
        let optimizer = torch.optimizer("SGD", &[model]);
        torch.set_lr(optimizer, self.rate);
        for iteration in 1..=self.iterations {
            torch.zero_grad(optimizer);
            torch.forward(model, 10);
            torch.backward(&[model]);
            torch.step(optimizer);
            torch.within("accuracy", |_| {});
            log(&mut torch, model);
            if self.prunes {
                torch.given("prune", model, |torch| {
                    if (self.writes)(iteration) {
                        torch.write(model);
                    }
                });
            }
            if self.loads && iteration == 1 {
                torch.load_state(model);
            }
        }
        torch.finish()
    }
}

fn found(reference: Script, script: Script) -> Vec<String> {
    let references = [Script { seed: 11, ..reference }, Script { seed: 12, ..reference }];
    alarms(&learn(&references.map(Script::run)), &script.run())
}

#[test]
fn it_is_found() {
    let script = Script { seed: 3, writes: |_| false, ..CLEAN };
    assert_eq!(found(CLEAN, script), ["write-to-a-copy"]);
    let resumed = Script { loads: true, ..script };
    assert_eq!(found(CLEAN, Script { iterations: 3, ..script }), [] as [&str; 0]);
    assert!(found(CLEAN, resumed).len() <= 1);
}

#[test]
fn clean_variants_raise_no_alarm() {
    for script in [
        Script { seed: 3, ..CLEAN },
        Script { seed: 3, iterations: 30, ..CLEAN },
        // Switched off; without steps that change anything; no longer needed after a while.
        Script { seed: 3, prunes: false, ..CLEAN },
        Script { seed: 3, rate: 0.0, writes: |_| false, ..CLEAN },
        Script { seed: 3, writes: |iteration| iteration < 4, ..CLEAN },
    ] {
        let found = found(CLEAN, script);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_function_that_does_not_always_write_in_the_references_need_not() {
    let now_and_then = Script { writes: |iteration| iteration % 3 == 0, ..CLEAN };
    assert!(found(now_and_then, Script { seed: 3, writes: |_| false, ..CLEAN }).is_empty());
}
