//! Recorded runs give the same invariants and the same report with one thread and with several, in any order.

use std::fs;
use std::path::Path;

use traincheck_tests::{finish, folder, pipeline, preloaded, traincheck};

fn learned(folder: &Path, runs: &[&str], threads: &str) -> Vec<u8> {
    let mut command = traincheck();
    command.current_dir(folder).args(["infer", "-o", "out.json", "--threads", threads]).args(runs);
    finish(&mut command).exited(0);
    fs::read(folder.join("out.json")).expect("what was learned")
}

#[test]
fn they_do() {
    let temporary = folder();
    for (name, seed, bug) in [("a", "1", "none"), ("b", "2", "none"), ("bad", "3", "no-zero-grad")] {
        let mut command = preloaded(&temporary.path().join(name));
        command.arg(pipeline("digits.py")).args(["--epochs", "2", "--seed", seed, "--bug", bug]);
        finish(&mut command).exited(0);
    }
    let one = learned(temporary.path(), &["a", "b"], "1");
    assert!(one.len() > 10_000, "{}", String::from_utf8_lossy(&one));
    for (runs, threads) in [(["b", "a"], "1"), (["a", "b"], "2"), (["b", "a"], "4")] {
        assert!(learned(temporary.path(), &runs, threads) == one, "{runs:?} with {threads} threads");
    }
    let alone = learned(temporary.path(), &["a"], "1");
    assert!(learned(temporary.path(), &["a"], "2") == alone);
    fs::write(temporary.path().join("one.json"), &one).expect("a file");
    let report = |threads| {
        let mut command = traincheck();
        command.current_dir(temporary.path());
        command.args(["check", "bad", "-i", "one.json", "--all", "--format", "json", "--threads", threads]);
        finish(&mut command).exited(1).stdout
    };
    let one = report("1");
    for threads in ["2", "3"] {
        assert_eq!(report(threads), one, "{threads} threads");
    }
}
