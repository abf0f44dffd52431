//! Secrets, modes of files, and processes that do not train.

mod common;

use common::{event, files, info, inner, is_inner, run_inner};
use std::os::unix::fs::PermissionsExt;
use traincheck::sink;
use traincheck_schema::run::{HookInfo, Run};

#[test]
fn a_process_that_never_starts_leaves_no_file() {
    if is_inner() {
        sink::choose_folder();
        (0..1_000).for_each(|i| sink::emit(&event(i)));
        sink::text("a text");
        sink::note_hook_off("frames", "no reason");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = inner("a_process_that_never_starts_leaves_no_file", folder.path())
        .env_remove("TRAINCHECK_RUN_DIR")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn secrets_given_as_arguments_or_environment_reach_no_file() {
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(0));
        return;
    }
    let secrets =
        ["sk-live-4242", "password=hunter2hunter2", "c2VjcmV0c2VjcmV0cw==", "https://bob:s3same@host/"];
    let folder = tempfile::tempdir().unwrap();
    let output = inner("secrets_given_as_arguments_or_environment_reach_no_file", folder.path())
        // To the test harness these are names of further tests to run.
        .args(secrets)
        .args(["0.001", "lr=3e-4"])
        .env("API_TOKEN", "environment-s3cret")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let info = Run::open(folder.path()).unwrap().info.unwrap();
    assert!(info.command.contains(&"--test-threads=1".to_owned()), "{:?}", info.command);
    assert!(info.command.contains(&"0.001".to_owned()) && info.command.contains(&"lr=3e-4".to_owned()));
    assert_eq!(
        info.command.iter().filter(|argument| *argument == "<redacted>").count(),
        5,
        "{:?}",
        info.command
    );
    for name in files(folder.path()) {
        let bytes = std::fs::read(folder.path().join(&name)).unwrap();
        for secret in ["sk-live", "hunter2", "c2Vjc", "s3same", "environment-s3cret"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
}

#[test]
fn files_are_for_their_owner_only() {
    if is_inner() {
        let mask = std::env::var("MASK").unwrap().parse().unwrap();
        // SAFETY: sets a mask of this process.
        unsafe { libc::umask(mask) };
        assert!(sink::start(info()));
        sink::emit(&event(0));
        let folder = std::path::PathBuf::from(std::env::var("TRAINCHECK_RUN_DIR").unwrap());
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let names = files(&folder);
        assert_eq!(names.len(), 4, "run.json, a segment, two rings: {names:?}");
        names.iter().for_each(|name| assert_eq!(mode(&folder.join(name)), 0o600, "{name}"));
        return;
    }
    // One that takes nothing away, and one that takes everything.
    for (mask, run) in [(0, "above/run"), (0o777, "run")] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = inner("files_are_for_their_owner_only", &folder.path().join(run));
        let output = command.env("MASK", mask.to_string()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn hooks_are_named_once_and_what_is_off_stays_off() {
    if is_inner() {
        sink::note_hook_off("frames", "no CPython here");
        sink::note_hook_off("frames", "again");
        sink::note_hook_on("frames", "too late");
        sink::note_hook_on("ops", "callbacks");
        assert!(sink::start(info()));
        sink::note_hook_off("ops", "a callback has failed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("hooks_are_named_once_and_what_is_off_stays_off", folder.path());
    let hooks = Run::open(folder.path()).unwrap().info.unwrap().hooks;
    let off = HookInfo { name: "frames".into(), why: "no CPython here".into(), ..HookInfo::default() };
    // As it was when the run ended.
    let failed = HookInfo { name: "ops".into(), why: "a callback has failed".into(), ..HookInfo::default() };
    assert_eq!(hooks, [off, failed]);
    let found = common::read(folder.path());
    let notes: Vec<&str> = found.events[&0].iter().map(|event| found.names[&event.name].as_str()).collect();
    assert_eq!(notes, ["frames: no CPython here", "ops: a callback has failed"]);
}
