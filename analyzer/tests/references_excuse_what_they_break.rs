//! What references break of the library does not count: `infer` says what that is, and `check` how much.
mod support;

use std::fs;

use serde_json::Value;
use support::disk::{traincheck, write};
use support::scripts::{Error, Script};

/// Runs of a script whose optimizer does not hold the head on purpose, and of one whose optimizer does.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let runs = [
        ("a", 1, Error::HeadNotInOptimizer),
        ("b", 2, Error::HeadNotInOptimizer),
        ("c", 3, Error::HeadNotInOptimizer),
    ];
    for (name, seed, error) in runs.into_iter().chain([("right", 4, Error::None), ("fine", 5, Error::None)]) {
        let trace = Script { seed, error, ..Script::default() }.run().finish();
        write(&trace, &folder.path().join(name), true);
    }
    folder
}

#[test]
fn infer_says_what_and_check_how_much() {
    let folder = folder();
    let of = |arguments: &[&str]| traincheck(arguments, folder.path(), "1");
    let (code, stdout, _) = of(&["infer", "a", "b", "-o", "learned.json"]);
    assert_eq!(code, Some(0));
    let says = "These runs break 1 invariant of the library, which therefore will not count with this file:";
    assert!(stdout.contains(says), "{stdout}");
    let excused = stdout.lines().last().unwrap().trim_start();
    assert!(excused.contains("every parameter that got a gradient is held by an optimizer"), "{stdout}");

    // By the library alone it is an alarm.
    let (code, stdout, _) = of(&["check", "c"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(!stdout.contains("Not counted"), "{stdout}");
    let (code, stdout, _) = of(&["check", "c", "-i", "learned.json"]);
    assert_eq!(code, Some(0), "{stdout}");
    let says = "\nNot counted: 1 invariant of the library that the references break.\nVerdict: clean.\n";
    assert!(stdout.ends_with(says), "{stdout}");

    let excused_by = |options: &[&str]| {
        let (_, stdout, stderr) =
            of(&[&["check", "c", "-i", "learned.json", "--format", "json"][..], options].concat());
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        report["excused"].as_array().unwrap().clone()
    };
    let id = excused.split(' ').next().unwrap();
    assert_eq!(excused_by(&[])[0]["id"], id);
    assert!(excused_by(&["--no-library"]).is_empty());

    // It can still be asked for.
    let (code, stdout, _) = of(&["invariants", "explain", id, "-i", "learned.json"]);
    assert_eq!(code, Some(0), "{stdout}");

    let (_, stdout, _) = of(&["infer", "right", "fine", "-o", "right.json"]);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
}

#[test]
fn another_library_can_be_named() {
    let folder = folder();
    let of = |arguments: &[&str]| traincheck(arguments, folder.path(), "1");
    let mut library: Value = serde_json::from_str(include_str!("../library/general.json")).unwrap();
    library["claims"]
        .as_array_mut()
        .unwrap()
        .retain(|entry| entry["text"].as_str().unwrap().contains("held by an optimizer"));
    fs::write(folder.path().join("own.json"), library.to_string()).unwrap();
    let (code, stdout, _) = of(&["check", "c", "--library", "own.json"]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("Tested: 1 of the 1 of the library"), "{stdout}");
    let more = stdout.lines().find_map(|line| line.trim().strip_prefix("More: traincheck ")).unwrap();
    assert!(more.ends_with(" --library own.json"), "{more}");
    let (code, stdout, _) = of(&more.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{stdout}");

    library["claims"] = Value::Array(Vec::new());
    fs::write(folder.path().join("none.json"), library.to_string()).unwrap();
    let (code, stdout, _) = of(&["check", "c", "--library", "none.json"]);
    assert_eq!(code, Some(2), "{stdout}");
    let (_, stdout, _) = of(&["infer", "a", "b", "-o", "learned.json", "--library", "none.json"]);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
}

#[test]
fn a_report_goes_to_a_file() {
    let folder = folder();
    let of = |arguments: &[&str]| traincheck(arguments, folder.path(), "1");
    let (code, page, _) = of(&["check", "c"]);
    let (in_file, stdout, stderr) = of(&["check", "c", "--report", "report.txt"]);
    assert_eq!((in_file, stdout.as_str()), (code, ""));
    assert_eq!(stderr, "traincheck: report in report.txt. Verdict: 1 alarm.\n");
    assert_eq!(fs::read_to_string(folder.path().join("report.txt")).unwrap(), page);
    of(&["check", "c", "--report", "report.json", "--format", "json"]);
    let report: Value =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["verdict"], "alarms");
}
