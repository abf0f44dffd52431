//! Exceptions, exits and signals come out of a recorded script as they do without the agent, and what it did before is
//! there to be read.

use std::os::unix::process::ExitStatusExt;

use traincheck_tests::{Trace, finish, folder, plain, preloaded, script};

/// Runs the script both ways; returns whether its trace was sealed.
#[track_caller]
fn fails_the_same(how: &str) -> bool {
    let expected = finish(plain().arg(script("failing.py")).arg(how));
    assert!(!expected.status.success(), "{how} must fail");
    let temporary = folder();
    let run = temporary.path().join("run");
    let found = finish(preloaded(&run).arg(script("failing.py")).arg(how));
    assert_eq!(found.status.code(), expected.status.code(), "{how}: {}", found.stderr);
    assert_eq!(found.status.signal(), expected.status.signal(), "{how}: {}", found.stderr);
    assert_eq!(found.stdout, expected.stdout, "{how}");
    assert_eq!(found.stderr, expected.stderr, "{how}");

    let process = Trace::read(&run).only();
    assert!(process.dropped.is_empty(), "{how}: {:?}", process.dropped);
    assert_eq!((process.iterations(), process.steps()), (6, 5), "{how}");
    process.ending.is_some()
}

#[test]
fn exceptions_and_exits() {
    // After an interrupt Python puts its house in order and then kills itself: the trace is sealed in between.
    for how in ["raise", "exit", "recursion", "shape", "interrupt"] {
        assert!(fails_the_same(how), "{how}: not sealed");
    }
}

#[test]
fn deaths() {
    for how in ["os._exit", "abort", "terminate"] {
        fails_the_same(how);
    }
}
