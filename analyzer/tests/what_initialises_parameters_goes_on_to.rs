//! Parameters are initialised as in the references: not more often by the same, and none is left out.
mod support;

use support::torch::Torch;
use support::{alarms, learn};
use traincheck_analyzer::source::MemoryTrace;

const NAMES: &[&str] = &["hidden.weight", "proj.weight", "head.weight"];
const FROM: &str = "__main__.Net.__init__";

/// What fills each of the parameters, with how often.
type Fills = [&'static [(&'static str, usize)]; 3];

/// All are filled by their construction, `hidden` and `proj` by the script.
const GOOD: Fills = [
    &[("torch.nn.init.kaiming_uniform_", 1), ("aten::normal_", 1)],
    &[("torch.nn.init.kaiming_uniform_", 1), ("aten::normal_", 2)],
    &[("torch.nn.init.kaiming_uniform_", 1)],
];

fn with(number: usize, fills: &'static [(&'static str, usize)]) -> Fills {
    let mut all = GOOD;
    all[number] = fills;
    all
}

fn training(seed: u64, fills: Fills, tied: bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", NAMES);
    for (name, fills) in NAMES.iter().zip(fills) {
        for (by, times) in fills {
            torch.initialise_part(model, name, by, FROM, *times);
        }
    }
    if tied {
        torch.share((model, "head.weight"), (model, "proj.weight"));
    }
    let optimizer = torch.optimizer("AdamW", &[model]);
    for _ in 1..=8 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

fn found(fills: Fills) -> Vec<String> {
    let invariants = learn(&[training(1, GOOD, false), training(2, GOOD, false)]);
    alarms(&invariants, &training(3, fills, false))
}

#[test]
fn what_each_ancestor_initialises_again_is_found() {
    let again: &'static [_] = &[("torch.nn.init.kaiming_uniform_", 1), ("aten::normal_", 5)];
    assert_eq!(found(with(1, again)), ["initialised-repeatedly"]);
    assert!(found(GOOD).is_empty());
    // Constants are what they were.
    let constant: &'static [_] = &[("torch.nn.init.kaiming_uniform_", 1), ("aten::zero_", 4)];
    assert!(found(with(2, constant)).is_empty());
}

#[test]
fn what_is_left_out_is_found() {
    assert_eq!(found(with(1, &[("torch.nn.init.kaiming_uniform_", 1)])), ["not-initialised"]);
}

#[test]
fn another_way_to_initialise_is_no_error() {
    let others: [&'static [(&'static str, usize)]; 3] = [
        &[("torch.nn.init.kaiming_uniform_", 1), ("aten::normal_", 1)],
        &[("torch.nn.init.kaiming_uniform_", 1), ("torch.nn.init.xavier_uniform_", 1)],
        &[("torch.nn.init.kaiming_uniform_", 1), ("aten::copy_", 1)],
    ];
    for other in others {
        assert!(found(with(1, other)).is_empty(), "{other:?}");
    }
    // None of them is initialised by the script.
    let plain: &'static [_] = &[("torch.nn.init.kaiming_uniform_", 1)];
    assert!(found([plain, plain, plain]).is_empty());
}

#[test]
fn a_tensor_with_two_names_is_initialised_under_both() {
    let invariants = learn(&[training(1, GOOD, false), training(2, GOOD, false)]);
    let both: &'static [_] = &[("torch.nn.init.kaiming_uniform_", 1), ("aten::normal_", 4)];
    let found = alarms(&invariants, &training(3, with(1, both), true));
    assert!(!found.contains(&"initialised-repeatedly".to_owned()), "{found:?}");
}
