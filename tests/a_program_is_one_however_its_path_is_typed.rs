//! References and the run that is checked are of one program if the script is one file, or lies in the same place of another
//! check-out, however its path is typed.

use std::fs;
use std::path::Path;

use serde_json::Value;
use traincheck_tests::{finish, folder, preloaded, script, traincheck};

const SCRIPT: &str = "dropout_by_hand.py";

fn record(run: &Path, (from, typed): (&Path, &Path), variables: [(&str, &str); 2]) {
    finish(preloaded(run).current_dir(from).envs(variables).arg(typed)).exited(0);
}

/// How a run differs from the references, and the number of its alarms.
fn checked(invariants: &Path, run: &Path) -> (String, usize) {
    let mut command = traincheck();
    command.arg("check").arg("-i").arg(invariants).args(["--format", "json"]).arg(run);
    let report: Value = serde_json::from_str(&finish(&mut command).stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings").iter();
    let difference = report["difference"]["from_references"].as_str().expect("a difference").to_owned();
    (difference, findings.filter(|finding| finding["level"] == "alarm").count())
}

#[test]
fn whatever_is_in_the_way() {
    let temporary = folder();
    let path = |file: &str| temporary.path().join(file);
    for at in ["one", "other"] {
        fs::create_dir(path(at)).unwrap();
        fs::copy(script(SCRIPT), path(at).join(SCRIPT)).unwrap();
    }
    let (here, whole) = (path("one"), path("one").join(SCRIPT));
    record(&path("good-1"), (&here, Path::new(SCRIPT)), [("SEED", "1"), ("GOOD", "1")]);
    record(
        &path("good-2"),
        (&path("other"), Path::new("../one/dropout_by_hand.py")),
        [("SEED", "2"), ("GOOD", "1")],
    );
    let invariants = path("invariants.json");
    let mut command = traincheck();
    finish(command.arg("infer").arg(path("good-1")).arg(path("good-2")).arg("-o").arg(&invariants)).exited(0);

    record(&path("wrong"), (temporary.path(), &whole), [("SEED", "3"), ("ALWAYS", "1")]);
    let (difference, alarms) = checked(&invariants, &path("wrong"));
    assert_eq!(difference, "seed");
    assert!(alarms > 0);

    record(
        &path("moved"),
        (&path("other"), Path::new("./dropout_by_hand.py")),
        [("SEED", "3"), ("GOOD", "1")],
    );
    assert_eq!(checked(&invariants, &path("moved")), ("seed".into(), 0));
}
