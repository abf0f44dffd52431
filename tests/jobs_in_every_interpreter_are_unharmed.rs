//! Whichever way calls are seen, the job computes what it would, its loader workers work, other tools that watch
//! Python see what they would, and what does not train is left alone.

use std::path::Path;
use std::process::Command;

use traincheck_schema::record::Role;
use traincheck_tests::{Trace, finish, folder, interpreters, pipeline, plain_in, preloaded_in, script};

/// What `program` prints without the agent, after comparing that with what it prints with it.
#[track_caller]
fn same(version: &str, python: &Path, run: &Path, prepare: impl Fn(&mut Command)) -> String {
    let (mut plain, mut preloaded) = (plain_in(python), preloaded_in(python, run));
    prepare(&mut plain);
    prepare(&mut preloaded);
    let expected = finish(&mut plain).exited(0).stdout;
    let found = finish(&mut preloaded).exited(0).stdout;
    assert!(found == expected, "{version}\n--- without\n{expected}\n--- with\n{found}");
    expected
}

#[test]
fn digits_with_loader_workers() {
    for (version, python) in interpreters().into_iter().skip(1) {
        let temporary = folder();
        let run = temporary.path().join("run");
        let printed = same(&version, &python, &run, |command| {
            command.arg(pipeline("digits.py")).args(["--epochs", "1", "--workers", "2"]);
        });
        let process = Trace::read(&run).only();
        process.assert_whole();
        let losses = printed.lines().filter(|line| line.starts_with("loss")).count();
        assert_eq!((process.iterations() as usize, process.steps() as usize), (losses, losses), "{version}");
        assert!(process.entered(Role::LoaderNext).count() >= losses, "{version}");
    }
}

#[test]
fn beside_other_tools() {
    for (version, python) in interpreters() {
        let temporary = folder();
        let run = temporary.path().join("run");
        let printed = same(&version, &python, &run, |command| {
            command.arg(script("beside_other_tools.py"));
        });
        let process = Trace::read(&run).only();
        let trainings = printed.lines().filter(|line| line.starts_with("loss")).count();
        assert_eq!(process.steps() as usize, 3 * trainings, "{version}");
        let works = process.entered(Role::User).filter(|event| process.name(event.name) == "__main__.work");
        assert_eq!(works.count(), 3 * trainings, "{version}");
    }
}

#[test]
fn processes_that_do_not_train() {
    for (version, python) in interpreters().into_iter().skip(1) {
        let temporary = folder();
        let run = temporary.path().join("run");
        for code in ["pass", "import torch; print(torch.ones(3).sum().item())"] {
            same(&version, &python, &run, |command| {
                command.args(["-c", code]);
            });
            assert!(!run.exists(), "{version}: {} was made", run.display());
        }
    }
}
