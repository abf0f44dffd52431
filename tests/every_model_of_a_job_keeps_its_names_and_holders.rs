//! Generator and discriminator, teacher and student, averages, tied and late and replaced parameters, wrappers: each has
//! one name, and the trace says which optimizer holds it.

use std::collections::BTreeSet;

use traincheck_schema::record::{Attribute, State, ValueKind, VariableKind};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

/// The names of the optimizers that hold a parameter, each time that this changed.
fn holders(process: &ProcessTrace, name: &str) -> Vec<String> {
    let names = |state: &&State| {
        let ids = process.name(state.text).split(',').filter(|id| !id.is_empty());
        let names: Vec<&str> = ids.map(|id| process.name(id.parse().expect("an id"))).collect();
        names.join(" ")
    };
    process.states_of(name, Attribute::HeldBy).iter().map(names).collect()
}

fn contents(process: &ProcessTrace, name: &str) -> BTreeSet<u64> {
    process.states_of(name, Attribute::Data).iter().map(|state| state.hash_low).collect()
}

#[test]
fn the_trace_tells_them_apart() {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(script("many_models.py"))).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();

    // Two models, two optimizers.
    assert_eq!(holders(&process, "Generator.out.weight"), ["Adam"]);
    assert_eq!(holders(&process, "Discriminator.judge.weight"), ["SGD"]);
    let kept = process.variables(VariableKind::OptimizerState);
    assert!(kept.contains(&"Adam.state[Generator.out.weight].exp_avg"), "{kept:?}");
    assert!(!kept.iter().any(|name| name.contains("Discriminator")), "plain SGD keeps nothing: {kept:?}");

    // Tied: the same storage under both names.
    let storage = |name: &str| process.states_of(name, Attribute::Storage)[0].int;
    assert_eq!(storage("Student.encoder.weight"), storage("Student.decoder.weight"));
    assert_ne!(storage("Student.encoder.weight"), storage("Student#2.encoder.weight"));
    assert_eq!(
        holders(&process, "Student.decoder.weight"),
        ["", "AdamW"],
        "it was called before there was an optimizer"
    );

    // Student, teacher, an average by hand and one of PyTorch's. Nobody holds the latter three; they move as they should.
    assert_eq!(holders(&process, "Student#2.late.weight"), [""]);
    assert_eq!(contents(&process, "Student#2.late.weight").len(), 1, "the teacher stays");
    assert!(contents(&process, "Student#3.late.weight").len() > 3, "the average moves");
    assert_eq!(holders(&process, "AveragedModel.module.late.weight"), [""]);
    assert!(contents(&process, "AveragedModel.module.late.weight").len() > 3);

    // Replaced: the new one is nobody's, the old one is what the optimizer holds and nobody reaches.
    assert_eq!(holders(&process, "Student.fc.weight"), ["", "AdamW", ""]);
    let orphans = process.variables(VariableKind::Unreached);
    assert!(orphans.contains(&"AdamW.param_groups[0].params[3]"), "{orphans:?}");
    assert_eq!(holders(&process, "AdamW.param_groups[0].params[3]"), ["AdamW"]);
    // Replaced and given to the optimizer in a group of its own. In between nobody looks.
    assert_eq!(holders(&process, "Student.late.weight"), ["", "AdamW"]);
    let zero = |state: &State| state.zeros == state.elements;
    assert!(process.states_of("Student.late.weight", Attribute::Data).into_iter().any(zero));

    // Made by the first call.
    let shapes = process.states_of("Student.late.weight", Attribute::Shape);
    assert_eq!(process.name(shapes[0].text), "[2, 4] float32");

    // What somebody set on a parameter: said when it is first seen, and when it changes.
    let set = |name: &str| process.states_of(&format!("Student.{name}"), Attribute::Value);
    assert_eq!(set("fc.weight.tensor_model_parallel").len(), 1);
    assert_eq!(set("fc.weight.tensor_model_parallel")[0].value_kind, ValueKind::Bool as u8);
    assert_eq!(process.name(set("fc.weight.sequence")[0].text), "row");
    assert!(set("fc.weight._private").is_empty());
    assert_eq!(set("late.weight.tensor_model_parallel")[0].int, 0, "seen where the mode was set");

    // Wrappers leave no trace in names.
    assert_eq!(holders(&process, "Inner.fc.weight"), ["SGD#2", ""], "and the optimizer was gone");
    assert_eq!(holders(&process, "Outer.inner.fc.weight")[0], "SGD#3");
    // Nor where the module was known before it was wrapped.
    assert_eq!(holders(&process, "Known.fc.weight"), ["", "SGD#4"]);
    // What is copied from is the first of its class, though what it is copied to is called before.
    assert_eq!(holders(&process, "Value.fc.weight"), ["SGD#5"]);
    assert_eq!(holders(&process, "Value#2.fc.weight"), [""]);
    let roots: BTreeSet<&str> =
        process.variables(VariableKind::Parameter).iter().filter_map(|name| name.split('.').next()).collect();
    let expected = [
        "AveragedModel",
        "Discriminator",
        "Generator",
        "Inner",
        "Known",
        "Outer",
        "Student",
        "Student#2",
        "Student#3",
        "Value",
        "Value#2",
    ];
    assert_eq!(roots, BTreeSet::from(expected));
}
