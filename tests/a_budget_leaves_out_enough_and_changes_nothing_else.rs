//! With a budget the agent looks less often and pauses, says so, and nothing false follows from what it did not see.

use std::path::Path;

use serde_json::Value;
use traincheck_schema::record::EventKind;
use traincheck_tests::{Trace, finish, folder, interpreters, pipeline, plain_in, preloaded_in, traincheck};

/// Starting to record alone costs more than a tenth of a percent of so little: most of it goes unseen.
const ITERATIONS: u32 = 1500;

#[test]
fn in_every_interpreter() {
    for (version, python) in interpreters() {
        eprintln!("CPython {version}");
        leaves_out_enough_and_changes_nothing_else(&version, &python);
    }
}

fn leaves_out_enough_and_changes_nothing_else(version: &str, python: &Path) {
    let folder = folder();
    let (whole, thinned) = (folder.path().join("whole"), folder.path().join("thinned"));
    let arguments = ["--iterations", &ITERATIONS.to_string()].map(str::to_owned);
    let script = pipeline("mlp.py");
    let expected = finish(plain_in(python).arg(&script).args(&arguments)).exited(0);
    for (run, budget) in [(&whole, None), (&thinned, Some("0.1%"))] {
        let mut command = preloaded_in(python, run);
        command.arg(&script).args(&arguments);
        if let Some(budget) = budget {
            command.env("TRAINCHECK_OVERHEAD", budget);
        }
        assert_eq!(finish(&mut command).exited(0).stdout, expected.stdout, "losses and weights");
    }

    let trace = Trace::read(&thinned).only();
    trace.assert_whole();
    let count = |kind| trace.of_kind(kind).count();
    assert!(count(EventKind::Paused) > 0, "nothing was left out");
    assert!(count(EventKind::Resumed) <= count(EventKind::Paused));
    let seen = count(EventKind::Iteration);
    assert!(seen < ITERATIONS as usize / 2, "{seen} iterations were recorded all the same");
    let unseen: u64 = trace.of_kind(EventKind::Resumed).map(|event| event.value).sum();
    let last = u64::from(trace.iterations());
    assert_eq!(last, seen as u64 + unseen, "the number of an iteration says how many came before it");
    assert!(last <= u64::from(ITERATIONS) * 11 / 10, "{last} iterations, of {ITERATIONS}");

    let inspected = finish(traincheck().arg("inspect").arg(&thinned).args(["--format", "json"])).exited(0);
    let inspected: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    assert_eq!(inspected["processes"][0]["left_out"]["iterations_unseen"], unseen);
    let info = std::fs::read_to_string(thinned.join("run.json")).expect("run.json");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    // Only the frame evaluator costs something for frames that are not recorded.
    let frames = (version == "3.11").then_some("frames_ns");
    for item in ["calls_ns", "looks_ns", "writer_cpu_ns"].into_iter().chain(frames) {
        assert!(info["account"][item].as_u64().is_some_and(|ns| ns > 0), "{item} in {}", info["account"]);
    }

    let invariants = folder.path().join("invariants.json");
    finish(traincheck().arg("infer").arg(&whole).arg("-o").arg(&invariants)).exited(0);
    let checked = finish(traincheck().arg("check").arg(&thinned).arg("-i").arg(&invariants));
    assert_ne!(checked.status.code(), Some(1), "a false alarm:\n{}", checked.stdout);
}
