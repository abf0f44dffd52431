//! The root of each backward is a number in the trace, also where it is none any more: NaN, infinite.

use traincheck_schema::record::{Attribute, ValueKind, VariableKind};
use traincheck_tests::{Trace, finish, folder, preloaded, script};

#[test]
fn each_place_that_calls_backward_has_a_variable_of_its_own() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let stdout = finish(preloaded(&run).arg(script("losses.py"))).exited(0).stdout;
    let process = Trace::read(&run).only();
    process.assert_whole();
    assert_eq!(
        process.variables(VariableKind::Loss),
        ["loss", "loss#3[0]", "loss#3[1]", "loss#4", "loss#2"].map(number_as_found)
    );

    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (iteration, line) in stdout.lines().enumerate() {
        let line = line.replace("NaN", "\"nan\"").replace("Infinity", "\"inf\"");
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        for (name, expected) in told.as_object().expect("an object") {
            let name = number_as_found(name);
            let states = process.states_of(name, Attribute::Value);
            let nth = seen.entry(name.to_owned()).or_default();
            let state = states[*nth];
            *nth += 1;
            assert_eq!(state.iteration as usize, iteration + 1, "{name}");
            match expected {
                serde_json::Value::Null => assert_eq!(state.value_kind, ValueKind::Unreadable as u8),
                serde_json::Value::String(word) if word == "nan" => assert!(state.float.is_nan()),
                serde_json::Value::String(_) => assert_eq!(state.float, f64::INFINITY),
                number => assert_eq!(Some(state.float), number.as_f64(), "{name}"),
            }
        }
    }
    for (name, count) in seen {
        assert_eq!(process.states_of(&name, Attribute::Value).len(), count, "{name}");
    }
}

/// Places are numbered in the order in which they first call: the second in the script is the last to.
fn number_as_found(name: &str) -> &str {
    match name {
        "loss#3[0]" => "loss#2[0]",
        "loss#3[1]" => "loss#2[1]",
        "loss#4" => "loss#3",
        "loss#2" => "loss#4",
        name => name,
    }
}
