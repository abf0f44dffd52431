//! Each batch has fingerprints in the trace, and the worker that made it, with its seed. Where workers have the same
//! random numbers, what they give has the same fingerprints.

use std::collections::BTreeSet;

use traincheck_schema::record::{Attribute, State, ValueKind, VariableKind};
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script};

fn hash(state: &&State) -> (u64, u64) {
    assert_eq!(state.value_kind, ValueKind::Tensor as u8);
    (state.hash_low, state.hash_high)
}

#[test]
fn batches_of_workers_that_share_their_random_numbers_are_equal() {
    let expected = finish(plain().arg(script("repeated_data.py"))).exited(0).stdout;
    let temporary = folder();
    let run = temporary.path().join("run");
    let found = finish(preloaded(&run).arg(script("repeated_data.py"))).exited(0).stdout;
    assert_eq!(found, expected);
    let process = Trace::read(&run).only();
    process.assert_whole();

    let batches = |loader: &str| -> Vec<(u64, u64)> {
        process.states_of(&format!("{loader}.batch"), Attribute::Data).iter().map(hash).collect()
    };
    let workers = |loader: &str| -> Vec<i64> {
        let states = process.states_of(&format!("{loader}.worker"), Attribute::Value);
        states.iter().map(|state| state.int).collect()
    };
    // Eight batches, from two workers in turn: each is given twice.
    let shared = batches("DataLoader");
    assert_eq!(workers("DataLoader"), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(shared.len(), 8);
    for pair in shared.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    assert_eq!(shared.iter().collect::<BTreeSet<_>>().len(), 4);
    // With seeds of their own no two are equal.
    let own = batches("DataLoader#2");
    assert_eq!(workers("DataLoader#2"), [0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(own.iter().collect::<BTreeSet<_>>().len(), 8);
    // PyTorch gives every worker another seed.
    let seed = |worker: u32| {
        let states = process.states_of(&format!("DataLoader.worker[{worker}].seed"), Attribute::Value);
        assert_eq!(states.len(), 1, "said once");
        states[0].int
    };
    assert_eq!(seed(0) + 1, seed(1));

    // What is looked at in a batch that is made of many things, in the main process.
    let names: BTreeSet<&str> = process
        .variables(VariableKind::Batch)
        .into_iter()
        .filter_map(|name| name.strip_prefix("DataLoader#3.batch"))
        .collect();
    let expected = ["['input'][0]", "['input'][1]", "['pair'][0]", "['strange']", "['tokens']['ids']"];
    assert_eq!(names, BTreeSet::from(expected));
    let of = |part: &str| process.states_of(&format!("DataLoader#3.batch{part}"), Attribute::Data);
    assert_eq!(of("['input'][0]").len(), 2);
    assert_ne!(hash(&of("['input'][0]")[0]), hash(&of("['input'][0]")[1]));
    // An array that is not contiguous, in the order of its elements.
    let array = of("['input'][1]")[0];
    assert_eq!((array.elements, array.zeros, array.max), (6, 1, 5.0));
    assert_eq!(of("['strange']")[0].value_kind, ValueKind::Unreadable as u8);
    assert!(workers("DataLoader#3").is_empty());
}
