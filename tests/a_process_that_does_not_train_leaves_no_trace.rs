//! The agent is preloaded into everything a job starts: what does not train must not notice.

use std::path::Path;
use std::process::Command;

use traincheck_tests::{agent, finish, folder, plain, preloaded};

/// The run folder is not even made.
#[track_caller]
fn leaves_nothing(command: &mut Command, run: &Path, expected: &str) {
    let finished = finish(command).exited(0);
    assert_eq!(finished.stdout, expected);
    assert_eq!(finished.stderr, "");
    assert!(!run.exists(), "{} was made", run.display());
}

#[test]
fn pythons_without_training() {
    let temporary = folder();
    let run = temporary.path().join("run");
    for (code, expected) in [
        ("print('hello')", "hello\n"),
        ("import torch; print(torch.ones(3).sum().item())", "3.0\n"),
        ("import subprocess, sys; subprocess.run(['true'], check=True); print(1)", "1\n"),
    ] {
        leaves_nothing(preloaded(&run).args(["-c", code]), &run, expected);
    }
}

#[test]
fn other_programs() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = Command::new("sh");
    command.args(["-c", "echo a | cat && ls / >/dev/null"]);
    command.env("LD_PRELOAD", agent()).env("TRAINCHECK_RUN_DIR", &run);
    leaves_nothing(&mut command, &run, "a\n");
}

#[test]
fn nothing_under_the_current_folder_either() {
    let temporary = folder();
    let mut command = plain();
    command.env("LD_PRELOAD", agent()).current_dir(temporary.path()).args(["-c", "import torch"]);
    finish(&mut command).exited(0);
    assert_eq!(temporary.path().read_dir().expect("the folder").count(), 0);
}
