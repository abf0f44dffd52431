//! Two good runs of a script teach; a run with the error raises an alarm with its cause among the first three, and a good
//! run of another configuration none.

use serde_json::Value;
use std::path::Path;
use traincheck_tests::{Finished, finish, folder, preloaded, script, traincheck};

/// A variable of the environment, and its value.
type Variable = (&'static str, &'static str);

/// A script of `tests/scripts` that takes SEED, the variable that makes the error, one that makes another configuration, and
/// the cause.
const CASES: &[(&str, Variable, Variable, &str)] = &[
    ("layers_kept_aside.py", ("LIST", "1"), ("ROWS", "12"), "module-not-registered"),
    ("initialised_by_all.py", ("ALL", "1"), ("DEPTH", "3"), "initialised-repeatedly"),
    ("initialised_by_all.py", ("NONE", "1"), ("ROWS", "12"), "not-initialised"),
    ("drawing_workers.py", ("SAME", "1"), ("ROWS", "12"), "workers-give-the-same-data"),
    ("computed_again.py", ("FORGET", "1"), ("ROWS", "12"), "recomputed-with-other-random-numbers"),
    ("dropout_by_hand.py", ("ALWAYS", "1"), ("ROWS", "12"), "random-numbers-in-evaluation"),
    ("modes_of_parts.py", ("NORM", "eval"), ("ROWS", "12"), "part-in-evaluation-mode"),
    ("modes_of_parts.py", ("INNER", "eval"), ("ROWS", "6"), "part-in-evaluation-mode"),
    ("modes_of_parts.py", ("DROP", "train"), ("ROWS", "16"), "part-evaluated-in-training-mode"),
    ("follows_a_model.py", ("NEVER", "1"), ("EVERY", "8"), "copy-never-updated"),
    ("follows_a_model.py", ("ITSELF", "1"), ("ROWS", "12"), "own-state-loaded"),
    ("follows_a_model.py", ("SAME", "1"), ("EVERY", "1"), "copy-is-the-model"),
    ("follows_a_model.py", ("KEPT", "1"), ("EVERY", "29"), "own-state-loaded"),
];

/// A variable that no script looks at.
const GOOD: Variable = ("GOOD", "1");

fn record(run: &Path, name: &str, seed: &str, (variable, value): (&str, &str)) {
    finish(preloaded(run).env("SEED", seed).env(variable, value).arg(script(name))).exited(0);
}

fn check(invariants: &Path, run: &Path) -> (Finished, Vec<String>) {
    let mut command = traincheck();
    command.arg("check").arg("-i").arg(invariants).args(["--format", "json"]).arg(run);
    let checked = finish(&mut command);
    let report: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings").iter();
    let alarms = findings.filter(|finding| finding["level"] == "alarm");
    let causes = alarms.map(|finding| finding["cause"].as_str().unwrap_or_default().to_owned());
    let causes = causes.collect();
    (checked, causes)
}

#[test]
fn with_its_cause_among_the_first_three() {
    // Two runs of a script teach for all its cases, which lie together.
    for cases in CASES.chunk_by(|(one, ..), (next, ..)| one == next) {
        let temporary = folder();
        let path = |file: &str| temporary.path().join(file);
        let name = cases[0].0;
        record(&path("one"), name, "1", GOOD);
        record(&path("two"), name, "2", GOOD);
        let invariants = path("invariants.json");
        let mut command = traincheck();
        finish(command.arg("infer").arg(path("one")).arg(path("two")).arg("-o").arg(&invariants)).exited(0);

        for (number, (_, error, configuration, cause)) in cases.iter().enumerate() {
            let wrong = path(&format!("wrong-{number}"));
            record(&wrong, name, "3", *error);
            let (checked, found) = check(&invariants, &wrong);
            checked.exited(1);
            assert!(found.iter().take(3).any(|found| found == cause), "{name}: {cause} is not in {found:?}");

            let good = path(&format!("good-{number}"));
            record(&good, name, "3", *configuration);
            let (checked, found) = check(&invariants, &good);
            assert!(found.is_empty(), "{name}: {found:?}");
            checked.exited(0);
        }
    }
}
