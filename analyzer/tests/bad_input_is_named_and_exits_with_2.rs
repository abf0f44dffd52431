//! Commands on what they cannot use: every bad input is named, one line each, and the exit code is 2.
mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::scripts::Script;
use traincheck_analyzer::invariants::{Invariants, ReadInvariantsError};
use traincheck_analyzer::library::{self, Library, ReadLibraryError};

fn traincheck(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_traincheck"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

fn learned() -> Invariants {
    support::learn(&[
        Script::default().run().finish(),
        Script { seed: 2, ..Script::default() }.run().finish(),
    ])
}

#[test]
fn every_bad_run_is_named_before_infer_stops() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::create_dir(folder.path().join("junk")).unwrap();
    fs::write(folder.path().join("junk/host-1-0.tcs"), b"this is no segment at all").unwrap();
    fs::write(folder.path().join("file"), b"x").unwrap();
    let (code, stdout, stderr) =
        traincheck(&["infer", "missing", "empty", "junk", "file", "-o", "out.json"], folder.path());
    assert_eq!(code, Some(2), "{stderr}");
    assert_eq!(stdout, "");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{stderr}");
    for (line, name) in lines.iter().zip(["missing", "empty", "junk", "file"]) {
        assert!(line.starts_with("traincheck: ") && line.contains(name), "{line}");
    }
    assert!(!folder.path().join("out.json").exists());
}

#[test]
fn a_bad_run_and_bad_invariants_are_both_named() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = traincheck(&["check", "missing", "-i", "nothing.json"], folder.path());
    assert_eq!(code, Some(2));
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.contains("missing") && stderr.contains("nothing.json"), "{stderr}");
}

#[test]
fn what_a_run_is_to_be_checked_by_is_read_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("junk"), "junk").unwrap();
    for (option, file, says) in [
        ("-i", "missing.json", "cannot read the invariants"),
        ("-i", "junk", "not a file of invariants"),
        ("--library", "missing.json", "cannot read the library"),
        ("--library", "junk", "not a library"),
        ("-s", "missing.toml", "missing.toml"),
        ("--causes", "junk", "junk"),
        ("--report", "no/such/folder", "cannot write the report"),
        ("--report", ".", "it is a folder"),
    ] {
        let (code, stdout, stderr) =
            traincheck(&["run", option, file, "--", "touch", "started"], folder.path());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{option} {file}: {stderr}");
        assert!(stderr.contains(file) && stderr.contains(says), "{option} {file}: {stderr}");
        assert!(!folder.path().join("started").exists(), "{option} {file}");
    }
    let all =
        ["run", "-i", "a", "--library", "b", "-s", "c", "--causes", "d", "--report", "e/f", "--", "true"];
    let (_, _, stderr) = traincheck(&all, folder.path());
    assert_eq!(stderr.lines().count(), 5, "{stderr}");
}

#[test]
fn a_corpus_without_runs_and_a_budget_that_is_no_share_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("corpus/program")).unwrap();
    let (code, stdout, stderr) = traincheck(&["library", "corpus"], folder.path());
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("corpus: no run in this corpus"), "{stderr}");
    let about = folder.path().join("corpus/program/program.json");
    for bad in ["{}", "plain", r#"{"kind": "plain", "packages": ["torch"]}"#] {
        fs::write(&about, bad).unwrap();
        let (code, _, stderr) = traincheck(&["library", "corpus"], folder.path());
        assert_eq!(code, Some(2), "{bad}: {stderr}");
        assert!(stderr.contains("program.json: not what a program is: {\"kind\": "), "{bad}: {stderr}");
    }
    fs::write(&about, r#"{"kind": "plain", "packages": {"torch": "2.9.1"}}"#).unwrap();
    let (_, _, stderr) = traincheck(&["library", "corpus"], folder.path());
    assert!(stderr.contains("corpus: no run in this corpus"), "{stderr}");
    for budget in ["0", "1", "-0.1", "-1", "2", "NaN", "inf", "much"] {
        for command in ["library", "levels", "check"] {
            let (code, _, stderr) = traincheck(&[command, "corpus", "--alarm-budget", budget], folder.path());
            assert_eq!(code, Some(2), "{budget}");
            assert!(stderr.contains("a share between 0 and 1"), "{budget}: {stderr}");
        }
    }
    assert!(!folder.path().join("general.json").exists());
}

