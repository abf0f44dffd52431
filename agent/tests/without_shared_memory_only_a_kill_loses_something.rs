//! A system that gives no shared memory: everything is recorded, and of a kill up to a second is lost, which is said.

mod common;

use common::{event, info, inner, is_inner, read, run_inner, wait_for};
use std::process::Stdio;
use std::time::Duration;
use traincheck::sink;
use traincheck_schema::run::{Run, Torn};

/// In the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn shmget(_key: i32, _size: usize, _flags: i32) -> i32 {
    // SAFETY: `errno` of this thread is always there.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}

#[test]
fn a_run_that_ends_is_whole() {
    if is_inner() {
        assert!(sink::start(info()));
        (0..10_000).for_each(|i| sink::emit(&event(i)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("a_run_that_ends_is_whole", folder.path());
    let found = read(folder.path());
    assert_eq!((found.count(), found.dropped), (10_000, vec![]));
    assert_eq!(found.ending.unwrap().reason, "exit");
    assert_eq!(common::files(folder.path()).iter().filter(|name| name.ends_with(".ring")).count(), 0);
}

#[test]
fn a_run_that_is_killed_is_torn_and_says_what_is_not_there() {
    const NAME: &str = "a_run_that_is_killed_is_torn_and_says_what_is_not_there";
    if is_inner() {
        assert!(sink::start(info()));
        (0..10_000).for_each(|i| sink::emit(&event(i)));
        std::thread::sleep(Duration::from_millis(1_500));
        // Not in the segment when the end comes.
        (0..100).for_each(|i| sink::emit(&event(i)));
        println!("emitted");
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = inner(NAME, folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, "emitted");
    child.kill().unwrap();
    child.wait().unwrap();
    let found = read(folder.path());
    assert!((10_000..10_100).contains(&found.count()), "{}", found.count());
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    while let Some(batch) = reader.next_batch() {
        batch.unwrap();
    }
    assert_eq!(reader.torn().unwrap(), &Torn { rings_elsewhere: 2, ..Torn::default() });
}
