//! `traincheck invariants`: looking at what was learned, and suppressing what is known.
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::disk::{traincheck, write};
use support::learn;
use support::scripts::{Error, Script};
use traincheck_analyzer::relation::claim::RelationName;

/// A folder with invariants and runs: one clean, one without `zero_grad`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let of = |seed, error| Script { seed, error, ..Script::default() }.run().finish();
    let mut invariants = learn(&[of(1, Error::None), of(2, Error::None)]);
    // These are about the command: a new relation need not change them.
    invariants.invariants.retain(|invariant| invariant.claim.relation() <= RelationName::Frozen);
    invariants.write(&folder.path().join("invariants.json")).unwrap();
    write(&of(3, Error::None), &folder.path().join("clean"), true);
    write(&of(4, Error::NoZeroGrad), &folder.path().join("bad"), true);
    folder
}

fn invariants(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    traincheck(&[&["invariants"][..], arguments, &["-i", "invariants.json"]].concat(), folder, "1")
}

/// The one with this text.
fn id(folder: &Path, text: &str) -> String {
    let (_, stdout, _) = invariants(folder, &["list", "--text", text, "--format", "json"]);
    let list: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{stdout}");
    list[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_list_is_narrowed_down() {
    let folder = folder();
    let list = |arguments: &[&str]| {
        let (code, stdout, stderr) = invariants(folder.path(), &[&["list"][..], arguments].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        let mut lines: Vec<String> = stdout.lines().map(str::to_owned).collect();
        let last = lines.pop().unwrap();
        assert!(last.starts_with(&format!("{} of ", lines.len())), "{last}");
        lines
    };
    let all = list(&[]);
    assert!(all.len() > 20);
    let first_notice = all.iter().position(|line| line.contains("  notice  ")).unwrap();
    assert!(all[first_notice..].iter().all(|line| !line.contains("  alarm ")), "alarms come first");
    let alarms = list(&["--level", "alarm"]);
    assert_eq!(alarms.len(), first_notice);
    let covers = list(&["--relation", "cover"]);
    assert!(!covers.is_empty() && covers.iter().all(|line| line.starts_with("cover-")));
    // By a part, by a short name and by a pattern of the full one.
    let by_part = list(&["--function", "zero_grad"]);
    assert!(by_part.len() > 3 && by_part.iter().all(|line| line.contains("zero_grad")), "{by_part:?}");
    assert_eq!(list(&["--function", "AdamW.zero_grad"]), by_part);
    assert_eq!(list(&["--function", "*.AdamW.zero_grad"]), by_part);
    assert_eq!(list(&["--function", "zero_grad*"]), [""; 0]);
    let of_head = list(&["--variable", "Net.head.*", "--relation", "moving"]);
    assert_eq!(of_head.len(), 2, "{of_head:?}");
    let two = list(&["--text", "between every two successive", "--level", "alarm"]);
    assert!(two.is_empty(), "the case of letters matters: {two:?}");
}

#[test]
fn one_is_shown_and_explained() {
    let folder = folder();
    let text = "In every training iteration, `AdamW.step` is called";
    let id = id(folder.path(), text);
    let prefix = &id[..id.len() - 6];
    let (code, stdout, stderr) = invariants(folder.path(), &["show", prefix]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in
        [&id, text, "Relation: contain", "Precondition: none", "Level: alarm: ", "run0: held 23 times"]
    {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    let hash = id.rsplit('-').next().unwrap();
    let (code, stdout, _) = invariants(folder.path(), &["show", hash, "--format", "json"]);
    assert_eq!(code, Some(0));
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(shown["id"], id.as_str());

    let (code, stdout, _) = invariants(folder.path(), &["explain", &id]);
    assert_eq!(code, Some(0));
    let parts = [
        text,
        "Held 23 times in run0 and 23 in run1.",
        "`check` exits with 1",
        "The optimizer does not step (step-missing).",
        "Try: Call `optimizer.step()`",
        "The relation `contain`:\n  *In every window of P, C is called.*",
        "No error: ",
    ];
    for part in parts {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
}

#[test]
fn what_is_the_librarys_is_shown_with_how_it_was_tried_and_speaks_of_no_references() {
    let folder = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| traincheck(&[&["invariants"][..], arguments].concat(), folder.path(), "1");
    let (_, stdout, _) = of(&["list", "--format", "json"]);
    let all: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert!(all.len() > 20);
    for one in all {
        let id = one["id"].as_str().unwrap();
        let (_, stdout, _) = of(&["show", id, "--format", "json"]);
        assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), one);
        let count = |what: &str| one["tried"][what].as_u64().unwrap_or_default();
        assert!(count("programs") >= 5 && count("runs") >= count("programs"), "{stdout}");
        let (_, stdout, _) = of(&["explain", id]);
        let (said, guide) = stdout.split_once("\nThe relation `").expect("the guide's part");
        assert!(!said.contains("reference") && said.contains("(library)"), "{said}");
        assert!(!guide.contains("- Alarms:"), "{guide}");
    }
}

#[test]
fn ids_that_name_none_or_several_are_refused() {
    let folder = folder();
    for (id, says) in
        [("contain-", "begins the ids"), ("nothing", "no invariant has the id"), ("", "no invariant")]
    {
        for command in ["show", "explain"] {
            let (code, stdout, stderr) = invariants(folder.path(), &[command, id]);
            assert_eq!((code, stdout.as_str()), (Some(2), ""));
            assert!(stderr.contains(says) && stderr.contains("invariants.json"), "{stderr}");
        }
    }
    let (code, _, stderr) = traincheck(&["invariants", "list", "-i", "missing.json"], folder.path(), "1");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("missing.json"), "{stderr}");
}

#[test]
fn what_is_suppressed_is_no_alarm_and_is_still_reported() {
    let folder = folder();
    let check = |more: &[&str]| {
        traincheck(&[&["check", "bad", "-i", "invariants.json"][..], more].concat(), folder.path(), "1")
    };
    assert_eq!(check(&[]).0, Some(1));

    // One of several: the others are alarms still.
    let one = id(folder.path(), "In every call of `train_epoch`, `AdamW.zero_grad` is called");
    let suppress = |arguments: &[&str]| invariants(folder.path(), &[&["suppress"][..], arguments].concat());
    let (code, stdout, stderr) = suppress(&[&one, "--reason", "known, see #12"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("added; 1 invariant suppressed") && stdout.contains(&one), "{stdout}");
    let (code, stdout, _) = check(&[]);
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("4 violated, 1 suppressed, "), "{stdout}");
    let place = "traincheck-suppressions.toml:3: suppresses 1 violated invariant: known, see #12";
    assert!(stdout.contains(place), "{stdout}");

    // All of them.
    let (code, ..) = suppress(&["--function", "*.zero_grad", "--reason", "by hand", "--until", "2999-12-31"]);
    assert_eq!(code, Some(0));
    let (code, stdout, _) = check(&[]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(!stdout.contains("ALARM"), "{stdout}");
    assert!(stdout.contains(", until 2999-12-31: by hand"), "{stdout}");
    assert!(stdout.contains("Verdict: clean, apart from what is suppressed."), "{stdout}");

    let (code, stdout, _) = check(&["--format", "json"]);
    assert_eq!(code, Some(0));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../docs/findings-schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&report).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(report["suppressions"][0]["suppressed"], serde_json::json!([one]));
    assert_eq!(report["suppressions"][1]["reason"], "by hand");
    assert_eq!(report["counts"]["alarm"]["suppressed"], 5);
    assert_eq!(report["counts"]["alarm"]["violated"], 0);

    // Another file takes the place of this one.
    fs::write(folder.path().join("none.toml"), "").unwrap();
    assert_eq!(check(&["--suppressions", "none.toml"]).0, Some(1));
    // What holds is not touched.
    assert_eq!(traincheck(&["check", "clean", "-i", "invariants.json"], folder.path(), "1").0, Some(0));
}

#[test]
fn an_expired_suppression_counts_again_and_one_that_fits_nothing_is_said() {
    let folder = folder();
    let file = "[[suppress]]\nfunction = \"*.zero_grad\"\nuntil = 2020-02-29\nreason = \"until the rewrite\"\n\n\
                [[suppress]]\nvariable = \"Decoder.*\"\nreason = \"old name\"\n\n\
                [[suppress]]\nid = \"contain-0000\"\nreason = \"gone\"\n";
    fs::write(folder.path().join("s.toml"), file).unwrap();
    let (code, stdout, _) =
        traincheck(&["check", "bad", "-i", "invariants.json", "-s", "s.toml"], folder.path(), "1");
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("ALARM: Gradients are not cleared"), "{stdout}");
    let says = [
        "s.toml:1: expired on 2020-02-29, so 6 violated invariants of it count again: until the rewrite",
        "s.toml:6: suppresses nothing: no invariant fits variable Decoder.*.",
        "s.toml:10: suppresses nothing: no invariant has the id `contain-0000`",
    ];
    for says in says {
        assert!(stdout.contains(says), "{says} in {stdout}");
    }
}

#[test]
fn a_file_keeps_its_comments_and_an_entry_that_is_there_is_changed() {
    let folder = folder();
    let path = folder.path().join("own.toml");
    let text = "# Ours.\n\n[[suppress]] # the old one\ntext = \"*nothing like it*\"\nreason = \"a\" # why\n# the end\n";
    fs::write(&path, text).unwrap();
    let suppress = |reason, until: &[&str]| {
        let arguments = ["suppress", "-s", "own.toml", "--variable", "Net.head.*", "--reason", reason];
        invariants(folder.path(), &[&arguments[..], until].concat())
    };
    let (code, stdout, stderr) = suppress("first", &["--until", "2031-01-05"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.starts_with("own.toml: added; 2 invariants suppressed"), "{stdout}");
    insta::assert_snapshot!(fs::read_to_string(&path).unwrap());
    let (code, stdout, _) = suppress("again \"quoted\"", &[]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("own.toml: changed"), "{stdout}");
    let now = fs::read_to_string(&path).unwrap();
    assert!(now.contains("# the old one") && now.contains("# why"), "{now}");
    assert!(!now.contains("2031") && !now.contains("first"), "{now}");
    assert_eq!(now.matches("[[suppress]]").count(), 2);
}

#[test]
fn bad_suppressions_are_refused_with_file_and_line() {
    let folder = folder();
    let cases = [
        ("[[suppress]\n", "s.toml:1: "),
        ("\n[[suppress]]\nid = \"x\"\n", "s.toml:2: missing field `reason`"),
        ("[[suppress]]\nreason = \"x\"\n", "s.toml:1: nothing is named"),
        ("[[suppress]]\nid = \"x\"\nreason = \" \"\n", "s.toml:1: the reason is empty"),
        ("[[suppress]]\nid = \"x\"\nreason = \"x\"\nwhy = 1\n", "s.toml:4: unknown field `why`"),
        ("[[suppress]]\nid = \"x\"\nreason = \"x\"\nuntil = \"soon\"\n", "`soon` is not a day"),
        ("[[suppress]]\nid = \"x\"\nreason = \"x\"\nuntil = \"2023-02-29\"\n", "`2023-02-29` is not a day"),
        ("[[suppress]]\nid = \"x\"\nreason = \"x\"\nuntil = 2023-02-28T10:00:00\n", "is not a day"),
        ("suppress = 1\n", "s.toml:1: "),
    ];
    for (text, says) in cases {
        fs::write(folder.path().join("s.toml"), text).unwrap();
        let (code, stdout, stderr) =
            traincheck(&["check", "bad", "-i", "invariants.json", "-s", "s.toml"], folder.path(), "1");
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{text}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(says), "{says} in {stderr}");
        // Nothing is written into what is wrong.
        let id = id(folder.path(), "In every training iteration, `AdamW.step` is called");
        let (code, ..) = invariants(folder.path(), &["suppress", &id, "--reason", "x", "-s", "s.toml"]);
        assert_eq!(code, Some(2));
        assert_eq!(fs::read_to_string(folder.path().join("s.toml")).unwrap(), text);
    }
    for arguments in [
        &["suppress", "--reason", "x"][..],
        &["suppress", "contain-", "--reason", "x"],
        &["suppress", "--variable", "Decoder.*", "--reason", "x"],
        &["suppress", "--variable", "Net.*", "--reason", ""],
        &["suppress", "--variable", "Net.*", "--reason", "x", "--until", "tomorrow"],
        &["suppress", "--variable", "Net.*"],
        &["suppress", "*a*", "--text", "*b*", "--reason", "x"],
    ] {
        let (code, _, stderr) = invariants(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
    }
    assert!(!folder.path().join("traincheck-suppressions.toml").exists());
}
