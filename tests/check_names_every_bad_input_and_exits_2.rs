//! Bad input is no verdict: exit code 2, and every bad input is named on a line of its own.

use std::fs;
use std::path::{Path, PathBuf};

use traincheck_tests::{Finished, finish, folder, pipeline, preloaded, traincheck};
use xxhash_rust::xxh3::xxh3_64;

/// A run and what was learned from it; both good.
fn good(temporary: &Path) -> (PathBuf, PathBuf) {
    let run = temporary.join("good");
    finish(preloaded(&run).arg(pipeline("mlp.py")).args(["--iterations", "40"])).exited(0);
    let invariants = temporary.join("good.json");
    finish(traincheck().arg("infer").arg(&run).arg("-o").arg(&invariants)).exited(0);
    (run, invariants)
}

/// Runs whose folder cannot be read, each for another reason.
fn bad_runs(temporary: &Path, good: &Path) -> Vec<PathBuf> {
    let segment = segment_of(good);
    let name = segment.file_name().expect("a name").to_owned();
    let with = |folder: &str, contents: &[u8]| {
        let folder = temporary.join(folder);
        fs::create_dir(&folder).expect("a folder");
        fs::write(folder.join(&name), contents).expect("a file");
        folder
    };
    let missing = temporary.join("missing-run");
    let empty = temporary.join("empty-run");
    fs::create_dir(&empty).expect("a folder");
    let no_segment = with("no-segment", b"this is a text that somebody named like a segment\n");

    let mut bytes = fs::read(&segment).expect("a segment");
    bytes[8..10].copy_from_slice(&99_u16.to_le_bytes());
    let checksum = xxh3_64(&bytes[..12]) as u32;
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    let newer = with("newer", &bytes);
    vec![missing, empty, no_segment, newer]
}

fn segment_of(run: &Path) -> PathBuf {
    fs::read_dir(run)
        .expect("a run")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tcs"))
        .expect("a segment")
}

fn bad_invariants(temporary: &Path) -> Vec<PathBuf> {
    let with = |name: &str, contents: &str| {
        let path = temporary.join(name);
        fs::write(&path, contents).expect("a file");
        path
    };
    vec![
        temporary.join("missing-file.json"),
        with("no.json", "no JSON at all"),
        with("versionless.json", r#"{"invariants": []}"#),
    ]
}

#[track_caller]
fn assert_names(finished: Finished, paths: &[&Path]) {
    let finished = finished.exited(2);
    for path in paths {
        // What is wrong may lie in a file of the folder; no name here is the beginning of another.
        let path = path.display().to_string();
        let lines = finished.stderr.lines().filter(|line| line.contains(&path)).count();
        assert_eq!(lines, 1, "{path} must be named on one line:\n{}", finished.stderr);
    }
}

fn check(runs: &[&Path], invariants: &Path) -> Finished {
    finish(traincheck().arg("check").args(runs).arg("-i").arg(invariants))
}

#[test]
fn one_by_one_and_together() {
    let temporary = folder();
    let (run, invariants) = good(temporary.path());
    let runs = bad_runs(temporary.path(), &run);
    let files = bad_invariants(temporary.path());

    let clean = check(&[&run], &invariants);
    assert_eq!(clean.status.code(), Some(0), "the good ones must be good: {clean:?}");

    for bad in &runs {
        assert_names(check(&[bad], &invariants), &[bad]);
        assert_names(finish(traincheck().arg("inspect").arg(bad)), &[bad]);
        let to = temporary.path().join("never-written.json");
        assert_names(finish(traincheck().arg("infer").arg(&run).arg(bad).arg("-o").arg(&to)), &[bad]);
        assert!(!to.exists(), "learned from {}", bad.display());
    }
    let to = temporary.path().join("never-written.json");
    assert_names(finish(traincheck().arg("infer").arg(&run).arg(&run).arg("-o").arg(&to)), &[&run]);
    assert!(!to.exists(), "one run is no two references");
    for bad in &files {
        assert_names(check(&[&run], bad), &[bad]);
    }
    assert_names(check(&[&runs[0]], &files[0]), &[&runs[0], &files[0]]);
    let to = temporary.path().join("never-written.json");
    let all: Vec<&Path> = runs.iter().map(PathBuf::as_path).collect();
    assert_names(finish(traincheck().arg("infer").args(&all).arg("-o").arg(&to)), &all);
    assert_names(check(&[], &invariants), &[]);
}