#[test]
fn what_was_measured_has_to_be_that() {
    let folder = tempfile::tempdir().unwrap();
    let levels = |text: &str| {
        fs::write(folder.path().join("x.json"), text).unwrap();
        traincheck(&["levels", "x.json", "-o", "levels.json"], folder.path())
    };
    let of = |family: &str| {
        format!(
            r#"{{"seed": {{"runs": ["p/1", "p/2"], "families": {{}}, "notices": {{"ambiguous": {{"f": {family}}}}}}}}}"#
        )
    };
    let deep = "[".repeat(100_000);
    let shipped =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("library/levels.json")).unwrap();
    for (text, says) in [
        ("", "not what was measured"),
        (&*deep, "not what was measured"),
        (&*shipped, "unknown variant `format`"),
        (r#"{"seed": {"runs": []}}"#, "missing field `families`"),
        ("{}", "no run was checked"),
        (r#"{"seed": {"runs": [], "families": {}, "notices": {}}}"#, "no run was checked"),
        (
            r#"{"program": {"runs": ["p1"], "families": {}, "notices": {}}}"#,
            "\"p1\" is not named PROGRAM/RUN",
        ),
        (
            &*of(r#"{"runs": ["p/3"], "claims": 1, "broken": []}"#),
            "\"f\" is inconsistent: it came up in a run that",
        ),
        (&*of(r#"{"runs": ["p/1"], "claims": 1, "broken": ["p/2"]}"#), "it is broken by a run in which"),
        (&*of(r#"{"runs": ["p/1", "p/2"], "claims": 1, "broken": []}"#), "in more runs than it has claims"),
        (&*of(r#"{"runs": ["p/1"], "claims": -1, "broken": []}"#), "not what was measured"),
    ] {
        let (code, stdout, stderr) = levels(text);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{says}: {stderr}");
        assert!(
            stderr.starts_with("traincheck: x.json: ") && stderr.contains(says),
            "{stderr}, wanted: {says}"
        );
        assert!(!folder.path().join("levels.json").exists(), "{says}");
    }
    let (code, _, stderr) = traincheck(&["levels", "missing.json"], folder.path());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("missing.json: cannot read what was measured"), "{stderr}");
    let good = of(&format!(r#"{{"runs": ["p/1"], "claims": {}, "broken": ["p/1"]}}"#, u64::MAX));
    let (code, stdout, stderr) = levels(&good);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout
            .starts_with("Another seed: 2 runs of 1 programs, 0 claims of 0 families; 0 runs violate one.\n")
    );
    assert!(folder.path().join("levels.json").exists());
    fs::create_dir(folder.path().join("taken")).unwrap();
    let (code, _, stderr) = traincheck(&["levels", "x.json", "-o", "taken"], folder.path());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("taken: cannot write the levels"), "{stderr}");
}

#[test]
fn a_number_of_threads_that_no_machine_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["library", "check", "infer"] {
        for threads in ["-1", "4097", "9999999999999", "many"] {
            let (code, _, stderr) = traincheck(&[command, "runs", "--threads", threads], folder.path());
            assert_eq!(code, Some(2), "{threads}");
            assert!(stderr.contains("a number from 0 to 4096"), "{command} {threads}: {stderr}");
        }
    }
}

#[test]
fn hostile_libraries_give_clear_errors() {
    let good = library::built_in().to_json();
    let edited = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let programs = format!("\"programs\": {},", library::built_in().claims[0].tried.programs);
    let parse = |bytes: &str| Library::parse(bytes.as_bytes(), Path::new("x.json"));
    assert_eq!(parse(&good).expect("it is one"), *library::built_in());
    for (bytes, says) in [
        ("", "not a library"),
        ("[]", "not a library"),
        ("{}", "lacks"),
        (&*learned().to_json(), "give what `traincheck infer` wrote with -i"),
        (&*edited("\"version\": 1", "\"version\": 2"), "a library of version 2"),
        (&*edited("\"claims\"", "\"claim\""), "not a library"),
        (&*good[..good.len() / 2].to_owned(), "not a library"),
        (&*edited("\"is\": \"held\"", "\"is\": \"held_once\""), "the id is not that of the claim"),
        (&*edited("\"text\": \"", "\"text\": \"Not so: "), "the text is not that of the claim"),
        (&*edited("\"windows\": ", "\"windows\": 0"), "not a library"),
        (&*edited(&programs, &programs.replace(',', "000,")), "does not add up"),
    ] {
        let error = parse(bytes).expect_err(says).to_string();
        assert!(error.contains(says) && error.contains("x.json"), "{error}, wanted: {says}");
    }
    let twice = good.replace("cover-", "count-");
    let error = parse(&twice).expect_err("other ids");
    assert!(matches!(error, ReadLibraryError::Inconsistent { .. }), "{error}");
}

#[test]
fn usage_errors_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let both = ["check", "a", "-i", "b", "--library", "c", "--no-library"];
    for arguments in
        [&["infer"][..], &["check"], &["check", "a", "--format", "xml"], &["run"], &["run", "--"], &both]
    {
        assert_eq!(traincheck(arguments, folder.path()).0, Some(2), "{arguments:?}");
    }
}

#[test]
fn hostile_invariants_give_clear_errors() {
    let good = learned().to_json();
    let edited = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let deep = "[".repeat(100_000);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "not a file of invariants"),
        ("{".into(), "not a file of invariants"),
        ("[]".into(), "not a file of invariants"),
        ("{}".into(), "lacks"),
        (deep, "not a file of invariants"),
        (edited("\"version\": 2", "\"version\": 3"), "newer"),
        (edited("\"version\": 2", "\"version\": 1"), "older"),
        (edited("\"version\": 2,", ""), "lacks"),
        (edited("traincheck-invariants", "other"), "lacks"),
        (edited("\"is\": \"held\"", "\"is\": \"held_once\""), "inconsistent"),
        (edited("\"is\": \"moves\"", "\"is\": \"stays_frozen\""), "unknown variant `stays_frozen`"),
        (edited("\"is\": \"moves\"", "\"is\": \"explodes\""), "not a file of invariants"),
        (edited("\"runs\"", "\"walks\""), "not a file of invariants"),
        (edited("\"role\": \"zero_grad\"", "\"role\": \"unknown\""), "is not a role"),
    ];
    for (bytes, says) in cases {
        let error = Invariants::parse(bytes.as_bytes(), Path::new("x.json")).expect_err(says).to_string();
        assert!(error.contains(says) && error.contains("x.json"), "{error}, wanted: {says}");
    }
    let raised = good.replace("\"level\": \"notice\"", "\"level\": \"alarm\"");
    let error = Invariants::parse(raised.as_bytes(), Path::new("x.json")).expect_err("raised by hand");
    assert!(matches!(error, ReadInvariantsError::Inconsistent { .. }), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("invariants.json");
    let invariants = learned();
    invariants.write(&path).unwrap();
    assert_eq!(Invariants::read(&path).unwrap(), invariants);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_file_that_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    fs::create_dir(&path).unwrap();
    learned().write(&path).expect_err("a folder is in the way");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
