//! What takes longer than a second shows its progress on stderr if that is a terminal, leaves nothing of it there, and
//! never anything on stdout.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use traincheck_benches::synthetic::Synthetic;
use traincheck_tests::left_out_by_this_machine;

/// Both ends of a terminal: the program's, and ours.
fn terminal() -> (OwnedFd, File) {
    let (mut ours, mut theirs) = (-1, -1);
    // As wide as people have it; without a size nothing is drawn.
    let size = libc::winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the places for the descriptors are there, and what is null may be.
    let opened = unsafe {
        libc::openpty(&raw mut ours, &raw mut theirs, ptr::null_mut(), ptr::null(), &raw const size)
    };
    assert_eq!(opened, 0);
    // SAFETY: both are open and nobody else's.
    unsafe { (OwnedFd::from_raw_fd(theirs), File::from_raw_fd(ours)) }
}

fn send(signal: i32, to: u32) {
    // SAFETY: a child that was not waited for, so nobody else has its number.
    assert_eq!(unsafe { libc::kill(to as i32, signal) }, 0);
}

/// Runs the command with stderr on a terminal; returns stdout, and what the terminal got. `slowly`: it is stopped most
/// of the time for eight seconds, so that it takes longer than one on any machine.
fn on_a_terminal(folder: &Path, arguments: &[&str], slowly: bool) -> (String, String) {
    let (theirs, mut ours) = terminal();
    let mut child = Command::new(env!("CARGO_BIN_EXE_traincheck"))
        .args(arguments)
        .current_dir(folder)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdout(Stdio::piped())
        .stderr(theirs)
        .spawn()
        .unwrap();
    let shown = thread::spawn(move || {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        // A terminal that nobody holds any more gives an error.
        while let Ok(length @ 1..) = ours.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begun = Instant::now();
    while slowly && begun.elapsed() < Duration::from_secs(8) && child.try_wait().unwrap().is_none() {
        send(libc::SIGSTOP, child.id());
        thread::sleep(Duration::from_millis(400));
        send(libc::SIGCONT, child.id());
        thread::sleep(Duration::from_millis(4));
    }
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}", output.status);
    (String::from_utf8(output.stdout).unwrap(), shown.join().unwrap())
}

#[test]
fn of_infer_check_and_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    Synthetic { events: 200_000, ..Synthetic::default() }.write(&path.join("run"), true).unwrap();
    for arguments in [
        &["infer", "run", "-o", "i.json", "--threads", "1"][..],
        &["check", "run", "-i", "i.json", "--threads", "1"],
        &["inspect", "run"],
    ] {
        let (stdout, shown) = on_a_terminal(path, arguments, true);
        assert!(shown.contains("reading [") && shown.contains(" of "), "{arguments:?}: {shown:?}");
        assert!(shown.contains("\u{1b}[2K") || shown.ends_with('\r'), "it is not taken away: {shown:?}");
        assert!(!stdout.contains("reading [") && !stdout.contains('\u{1b}'), "{stdout:?}");

        // Without a terminal there is none, whatever it takes.
        let plain = Command::new(env!("CARGO_BIN_EXE_traincheck"))
            .args(arguments)
            .current_dir(path)
            .output()
            .unwrap();
        assert!(!String::from_utf8_lossy(&plain.stderr).contains("reading"), "{plain:?}");
        assert_eq!(String::from_utf8(plain.stdout).unwrap(), stdout, "{arguments:?}");
    }
}

#[test]
fn none_of_what_is_soon_done() {
    let folder = tempfile::tempdir().unwrap();
    Synthetic { events: 10, ..Synthetic::default() }.write(&folder.path().join("run"), true).unwrap();
    // On a machine that does much else it may once take longer than the second after which there is a bar.
    for _ in 0..20 {
        let begun = Instant::now();
        let (_, shown) = on_a_terminal(folder.path(), &["inspect", "run"], false);
        if begun.elapsed() < Duration::from_secs(1) {
            assert!(!shown.contains("reading"), "{shown:?}");
            return;
        }
    }
    left_out_by_this_machine("no bar for what is soon done", "nothing is soon done on this machine");
}
