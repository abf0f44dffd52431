//! A model that no optimizer trains and that should change is no frozen part of one that is trained: to train it would do
//! harm where it is a copy that follows another model.
mod support;

use support::torch::Torch;
use support::{alarms, learn};
use traincheck_analyzer::source::MemoryTrace;

/// A network that is trained, a part of it perhaps frozen, and a target that follows it every so many steps.
fn trained(seed: u64, every: u32, steps: u32, frozen: &str) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["body.weight", "head.weight"]);
    let target = torch.model("Target", &["body.weight", "head.weight"]);
    torch.freeze(target, "weight");
    if !frozen.is_empty() {
        torch.freeze(model, frozen);
    }
    let optimizer = torch.optimizer("SGD", &[model]);
    for step in 1..=steps {
        torch.zero_grad(optimizer);
        torch.no_grad(|torch| torch.forward(target, 10));
        torch.forward(model, 11);
        torch.backward(&[model]);
        torch.step(optimizer);
        if step % every == 0 {
            torch.write(target);
        }
    }
    torch.finish()
}

const NEVER: u32 = u32::MAX;

#[test]
fn a_target_that_does_not_follow() {
    let invariants = learn(&[trained(1, 1, 30, ""), trained(2, 1, 30, "")]);
    assert_eq!(alarms(&invariants, &trained(3, 1, 30, "")), [""; 0]);
    assert_eq!(alarms(&invariants, &trained(3, NEVER, 30, "")), ["copy-never-updated"]);
}

#[test]
fn a_target_that_does_not_follow_in_a_run_too_short_to_tell_it_from_a_slow_one() {
    let invariants = learn(&[trained(1, 1, 30, ""), trained(2, 1, 30, "")]);
    assert_eq!(alarms(&invariants, &trained(3, NEVER, 7, "")), ["untrained-model-unchanged"]);
}

#[test]
fn a_target_that_follows_more_slowly() {
    let invariants = learn(&[trained(1, 1, 30, ""), trained(2, 1, 30, "")]);
    assert_eq!(alarms(&invariants, &trained(3, 10, 30, "")), [""; 0]);
}

#[test]
fn a_frozen_part_of_what_is_trained() {
    let invariants = learn(&[trained(1, 1, 30, ""), trained(2, 1, 30, "")]);
    let found = alarms(&invariants, &trained(3, 1, 30, "head"));
    assert_eq!(found.first().map(String::as_str), Some("frozen-parameters"), "{found:?}");
}

/// An encoder and a head, and an optimizer for what is not frozen.
fn in_two_parts(seed: u64, frozen: bool) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let encoder = torch.model("Encoder", &["body.weight"]);
    let head = torch.model("Head", &["out.weight"]);
    if frozen {
        torch.freeze(encoder, "weight");
    }
    let trained = if frozen { vec![head] } else { vec![encoder, head] };
    let optimizer = torch.optimizer("SGD", &trained);
    for _ in 0..30 {
        torch.zero_grad(optimizer);
        torch.forward(encoder, 10);
        torch.forward(head, 11);
        torch.backward(&trained);
        torch.step(optimizer);
    }
    torch.finish()
}

#[test]
fn a_model_that_is_frozen_as_a_whole() {
    let invariants = learn(&[in_two_parts(1, false), in_two_parts(2, false)]);
    assert_eq!(alarms(&invariants, &in_two_parts(3, false)), [""; 0]);
    assert_eq!(alarms(&invariants, &in_two_parts(3, true)), ["untrained-model-unchanged"]);
}
