//! Ctrl-C under `traincheck run` is the job's: it comes to it once, what was recorded until then is checked, and the exit code is
//! the job's. When the job has ended it is traincheck's again.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;
use std::thread;
use std::time::Duration;

use traincheck_tests::{finish, folder, python, script, spawn, traincheck};

/// A terminal: the side that is typed at and read, and the one that programs have.
fn terminal() -> (File, File) {
    let (mut outer, mut inner) = (0, 0);
    // SAFETY: both places are ours; what is not wanted is null.
    let opened = unsafe {
        libc::openpty(&raw mut outer, &raw mut inner, ptr::null_mut(), ptr::null_mut(), ptr::null_mut())
    };
    assert_eq!(opened, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: openpty has opened both, and nobody else has them.
    unsafe { (File::from_raw_fd(outer), File::from_raw_fd(inner)) }
}

/// Runs the command in a terminal of its own and types Ctrl-C when it says that it is ready. How it ends, and all it printed.
fn interrupted(command: &mut Command) -> (ExitStatus, String) {
    let (mut outer, inner) = terminal();
    let input = inner.as_raw_fd();
    command
        .stdin(inner.try_clone().unwrap())
        .stdout(inner.try_clone().unwrap())
        .stderr(inner.try_clone().unwrap());
    // SAFETY: all calls may be made between fork and exec. A session of its own gets this terminal.
    unsafe {
        command.pre_exec(move || {
            libc::setsid();
            libc::ioctl(input, libc::TIOCSCTTY, 0);
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = command.spawn().unwrap();
    drop(inner);
    // The command has copies of the other side.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut page = Vec::new();
    let mut buffer = [0; 4096];
    let mut is_typed = false;
    // When nobody has the other side any more, reading fails.
    while let Ok(length @ 1..) = outer.read(&mut buffer) {
        page.extend_from_slice(&buffer[..length]);
        if !is_typed && String::from_utf8_lossy(&page).contains("ready") {
            outer.write_all(&[3]).unwrap();
            is_typed = true;
        }
    }
    (child.wait().unwrap(), String::from_utf8_lossy(&page).into_owned())
}

#[test]
fn the_job_gets_it_once_and_its_exit_code_counts() {
    for (arguments, code, says, ended) in [
        (&[][..], 7, "interrupted 1 times", "ended with exit code 7"),
        (&["unhandled"], 128 + libc::SIGINT, "KeyboardInterrupt", "was ended by signal 2 (SIGINT)"),
    ] {
        let temporary = folder();
        let mut command = traincheck();
        command.arg("run").arg("-o").arg(temporary.path().join("run")).arg("--").arg(python());
        let (status, page) = interrupted(command.arg(script("interrupted.py")).args(arguments));
        assert_eq!(status.code(), Some(code), "{page}");
        let concluded = format!("The command {ended}. Verdict: clean.");
        assert!(page.contains(says) && page.contains(&concluded), "{page}");
        // And so it is when the run is checked again.
        let mut command = traincheck();
        command.arg("check").arg(temporary.path().join("run"));
        let checked = finish(&mut command).exited(0).stdout;
        assert!(checked.ends_with(&format!("{concluded}\n")), "{checked}");
        let json = finish(command.args(["--format", "json"])).exited(0).stdout;
        let exits = format!("\"exit_code\": {}", if code == 7 { "7" } else { "null" });
        assert!(json.contains(&exits), "{json}");
    }
}

#[test]
fn when_the_job_has_ended_it_ends_the_check() {
    let temporary = folder();
    let mut command = traincheck();
    command.arg("run").arg("-o").arg(temporary.path().join("run")).arg("--").arg(python());
    let mut child = spawn(command.arg(script("interrupted.py")));
    let interrupt = |id: u32| {
        // SAFETY: the child was not waited for, so its id is still its own.
        unsafe { libc::kill(id as libc::pid_t, libc::SIGINT) };
    };
    // Nobody reads the report, and there is no room for it: it is being written for as long as we like.
    let stdout = child.stdout.as_ref().unwrap();
    let id = child.id();
    // SAFETY: the descriptor is open, and the number is one that the system rounds up.
    let room = unsafe { libc::fcntl(stdout.as_raw_fd(), libc::F_SETPIPE_SZ, 1) };
    assert!(room > 0);
    fill(id, room as usize);
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line == "ready" {
            interrupt(id);
        }
        if line.starts_with("traincheck: recorded in") {
            break;
        }
    }
    interrupt(id);
    let ended = (0..600).find_map(|_| {
        thread::sleep(Duration::from_millis(100));
        child.try_wait().unwrap()
    });
    let _ = child.kill();
    assert_eq!(ended.and_then(|status| status.signal()), Some(libc::SIGINT));
}

/// Fills the pipe that a process has as its stdout.
fn fill(id: u32, room: usize) {
    File::options()
        .write(true)
        .open(format!("/proc/{id}/fd/1"))
        .unwrap()
        .write_all(&vec![b'.'; room])
        .unwrap();
}
