//! Rules of the settings say of a library that nobody knows what traincheck's own table says of PyTorch: its optimizer
//! and its scheduler, which inherit from nothing, are followed, and what they change is looked at.

use std::fs;

use traincheck_schema::record::{Attribute, DictKind, Event, EventKind, ObjectKind, Role, look};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

const RULES: &str = r#"
[[rules]]
module = "plainopt.optim"
function = "Descent.__init__"
role = "optimizer_init"
object = "optimizer"

[[rules]]
module = "plainopt.optim"
function = "Descent.apply_updates"
role = "optimizer_step"
object = "optimizer"
looks = ["before_step", "after_step"]
counted = "optimizer_steps"
arguments = "both"

[[rules]]
module = "plainopt.optim"
function = "Descent.forget_gradients"
role = "zero_grad"
object = "optimizer"

[[rules]]
module = "plainopt.schedule"
function = "Halving.__init__"
role = "other"
object = "scheduler"
constructs = true
counted = "constructions"
looks = ["attributes"]
profile = "minimal"

[[rules]]
module = "plainopt.schedule"
function = "Halving.advance"
role = "scheduler_step"
object = "scheduler"
"#;

/// Trains with these settings; the trace, and what the script printed: rate and norm of the weight, by iteration.
fn train(settings: &str, variables: &[(&str, &str)]) -> (ProcessTrace, Vec<(f64, f64)>) {
    let temporary = folder();
    let run = temporary.path().join("run");
    fs::write(temporary.path().join("traincheck.toml"), settings).unwrap();
    let library = script("unknown_library");
    let mut command = preloaded(&run);
    command.env("PYTHONPATH", library.join("site-packages")).envs(variables.iter().copied());
    let finished = finish(command.current_dir(temporary.path()).arg(library.join("train.py"))).exited(0);
    let printed = finished.stdout.lines().map(|line| {
        let (rate, norm) = line.split_once(' ').expect("two numbers");
        (rate.parse().expect("a rate"), norm.parse().expect("a norm"))
    });
    let printed = printed.collect();
    (Trace::read(&run).only(), printed)
}

fn objects(process: &ProcessTrace, kind: ObjectKind) -> Vec<&str> {
    let created =
        process.of_kind(EventKind::Created).filter_map(|event| process.dictionary.get(event.object));
    created
        .filter(|entry| entry.kind == DictKind::Object as u8 && entry.detail == kind as u16)
        .map(|entry| entry.text.as_str())
        .collect()
}

#[test]
fn objects_that_inherit_from_nothing_are_followed_and_looked_at() {
    let (process, printed) = train(RULES, &[]);
    process.assert_whole();
    assert_eq!((process.iterations(), process.steps()), (6, 6));
    assert_eq!(objects(&process, ObjectKind::Optimizer), ["Descent"]);
    assert_eq!(objects(&process, ObjectKind::Scheduler), ["Halving"]);
    let scheduler = process
        .of_kind(EventKind::Created)
        .find(|event| process.name(event.object) == "Halving")
        .expect("the scheduler's");
    assert_eq!(process.name(u32::try_from(scheduler.value).unwrap()), "Descent", "the scheduler's optimizer");

    // Calls are told by their object.
    for (role, object) in
        [(Role::OptimizerStep, "Descent"), (Role::ZeroGrad, "Descent"), (Role::SchedulerStep, "Halving")]
    {
        let of: Vec<_> = process.entered(role).map(|event| process.name(event.object)).collect();
        assert_eq!(of, [object; 6], "{role:?}");
    }

    // What is held is known, and what is kept and set is looked at.
    let held = process.states_of("Net.layer.weight", Attribute::HeldBy);
    let optimizer = process.entered(Role::OptimizerStep).next().expect("a step").object;
    assert_eq!(process.name(held.last().expect("held").text), optimizer.to_string());
    let step_looks = process
        .of_kind(EventKind::Look)
        .filter(|event| process.name(event.name) == "plainopt.optim.Descent.apply_updates");
    let (before, after): (Vec<&Event>, Vec<&Event>) =
        step_looks.partition(|event| event.value & look::AT_ENTRY != 0);
    assert_eq!((before.len(), after.len()), (6, 6));
    assert!(after.iter().all(|event| event.value & look::HYPERPARAMETERS != 0));
    let at_step = process.entered(Role::OptimizerStep).map(|event| event.call);
    for (call, (_, norm)) in at_step.zip(&printed) {
        let looks = process.states_of("Net.layer.weight", Attribute::Data);
        let last = looks.iter().rfind(|state| state.call == call).expect("a look at the return");
        assert!((f64::from(last.l2) - norm).abs() < 1e-5, "{} is {norm}", last.l2);
    }
    let rates: Vec<f64> = process
        .states_of("Descent.param_groups[0].lr", Attribute::Value)
        .iter()
        .map(|state| state.float)
        .collect();
    assert_eq!(rates, [0.5, 0.25, 0.125, 0.0625], "where it changed");
    assert_eq!(printed.last().expect("six").0, 0.0625);
    let kept = process.states_of("Descent.state[Net.layer.weight].speed", Attribute::Data);
    assert_eq!(kept.iter().map(|state| state.iteration).collect::<Vec<_>>(), [1, 2, 3], "sampled");
    let counts: Vec<i64> =
        process.states_of("Halving.calls", Attribute::Value).iter().map(|state| state.int).collect();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_rule_says_in_which_profile_and_what_is_looked_at() {
    let less = RULES
        .replace(r#"looks = ["before_step", "after_step"]"#, r#"looks = []"#)
        .replace(r#"arguments = "both""#, r#"profile = "full""#);
    let (process, _) = train(&less, &[]);
    assert_eq!((process.iterations(), process.steps()), (6, 0), "not in this profile");
    let (process, _) = train(&less, &[("TRAINCHECK_PROFILE", "full"), ("TRAINCHECK_SAMPLE_FIRST", "0")]);
    assert_eq!((process.iterations(), process.steps()), (6, 6));
    let looked =
        |name: &str| process.of_kind(EventKind::Look).any(|event| process.name(event.name).ends_with(name));
    assert!(!looked("Descent.apply_updates"), "no look is asked for");
    assert!(looked("Halving.advance"), "by its role");
}
