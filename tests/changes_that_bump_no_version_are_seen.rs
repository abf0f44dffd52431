//! Fused optimizers, batch-norm statistics, `p.data.add_`, `p.data = t` and writes through numpy bump no version
//! counter. The trace must have each of them, and no change that did not happen.

use std::collections::{BTreeMap, BTreeSet};

use traincheck_schema::record::{Attribute, EventKind, Role, State, ValueKind, look};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

/// What one look found of the contents of every variable.
type Contents = BTreeMap<String, (u64, u64)>;

/// The looks at the return of an optimizer step, in order.
fn looks_after_steps(process: &ProcessTrace) -> Vec<Contents> {
    let after_step = |value: u64, name: u32| {
        value & look::AT_ENTRY == 0
            && value & look::PARAMETERS != 0
            && process.role(name) == Some(Role::OptimizerStep)
    };
    process
        .of_kind(EventKind::Look)
        .filter(|event| after_step(event.value, event.name))
        .map(|event| {
            process
                .states
                .iter()
                .filter(|state| state.call == event.call && state.time == event.time)
                .filter(|state| state.attribute == Attribute::Data as u8)
                .map(|state| (process.name(state.variable).to_owned(), hash(state)))
                .collect()
        })
        .collect()
}

fn hash(state: &State) -> (u64, u64) {
    assert_eq!(state.value_kind, ValueKind::Tensor as u8, "a tensor that could not be read");
    (state.hash_low, state.hash_high)
}

#[test]
fn the_trace_agrees_with_the_script() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let finished = finish(preloaded(&run).arg(script("changes.py"))).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();

    let looks = looks_after_steps(&process);
    let lines: Vec<serde_json::Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(looks.len(), lines.len() + 1, "one look after every step");

    let mut changes = BTreeSet::new();
    for (line, pair) in lines.iter().zip(looks.windows(2)) {
        let names = |field: &str| -> BTreeSet<String> {
            let names = line[field].as_array().expect("a list");
            names.iter().map(|name| format!("Net.{}", name.as_str().expect("a name"))).collect()
        };
        let seen: BTreeSet<String> = pair[1].keys().cloned().collect();
        assert_eq!(seen, names("all"), "variables looked at, after {}", line["write"]);
        let changed: BTreeSet<String> = pair[1]
            .iter()
            .filter(|(name, hash)| pair[0][*name] != **hash)
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(changed, names("changed"), "what changed with {}", line["write"]);
        changes.extend(changed);
    }
    // The script did what it is for.
    for name in
        ["Net.hidden.weight", "Net.norm.running_mean", "Net.frozen.weight", "Net.frozen.bias", "Net.unused"]
    {
        assert!(changes.contains(name), "{name} never changed");
    }
}
