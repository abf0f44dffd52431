//! A model that a library builds, wraps and trains: its variables are called as in its own code, held by the optimizer
//! that the library made, and they train.

use std::collections::BTreeSet;

use traincheck_schema::record::{Attribute, ValueKind, VariableKind};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script};

fn record(which: &str) -> ProcessTrace {
    let temporary = folder();
    let run = temporary.path().join("run");
    finish(preloaded(&run).arg(script("libraries.py")).arg(which)).exited(0);
    let process = Trace::read(&run).only();
    process.assert_whole();
    process
}

/// Every parameter is held by one optimizer, and changed in every step; what the optimizer keeps for it and what came
/// from the loader are there, too.
fn check(process: &ProcessTrace, root: &str, some: &str, kept: &str, batch: &str, losses: usize) {
    let parameters = process.variables(VariableKind::Parameter);
    assert!(parameters.contains(&some), "{parameters:?}");
    for name in &parameters {
        assert!(name.starts_with(&format!("{root}.")), "{name}");
        let holders = process.states_of(name, Attribute::HeldBy);
        let holder: u32 = process.name(holders[0].text).parse().expect("one optimizer");
        assert_eq!(process.name(holder), kept.split('.').next().expect("an optimizer's name"));
        assert_eq!(holders.len(), 1, "{name}");
    }
    let hashes: BTreeSet<u64> =
        process.states_of(some, Attribute::Data).iter().map(|state| state.hash_low).collect();
    assert_eq!(hashes.len(), process.steps() as usize + 1, "{some} changed in every step");

    let states = process.states_of(kept, Attribute::Data);
    assert_eq!(
        states.len(),
        3.min(process.steps()) as usize,
        "{:?}",
        process.variables(VariableKind::OptimizerState)
    );
    assert!(
        !process.states_of(batch, Attribute::Data).is_empty(),
        "{:?}",
        process.variables(VariableKind::Batch)
    );
    let losses_found = process.states_of("loss", Attribute::Value);
    assert_eq!(losses_found.len(), losses);
    assert!(losses_found.iter().all(|state| state.value_kind == ValueKind::Float as u8));
    assert_eq!((process.iterations() as usize, process.steps() as usize), (losses, losses));
}

#[test]
fn transformers() {
    check(
        &record("transformers"),
        "BertForSequenceClassification",
        "BertForSequenceClassification.bert.encoder.layer.0.output.dense.weight",
        "AdamW.state[BertForSequenceClassification.classifier.weight].exp_avg",
        "DataLoader#2.batch['input_ids']",
        3,
    );
}

#[test]
fn accelerate() {
    check(
        &record("accelerate"),
        "Net",
        "Net.fc.weight",
        "SGD.state[Net.fc.weight].momentum_buffer",
        "DataLoader#2.batch[0]",
        2,
    );
}

#[test]
fn lightning() {
    check(
        &record("lightning"),
        "Lit",
        "Lit.net.0.weight",
        "Adam.state[Lit.net.2.weight].exp_avg_sq",
        "DataLoader.batch[0]",
        4,
    );
}
