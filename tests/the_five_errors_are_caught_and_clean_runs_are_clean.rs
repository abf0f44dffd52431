//! The main job: two good runs teach, five errors are caught by a finding that names the cause, a good run is clean.

use std::process::Command;
use std::time::Duration;

use traincheck_tests::{agent, finish_within, folder, python, repository};

#[test]
fn every_row_is_as_it_should_be() {
    let temporary = folder();
    let mut command = Command::new(python());
    command
        .env("OMP_NUM_THREADS", "1")
        .arg(repository().join("scripts/five_errors.py"))
        .arg("--bin")
        .arg(agent().parent().expect("its folder"))
        .arg("--out")
        .arg(temporary.path());
    // It trains eight times.
    let table = finish_within(Duration::from_secs(1800), &mut command).exited(0).stdout;
    assert_eq!(table.matches("caught").count(), 5, "{table}");
}
