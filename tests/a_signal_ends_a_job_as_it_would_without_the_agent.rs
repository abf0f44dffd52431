//! Signals while a model runs: handled by the script, by Python, or by nobody. Output and end are those without the agent,
//! and the iterations until then are in the trace.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use traincheck_tests::{Finished, ProcessTrace, Trace, finish, folder, plain, preloaded, script};

/// Runs the script both ways; gives back how it ended, and its trace.
#[track_caller]
fn same(what: &str) -> (Finished, ProcessTrace) {
    let arguments = ["20".to_owned(), format!("{what}:10")];
    // A signal to the process goes to any thread that has not blocked it: of PyTorch's there shall be none.
    let alone = |command: &mut Command| {
        finish(command.env("OMP_NUM_THREADS", "1").arg(script("hardship.py")).args(&arguments))
    };
    let mut expected = alone(&mut plain());
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut found = alone(&mut preloaded(&run));
    for finished in [&mut expected, &mut found] {
        finished.stderr = without_addresses(&finished.stderr);
    }
    found.assert_same(&expected);
    let process = Trace::read(&run).only();
    assert!(process.dropped.is_empty(), "{what}: {:?}", process.dropped);
    let of_the_loop = process.events.iter().map(|event| event.iteration).max();
    assert!(of_the_loop >= Some(9), "{what}: {of_the_loop:?}");
    (found, process)
}

/// The handler of faults says which thread it was by an address.
fn without_addresses(text: &str) -> String {
    let is_address = |word: &&str| !word.starts_with("0x");
    text.lines().map(|line| line.split(' ').filter(is_address).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn a_fault() {
    let (finished, _) = same("fault");
    assert_eq!(finished.status.signal(), Some(libc::SIGSEGV));
    assert!(finished.stderr.contains("Segmentation fault"), "{}", finished.stderr);
}

#[test]
fn an_end_in_good_order() {
    let (finished, process) = same("terminated");
    assert_eq!(finished.status.code(), Some(143));
    process.assert_whole();
}

#[test]
fn one_that_nobody_handles() {
    let (finished, _) = same("killed_by_user_signal");
    assert_eq!(finished.status.signal(), Some(libc::SIGUSR1));
    assert!(finished.stdout.contains("waited for"), "{}", finished.stdout);
}
