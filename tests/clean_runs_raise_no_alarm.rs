//! What was learned from two runs of one configuration raises no alarm on clean runs of others, nor what was learned
//! from other pipelines on one that is left out.

use std::process::Command;
use std::time::Duration;

use traincheck_tests::{agent, finish_within, folder, python, repository};

fn precision(minutes: u64, arguments: &[&str]) -> String {
    let temporary = folder();
    let mut command = Command::new(python());
    command
        .arg(repository().join("scripts/precision.py"))
        .arg("--bin")
        .arg(agent().parent().expect("its folder"))
        .arg("--out")
        .arg(temporary.path())
        .args(["--jobs", "2"])
        .args(arguments);
    finish_within(Duration::from_secs(60 * minutes), &mut command).exited(0).stdout
}

#[test]
fn some_of_some_pipelines() {
    let variants = ["small batches", "one epoch", "few epochs", "few iterations", "resumed", "stopped"];
    let mut arguments = vec!["digits", "gcn", "lbfgs"];
    arguments.extend(variants.iter().flat_map(|variant| ["--variants", variant]));
    let table = precision(10, &arguments);
    // Four of each, three of the graph network, which has no batches, and each of the three learned from the others.
    assert!(table.contains("14 runs: "), "{table}");
    assert!(table.contains(", 0 with alarms, 0 without a verdict, 0 failed."), "{table}");
}

#[test]
#[ignore = "takes half an hour; scripts/test --all runs it"]
fn all_of_all_pipelines() {
    precision(120, &[]);
}
