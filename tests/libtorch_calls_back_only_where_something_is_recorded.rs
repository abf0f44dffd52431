//! Processes of a job of which nothing is recorded pay nothing for it: libtorch calls back neither workers that load data,
//! whenever they were forked, nor a job whose recording could not begin or whose calls cannot be seen.

use std::fs;
use std::process::Command;

use traincheck_tests::{finish, folder, interpreters, plain, preloaded, preloaded_in, script};

fn said(command: &mut Command, mode: &str) -> String {
    finish(command.arg(script("called_back.py")).arg(mode)).exited(0).stdout
}

#[test]
fn workers_are_not_called_back() {
    let nobody = said(&mut plain(), "workers");
    assert!(!nobody.contains("True"), "{nobody}");
    for (version, python) in interpreters() {
        let temporary = folder();
        let found = said(&mut preloaded_in(&python, &temporary.path().join("run")), "workers");
        assert_eq!(found, nobody.replace("job: False", "job: True"), "{version}");
    }
}

#[test]
fn a_job_whose_recording_could_not_begin_is_not_called_back() {
    let temporary = folder();
    fs::write(temporary.path().join("file"), "").unwrap();
    let found = said(&mut preloaded(&temporary.path().join("file/run")), "stops");
    assert_eq!(found, "in the job: True\nin the job: False\n");
}

#[test]
fn a_job_whose_calls_cannot_be_seen_is_not_called_back() {
    for (version, python) in interpreters() {
        let temporary = folder();
        let mut command = preloaded_in(&python, &temporary.path().join("run"));
        command.env("PYTHONPATH", script("broken")).env("TRAINCHECK_TEST_BREAK", "python calls");
        assert_eq!(said(&mut command, "stops"), "in the job: False\nin the job: False\n", "{version}");
    }
}
