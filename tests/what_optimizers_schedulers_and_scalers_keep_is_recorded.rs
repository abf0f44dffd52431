//! The script prints what its optimizers, schedulers and scaler keep. The trace must have the same, and no more often
//! than it is said to be looked at.

use std::collections::BTreeSet;

use traincheck_schema::record::{Attribute, State, ValueKind, VariableKind};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

/// A number, or the norm of a tensor.
fn number(state: &State) -> f64 {
    match ValueKind::try_from(state.value_kind) {
        Ok(ValueKind::Float) => state.float,
        Ok(ValueKind::Int) => state.int as f64,
        Ok(ValueKind::Tensor) => f64::from(state.l2),
        other => panic!("neither a number nor a tensor: {other:?}"),
    }
}

/// All that was found of a variable, in order: when, and what.
fn found(process: &ProcessTrace, name: &str) -> Vec<(u32, f64)> {
    let attribute =
        if process.states_of(name, Attribute::Value).is_empty() { Attribute::Data } else { Attribute::Value };
    process.states_of(name, attribute).iter().map(|state| (state.iteration, number(state))).collect()
}

#[test]
fn the_trace_agrees_with_the_script() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let finished = finish(preloaded(&run).arg(script("kept_state.py"))).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();

    let mut names = BTreeSet::new();
    for line in finished.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let iteration = u32::try_from(line["iteration"].as_u64().expect("a number")).expect("a small number");
        for (name, expected) in line["kept"].as_object().expect("an object") {
            let expected = expected.as_f64().expect("a number");
            let found = found(&process, name);
            // Values that stay as they are are not said again.
            let (_, last) = found.iter().rfind(|(at, _)| *at <= iteration).unwrap_or_else(|| {
                panic!("nothing was found of {name} until iteration {iteration}; {found:?}")
            });
            assert!(
                (last - expected).abs() <= 1e-5 * expected.abs(),
                "{name} in iteration {iteration} at {}: {expected}, not {last}",
                line["where"]
            );
            names.insert(name.clone());
        }
    }
    // Nothing was found that the script does not know of.
    for kind in [VariableKind::OptimizerState] {
        for name in process.variables(kind) {
            assert!(names.contains(name), "{name}");
        }
    }
    assert!(names.contains("SGD.state[Net.head.bias].momentum_buffer"), "{names:?}");

    // Looked at after the step in sampled iterations, and when the checkpoint was loaded.
    let looks = |name: &str| -> Vec<u32> { found(&process, name).iter().map(|(at, _)| *at).collect() };
    assert_eq!(looks("AdamW.state[Net.body.weight].exp_avg"), [1, 2, 3, 50, 100]);
    assert_eq!(looks("AdamW.state[Net.body.weight].step"), [1, 2, 3, 50, 100]);
    assert_eq!(looks("SGD.state[Net.head.weight].momentum_buffer"), [1, 2, 3, 100]);

    // Settings of any kind, a tensor as a learning rate included.
    let setting = |name: &str| process.states_of(&format!("SGD.param_groups[0].{name}"), Attribute::Value)[0];
    assert_eq!(setting("lr").float, 0.5);
    assert_eq!(process.name(setting("label").text), "head");
    assert_eq!((setting("nesterov").value_kind, setting("nesterov").int), (ValueKind::Bool as u8, 0));
    assert_eq!(found(&process, "AdamW.param_groups[0].betas[1]").len(), 1, "said once");
    assert_eq!(found(&process, "CosineAnnealingLR.T_max")[0].1, 7.0);
}
