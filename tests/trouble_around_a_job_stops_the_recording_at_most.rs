//! No room, no folder, no descriptors, no threads, hardly any memory: the job prints, and ends, as it does without the
//! agent, and what was recorded until then can be read.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use traincheck_schema::record::EventKind;
use traincheck_tests::{
    Finished, Trace, agent, finish, folder, left_out, left_out_by_this_machine, plain, preloaded, preloads,
    python, script, shared_library, traincheck,
};

const ITERATIONS: [&str; 1] = ["400"];

/// Runs `command` with these things happening, which print nothing.
fn train(command: &mut Command, happens: &[&str]) -> Finished {
    finish(command.arg(script("hardship.py")).args(ITERATIONS).args(happens))
}

#[test]
fn of_every_kind() {
    let expected = train(&mut plain(), &[]).exited(0);
    let temporary = folder();
    let at = |name: &str| temporary.path().join(name);

    // A file is in the place of the folder, and the job has neither a home nor a place for temporary files.
    fs::write(at("file"), "").unwrap();
    let run = at("file/run");
    let mut command = preloaded(&run);
    train(command.env_remove("HOME").env("TMPDIR", at("missing")), &[]).assert_same(&expected);
    assert_eq!(fs::read(at("file")).unwrap(), b"");

    // The folder goes.
    let run = at("removed");
    train(&mut preloaded(&run), &["removed_folder:200"]).assert_same(&expected);
    assert!(!run.exists(), "it was made again");

    // No descriptor is left when the recording is to begin.
    let run = at("descriptors");
    train(&mut preloaded(&run), &["few_descriptors", "few_descriptors_end:200"]).assert_same(&expected);

    // No thread for the writer: the run says so and is closed with what there was.
    let run = at("threads");
    let mut command = preloaded(&run);
    command.env("LD_PRELOAD", preloads(&[&shared_library(temporary.path(), "no_thread"), &agent()]));
    train(&mut command, &[]).assert_same(&expected);
    let process = Trace::read(&run).only();
    let ending = process.ending.expect("a sealed trace");
    assert!(
        ending.stopped().is_some_and(|why| why.contains("no thread for the writer")),
        "{}",
        ending.reason
    );

    // Less address space than the agent would like to have; and some, of which the job then leaves nothing for a while.
    for (spare, happens) in [("6", "little_memory"), ("30", "no_memory:200")] {
        let run = at(&format!("memory-{spare}"));
        let mut command = preloaded(&run);
        train(command.env("SPARE_MIB", spare), &[happens]).assert_same(&expected);
    }
}

#[test]
fn a_full_disk() {
    // Not even the beginning of a trace fits; it does, and little more.
    let expected = train(&mut plain(), &[]).exited(0);
    for (size, starts) in [("8k", false), ("96k", true)] {
        let Some(disk) = Disk::mount(size, 0) else { return };
        let run = disk.0.path().join("run");
        let mut command = preloaded(&run);
        train(command.env("TRAINCHECK_PROFILE", "full"), &[]).assert_same(&expected);
        if starts {
            let process = Trace::read(&run).only();
            let ending = process.ending.expect("a footer, for which room was kept");
            let stopped = ending.stopped();
            assert!(stopped.is_some_and(|why| why.contains("No space left")), "{}", ending.reason);
            assert!(process.events.iter().any(|event| event.iteration > 0));

            fs::remove_dir_all(&run).unwrap();
            let mut command = traincheck();
            command.args(["collect", "--profile", "full", "-o"]).arg(&run).arg("--").arg(python());
            let collected = train(&mut command, &[]).exited(0);
            assert_eq!(collected.stdout, expected.stdout);
            for said in ["recorded in", "was stopped while the job went on: ", "No space left"] {
                assert!(collected.stderr.contains(said), "{}", collected.stderr);
            }
        }
    }
}

#[test]
fn a_disk_that_may_only_be_read() {
    let expected = train(&mut plain(), &[]).exited(0);
    let Some(disk) = Disk::mount("64m", libc::MS_RDONLY) else { return };
    let run = disk.0.path().join("run");
    train(&mut preloaded(&run), &[]).assert_same(&expected);
    assert!(!run.exists());
    // The folder was there before.
    fs::create_dir(&run).expect_err("the disk can be written");
    train(&mut preloaded(disk.0.path()), &[]).assert_same(&expected);
}

#[test]
fn another_allocator_beside_it() {
    let jemalloc = Path::new("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
    if !jemalloc.exists() {
        return left_out("another allocator", "the Debian package libjemalloc2 is not installed");
    }
    let expected = train(plain().env("LD_PRELOAD", jemalloc), &["threads:5"]).exited(0);
    let temporary = folder();
    for (name, order) in [("before", [jemalloc, &agent()]), ("after", [&agent(), jemalloc])] {
        let run = temporary.path().join(name);
        let mut command = preloaded(&run);
        command.env("LD_PRELOAD", preloads(&order));
        train(&mut command, &["threads:5"]).assert_same(&expected);
        Trace::read(&run).only().assert_whole();
    }
}

#[test]
fn a_clock_that_is_set() {
    let temporary = folder();
    let stepping = shared_library(temporary.path(), "stepping_clock");
    let expected = train(plain().env("LD_PRELOAD", &stepping), &["clock_steps:200"]).exited(0);
    assert!(expected.stdout.contains("set back: True"), "{}", expected.stdout);
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    command.env("LD_PRELOAD", preloads(&[&stepping, &agent()]));
    train(&mut command, &["clock_steps:200"]).assert_same(&expected);
    let process = Trace::read(&run).only();
    process.assert_whole();
    let times: Vec<u64> = process.of_kind(EventKind::Iteration).map(|event| event.time).collect();
    assert_eq!(times.len(), 400);
    let minute = 60_000_000_000;
    assert!(times.is_sorted() && times[399] - times[0] < 5 * minute, "{} to {}", times[0], times[399]);
}

/// A small file system of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this user may not mount one.
    fn mount(size: &str, flags: libc::c_ulong) -> Option<Disk> {
        let folder = folder();
        let (target, options) = (path(folder.path()), CString::new(format!("size={size}")).unwrap());
        // SAFETY: the strings are C strings that outlive the call.
        let mounted = unsafe {
            let (name, kind) = (c"traincheck".as_ptr(), c"tmpfs".as_ptr());
            libc::mount(name, target.as_ptr(), kind, flags, options.as_ptr().cast())
        };
        if mounted != 0 {
            let why = std::io::Error::last_os_error();
            let why = format!("this user cannot mount a file system: {why}");
            left_out_by_this_machine("disks that are full or read-only", &why);
            return None;
        }
        Some(Disk(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // SAFETY: the string is a C string that outlives the call.
        unsafe { libc::umount2(path(self.0.path()).as_ptr(), libc::MNT_DETACH) };
    }
}

fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}
