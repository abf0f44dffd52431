//! Every error of the zoo is caught where it is expected, by a finding that names its cause; its clean twin is clean.

use std::process::Command;
use std::time::Duration;

use traincheck_tests::{agent, finish_within, folder, python, repository};

fn zoo(minutes: u64, cases: &[&str]) {
    let temporary = folder();
    let mut command = Command::new(python());
    command
        .arg(repository().join("scripts/zoo.py"))
        .arg("--bin")
        .arg(agent().parent().expect("its folder"))
        .arg("--out")
        .arg(temporary.path())
        .args(["--jobs", "2"])
        .args(cases);
    finish_within(Duration::from_secs(60 * minutes), &mut command).exited(0);
}

#[test]
fn a_part_of_it() {
    // One of each kind: of order, counts, values, data, ownership and identity.
    let cases = [
        "clipping-after-the-step",
        "accumulation-without-scaling",
        "nan-gradients-silently-zeroed",
        "same-batch-repeated",
        "stale-optimizer",
        "tied-weights-broken-by-a-reload",
    ];
    zoo(10, &cases);
}

#[test]
#[ignore = "takes minutes; scripts/test --all runs it"]
fn all_of_it() {
    zoo(60, &[]);
}
