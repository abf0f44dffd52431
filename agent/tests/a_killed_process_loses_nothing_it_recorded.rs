//! Kills at any moment, ends without farewell, and a writer that does not answer.

mod common;

use common::{event, files, info, inner, is_inner, read, wait_for};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use traincheck::sink;
use traincheck_schema::record::{DictEntry, DictKind, Event};

#[test]
fn all_that_was_emitted_is_found_after_a_kill() {
    const NAME: &str = "all_that_was_emitted_is_found_after_a_kill";
    if is_inner() {
        let count: u64 = std::env::var("COUNT").unwrap().parse().unwrap();
        assert!(sink::start(info()));
        let emit = |thread: u64| {
            for sequence in 0..count {
                if sequence % 500 == 0 && count > 1_000 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let text = format!("name {thread} {sequence}");
                let kind = DictKind::Text as u8;
                let name = if sequence % 100 == 0 {
                    sink::define(DictEntry { kind, text, ..DictEntry::default() })
                } else {
                    0
                };
                sink::emit(&Event { name, parent: thread, ..event(sequence) });
            }
        };
        // Both are there at once: a thread that has ended would leave its number to the other.
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                emit(1);
                both.wait();
            });
            emit(0);
            both.wait();
        });
        println!("emitted");
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    // Few stay in the rings, many are for the most part in the segment, and the moment varies.
    for (count, delay) in [(1, 0), (100, 0), (40_000, 0), (40_000, 40), (40_000, 300), (3_000, 1_200)] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = inner(NAME, folder.path())
            .env("COUNT", count.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&mut child, "emitted");
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_eq!(segments_of(child.id()), 3, "two threads and the dictionary");

        let found = read(folder.path());
        // Who reads it fetches what was in memory.
        assert_eq!(segments_of(child.id()), 0);
        assert_eq!(read(folder.path()).events, found.events);
        assert_eq!(found.ending, None);
        assert_eq!(found.dropped, []);
        assert_eq!(found.events.len(), 2);
        for events in found.events.values() {
            let sequences: Vec<u64> = events.iter().map(|event| event.value).collect();
            assert_eq!(sequences, (0..count).collect::<Vec<_>>(), "{count} events, {delay} ms");
            for event in events.iter().filter(|event| event.value % 100 == 0) {
                assert_eq!(found.names[&event.name], format!("name {} {}", event.parent, event.value));
            }
        }
    }
}

#[test]
fn an_end_without_farewell_leaves_a_run_that_can_be_read() {
    const NAME: &str = "an_end_without_farewell_leaves_a_run_that_can_be_read";
    if is_inner() {
        assert!(sink::start(info()));
        (0..100).for_each(|i| sink::emit(&event(i)));
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    let folder = tempfile::tempdir().unwrap();
    common::run_inner(NAME, folder.path());
    let found = read(folder.path());
    assert_eq!((found.count(), found.ending), (100, None));
}

#[test]
fn the_end_of_the_process_does_not_wait_for_a_writer_that_hangs() {
    const NAME: &str = "the_end_of_the_process_does_not_wait_for_a_writer_that_hangs";
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(0));
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = inner(NAME, folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, "ready");
    let writer = thread_named(child.id(), "traincheck");
    // SAFETY: plain calls; the thread is one of a child of ours.
    unsafe {
        let none = std::ptr::null_mut::<libc::c_void>();
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, writer, none, none), 0, "cannot stop the writer");
        assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, writer, none, none), 0);
        assert_eq!(libc::waitpid(writer, std::ptr::null_mut(), libc::__WALL), writer);
    }
    drop(child.stdin.take());
    // A thread that is traced has to be waited for before its process.
    // SAFETY: a plain call.
    unsafe { libc::waitpid(writer, std::ptr::null_mut(), libc::__WALL) };
    assert!(child.wait().unwrap().success());
    // It has ended, though the writer never went on: had it, the trace would be sealed.
    let found = read(folder.path());
    assert_eq!((found.count(), found.ending), (1, None));
    assert!(files(folder.path()).iter().any(|name| name.ends_with(".ring")));
}

/// Nothing takes this long but what hangs.
const HANGS: Duration = Duration::from_secs(300);

/// How many segments of shared memory the process with this number has left.
fn segments_of(pid: u32) -> usize {
    let all = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let of_process = |line: &&str| line.split_ascii_whitespace().nth(4) == Some(&pid.to_string());
    all.lines().filter(of_process).count()
}

/// The id of the thread of process `pid` with this name, which it may be about to get.
fn thread_named(pid: u32, name: &str) -> libc::pid_t {
    let begun = Instant::now();
    while begun.elapsed() < HANGS {
        for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
            if std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
                return thread.file_name().to_str().unwrap().parse().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("process {pid} has no thread {name}");
}
