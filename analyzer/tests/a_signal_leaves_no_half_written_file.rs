//! Ctrl-C and its like while a file is being written: what was there before is there still, and nothing else.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use traincheck_analyzer::whole_file;
use traincheck_benches::synthetic::Synthetic;

/// So much takes a while to be written.
const LARGE: usize = 96 << 20;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn send(signal: i32, to: u32) {
    // SAFETY: a child that was not waited for, so nobody else has its number.
    assert_eq!(unsafe { libc::kill(to as i32, signal) }, 0);
}

/// What the test below starts as a process of its own.
#[test]
fn the_writer_that_is_interrupted() {
    let Some(path) = env::var_os("TRAINCHECK_TEST_WRITES") else { return };
    if env::var_os("TRAINCHECK_TEST_IGNORES").is_some() {
        // SAFETY: no handler; `SIG_IGN` is a disposition.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    }
    whole_file::write(Path::new(&path), &vec![b'n'; LARGE]).unwrap();
}

/// Starts a writer and sends it the signal when its unfinished file is there; returns what ended it.
fn interrupted(folder: &Path, signal: i32, ignores: bool) -> (Option<i32>, usize) {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "the_writer_that_is_interrupted"])
        .env("TRAINCHECK_TEST_WRITES", folder.join("out"))
        .stdout(Stdio::null());
    if ignores {
        command.env("TRAINCHECK_TEST_IGNORES", "1");
    }
    let as_from_a_terminal = move || {
        // What the tests were started by may ignore it, as nohup does.
        // SAFETY: no handler; `SIG_DFL` is a disposition.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: `signal` may be called between fork and exec.
    unsafe { command.pre_exec(as_from_a_terminal) };
    let mut child = command.spawn().unwrap();
    let beside = folder.join(format!(".out.{}", child.id()));
    while !beside.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        thread::sleep(Duration::from_micros(100));
    }
    send(signal, child.id());
    let status = child.wait().unwrap();
    (status.signal(), fs::read(folder.join("out")).unwrap().len())
}

#[test]
fn the_old_file_stays() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("out"), "old").unwrap();
        assert_eq!(interrupted(folder.path(), signal, false), (Some(signal), 3));
        assert_eq!(names(folder.path()), ["out"]);
    }
}

#[test]
fn a_signal_that_is_ignored_stays_so() {
    // As under nohup.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("out"), "old").unwrap();
    assert_eq!(interrupted(folder.path(), libc::SIGINT, true), (None, LARGE));
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn infer_interrupted_at_any_moment_leaves_a_whole_file_or_none() {
    let folder = tempfile::tempdir().unwrap();
    Synthetic { events: 8_000, ..Synthetic::default() }.write(&folder.path().join("run"), true).unwrap();
    let infer = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_traincheck"));
        command.args(["infer", "run", "-o", "out.json"]).current_dir(folder.path());
        command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    };
    // How long it takes here: the moments are spread over that and half as much again.
    let begun = Instant::now();
    assert!(infer().wait().unwrap().success());
    let whole = begun.elapsed();
    fs::remove_file(folder.path().join("out.json")).unwrap();
    for sixteenths in 0..24 {
        let mut child = infer();
        let moment = whole * sixteenths / 16;
        thread::sleep(moment);
        send(if sixteenths % 2 == 0 { libc::SIGINT } else { libc::SIGTERM }, child.id());
        child.wait().unwrap();
        if let Ok(text) = fs::read_to_string(folder.path().join("out.json")) {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "half a file after {moment:?}");
            fs::remove_file(folder.path().join("out.json")).unwrap();
        }
        assert_eq!(names(folder.path()), ["run"], "after {moment:?}");
    }
}
