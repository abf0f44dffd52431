//! A byte that flipped on disk: the file and the offset are named, the exit code is 2, and the rest is shown. `check`
//! never calls the run clean, and `infer` learns nothing from it.

use std::fs;

use traincheck_tests::{finish, folder, pipeline, preloaded, traincheck};

#[test]
fn in_the_middle_of_a_segment() {
    let temporary = folder();
    let run = temporary.path().join("run");
    // Long enough for several blocks.
    finish(preloaded(&run).arg(pipeline("mlp.py")).args(["--iterations", "3000"])).exited(0);
    let whole = finish(traincheck().arg("inspect").arg(&run).args(["--format", "json"])).exited(0);
    let whole: serde_json::Value = serde_json::from_str(&whole.stdout).expect("JSON");

    let segment = fs::read_dir(&run)
        .expect("a run")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tcs"))
        .expect("a segment");
    let invariants = temporary.path().join("invariants.json");
    let infer = || finish(traincheck().arg("infer").arg(&run).arg("-o").arg(&invariants));
    let check = || finish(traincheck().arg("check").arg(&run).arg("-i").arg(&invariants));
    infer().exited(0);
    check().exited(0);

    let mut bytes = fs::read(&segment).expect("its contents");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("room for it");

    let shown = finish(traincheck().arg("inspect").arg(&run).args(["--format", "json"])).exited(2);
    assert!(shown.stderr.contains(&segment.display().to_string()), "{}", shown.stderr);
    assert!(shown.stderr.contains("offset"), "{}", shown.stderr);
    let rest: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let records = |summary: &serde_json::Value| {
        let process = &summary["processes"][0];
        process["events"].as_u64().expect("a number") + process["states"].as_u64().expect("a number")
    };
    assert!(records(&rest) < records(&whole), "nothing is missing");
    assert!(records(&rest) * 2 > records(&whole), "more is missing than one frame");
    assert_eq!(rest["processes"][0]["iterations"], whole["processes"][0]["iterations"]);

    let checked = check().exited(2);
    assert!(checked.stdout.contains(&segment.display().to_string()), "{}", checked.stdout);
    assert!(checked.stdout.contains("not judged: iteration"), "{}", checked.stdout);
    assert!(checked.stdout.contains("No verdict: the trace is damaged"), "{}", checked.stdout);
    let refused = infer().exited(2);
    assert!(refused.stderr.contains(&segment.display().to_string()), "{}", refused.stderr);
}
