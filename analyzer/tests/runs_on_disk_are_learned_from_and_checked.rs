//! `infer` and `check` from run folders to exit codes.
mod support;

use std::fs;

use support::disk::{traincheck, write};
use support::scripts::{Error, Script};

#[test]
fn from_folders_to_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let of = |seed, epochs, error| Script { seed, epochs, error, ..Script::default() }.run().finish();
    write(&of(1, 4, Error::None), &at("a"), true);
    write(&of(2, 5, Error::None), &at("b"), true);
    write(&of(3, 4, Error::None), &at("clean"), true);
    write(&of(3, 4, Error::NoZeroGrad), &at("bad"), true);
    write(&of(3, 4, Error::None), &at("killed"), false);

    let (code, stdout, stderr) = traincheck(&["infer", "a", "b", "-o", "one.json"], folder.path(), "1");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let (code, ..) = traincheck(&["infer", "b", "a", "-o", "two.json"], folder.path(), "4");
    assert_eq!(code, Some(0));
    assert_eq!(fs::read(at("one.json")).unwrap(), fs::read(at("two.json")).unwrap());

    let explained =
        |explain: &str| traincheck(&["infer", "b", "a", "-o", "two.json", explain], folder.path(), "2").1;
    let (on_stdout, in_file) = (explained("--explain"), explained("--explain=why.txt"));
    let lines = fs::read_to_string(at("why.txt")).unwrap();
    assert_eq!(on_stdout, lines.clone() + &in_file);
    assert!(
        lines
            .lines()
            .all(|line| ["alarm ", "notice ", "rejected "].iter().any(|word| line.starts_with(word))),
        "{lines}"
    );
    assert!(lines.lines().count() > 100, "{lines}");

    let check = |run: &str| traincheck(&["check", run, "-i", "one.json"], folder.path(), "2");
    let (code, stdout, _) = check("clean");
    assert_eq!(code, Some(0), "{stdout}");
    let (code, stdout, _) = check("bad");
    assert_eq!(code, Some(1), "{stdout}");
    assert!(stdout.contains("ALARM: Gradients are not cleared"), "{stdout}");
    let (code, stdout, _) = check("killed");
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("torn"), "{stdout}");
    let (code, stdout, _) =
        traincheck(&["check", "bad", "-i", "one.json", "--format", "json"], folder.path(), "2");
    assert_eq!(code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(report["findings"][0]["cause"], "gradients-not-cleared");

    let (code, _, stderr) = traincheck(&["infer", "a", "-o", "single.json"], folder.path(), "1");
    assert_eq!(code, Some(0));
    assert!(stderr.contains("one run only"), "{stderr}");
}

#[test]
fn runs_in_folders_that_are_called_alike_have_names_that_tell_them_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (seed, name) in [(1, "one/run"), (2, "two/run"), (3, "other")] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        write(&Script { seed, ..Script::default() }.run().finish(), &at(name), true);
    }
    let infer = ["infer", "one/run", "two/run", "other", "-o", "out.json"];
    assert_eq!(traincheck(&infer, folder.path(), "2").0, Some(0));
    let learned: serde_json::Value = serde_json::from_slice(&fs::read(at("out.json")).unwrap()).unwrap();
    let names: Vec<&str> =
        learned["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one/run", "other", "two/run"]);
}
