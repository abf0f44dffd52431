//! SIGKILL in mid-run: everything up to that moment is in the segments or the rings, and all commands say `torn`.

use std::io::{BufRead, BufReader};

use traincheck_tests::{Trace, finish, folder, pipeline, preloaded, spawn, traincheck};

#[test]
fn nothing_that_happened_is_missing() {
    let temporary = folder();
    let killed = temporary.path().join("killed");
    let mut child = spawn(preloaded(&killed).arg(pipeline("digits.py")).args(["--epochs", "1000"]));
    let mut losses = 0;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        losses += u32::from(line.expect("text").starts_with("loss"));
        // Past the first epoch, and past the time after which blocks are written to disk.
        if losses == 120 {
            break;
        }
    }
    child.kill().expect("a process to kill");
    child.wait().expect("its end");
    assert_eq!(losses, 120, "it ended before it could be killed");

    let process = Trace::read(&killed).only();
    assert!(process.ending.is_none() && process.torn.is_some(), "{:?}", process.ending);
    assert!(process.dropped.is_empty(), "{:?}", process.dropped);
    // A loss is printed after the step of its iteration.
    assert!(process.steps() >= losses, "{} steps for {losses} losses", process.steps());

    let text = finish(traincheck().arg("inspect").arg(&killed)).exited(0).stdout;
    assert!(text.contains("torn"), "{text}");
    let json = finish(traincheck().arg("inspect").arg(&killed).args(["--format", "json"])).exited(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["processes"][0]["end"]["state"], "torn", "{json}");

    let good = temporary.path().join("good");
    finish(preloaded(&good).arg(pipeline("digits.py")).args(["--epochs", "3", "--seed", "1"])).exited(0);
    let invariants = temporary.path().join("invariants.json");
    let inferred =
        finish(traincheck().arg("infer").arg(&good).arg(&killed).arg("-o").arg(&invariants)).exited(0);
    assert!((inferred.stdout + &inferred.stderr).contains("torn"));

    let mut command = traincheck();
    command.arg("check").arg(&killed).arg("-i").arg(&invariants);
    let checked = finish(&mut command).exited(0);
    assert!((checked.stdout + &checked.stderr).contains("torn"));
}
