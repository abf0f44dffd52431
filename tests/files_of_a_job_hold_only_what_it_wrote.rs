//! A job may close descriptors that are not its own, run out of them, or have been started without standard streams:
//! the agent writes to its own files or to none.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use traincheck_schema::record::Role;
use traincheck_tests::{Trace, finish, folder, plain, preloaded, script};

/// Threads, tracers and signals besides, for they share the process and cost no further one.
const HARDSHIP: [&str; 9] = [
    "20",
    "few_descriptors:6",
    "few_descriptors_end:7",
    "errors:3",
    "handler:4",
    "threads:5",
    "descriptors:10",
    "errors:12",
    "daemon:15",
];

fn run(command: &mut Command, opened: &Path) -> traincheck_tests::Finished {
    fs::create_dir(opened).unwrap();
    finish(command.env("OPENED", opened).arg(script("hardship.py")).args(HARDSHIP))
}

#[test]
fn closed_and_reused_descriptors() {
    let temporary = folder();
    let opened = temporary.path().join("plain");
    let expected = run(&mut plain(), &opened).exited(0);

    let (opened, folder) = (temporary.path().join("recorded"), temporary.path().join("run"));
    run(&mut preloaded(&folder), &opened).assert_same(&expected);
    assert_eq!(fs::read(opened.join("first")).unwrap(), b"mine", "the agent wrote into a file of the job");
    // The segment was opened again, and has the iterations before and after.
    let process = Trace::read(&folder).only();
    assert!(process.ending.is_some(), "not sealed: {:?}", process.torn);
    // Two threads train beside the script; the caught errors are backwards, too.
    let backwards = process.entered(Role::Backward).count();
    assert!(backwards >= 20 + 2 * 30, "{backwards}");
}

#[test]
fn no_standard_streams() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    command.arg(script("hardship.py")).arg("20");
    // SAFETY: only `close` is called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            (0..3).for_each(|stream| {
                libc::close(stream);
            });
            Ok(())
        });
    }
    let finished = finish(&mut command).exited(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", ""));
    let process = Trace::read(&run).only();
    process.assert_whole();
    assert_eq!(process.iterations(), 20);
}
