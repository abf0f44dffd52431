//! Modules that a model calls are part of it, as they were in the references: what is kept in a plain list is not.
mod support;

use support::torch::Torch;
use support::{alarms, learn, library_of};
use traincheck_analyzer::relation::owned::claim::{Claim, Outcome, Subject};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_schema::record::{ObjectKind, Role, flags};

/// A call of a module inside the model; `part`: its name where it is part of it.
fn inside(torch: &mut Torch, class: &str, part: Option<&str>) {
    let object = part.map_or(0, |name| torch.record.object(name, ObjectKind::Module, class));
    torch.record.enter(&format!("{class}.__call__"), Role::ModuleCall, object, flags::MODULE_TRAIN);
    torch.record.exit(false);
}

fn training(seed: u64, iterations: u32, calls: impl Fn(&mut Torch, u32)) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["blocks.0.weight", "blocks.1.weight", "head.weight"]);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for iteration in 1..=iterations {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        calls(&mut torch, iteration);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

fn found(reference: impl Fn(&mut Torch, u32), run: impl Fn(&mut Torch, u32)) -> Vec<String> {
    let invariants = learn(&[training(1, 12, &reference), training(2, 12, &reference)]);
    alarms(&invariants, &training(3, 9, run))
}

const BLOCK: &str = "__main__.Block";

fn registered(torch: &mut Torch, _: u32) {
    inside(torch, BLOCK, Some("Net.blocks.0"));
    inside(torch, BLOCK, Some("Net.blocks.1"));
    inside(torch, "torch.nn.ReLU", Some("Net.act"));
}

#[test]
fn a_layer_in_a_plain_list_is_found() {
    let listed = |torch: &mut Torch, _: u32| {
        inside(torch, BLOCK, None);
        inside(torch, BLOCK, None);
    };
    assert_eq!(found(registered, listed), ["module-not-registered"]);
    // One of several of a class, too.
    let one = |torch: &mut Torch, _: u32| {
        inside(torch, BLOCK, Some("Net.blocks.0"));
        inside(torch, BLOCK, None);
    };
    assert_eq!(found(registered, one), ["module-not-registered"]);
    assert!(found(registered, registered).is_empty());
}

#[test]
fn what_has_no_parameters_or_is_kept_aside_in_the_references_may_be_no_part() {
    let functional = |torch: &mut Torch, iteration| {
        registered(torch, iteration);
        inside(torch, "torch.nn.ReLU", None);
    };
    assert!(found(registered, functional).is_empty());
    let teacher = |torch: &mut Torch, _: u32| inside(torch, BLOCK, None);
    assert!(found(teacher, teacher).is_empty());
    assert!(found(registered, |_: &mut Torch, _| {}).is_empty());
}

#[test]
fn once_or_twice_is_an_accident() {
    let odd = |torch: &mut Torch, iteration: u32| {
        let part = iteration.is_multiple_of(3).then_some("Net.blocks.0");
        inside(torch, BLOCK, part);
    };
    assert!(found(registered, odd).is_empty());
}

/// In a program that there are no references of.
fn found_in_any(run: impl Fn(&mut Torch, u32)) -> Vec<String> {
    let subject = Subject::Inside { root: "*".into(), class: "*".into() };
    let claim = Claim { subject, outcome: Outcome::Part };
    alarms(&library_of([claim]), &training(3, 9, run))
}

#[test]
fn in_any_program_what_has_parameters_is_part_of_a_model() {
    let calls = |class: &'static str| move |torch: &mut Torch, _: u32| inside(torch, class, None);
    assert_eq!(found_in_any(calls("torch.nn.modules.linear.Linear")), ["module-not-registered"]);
    assert_eq!(found_in_any(calls("torch.nn.modules.activation.PReLU")), ["module-not-registered"]);
    // What is made where it is called.
    for class in ["torch.nn.modules.loss.CrossEntropyLoss", "torch.nn.modules.linear.Identity", BLOCK] {
        assert!(found_in_any(calls(class)).is_empty(), "{class}");
    }
    // One of a class that has some elsewhere in the model.
    let one = |torch: &mut Torch, _: u32| {
        inside(torch, BLOCK, Some("Net.blocks.0"));
        inside(torch, BLOCK, None);
    };
    assert_eq!(found_in_any(one), ["module-not-registered"]);
    assert!(found_in_any(registered).is_empty());
}
