//! A job that exits while daemon threads of its own are inside recorded functions, generators and finalizers, where CPython
//! ends them: it exits in time, in the same way and with the same output as without the agent, and its trace is sealed.

use traincheck_tests::{Trace, finish, folder, interpreters, plain_in, preloaded_in, script};

#[test]
fn in_every_interpreter() {
    for (version, python) in interpreters() {
        let arguments = ["0.1"];
        let expected = finish(plain_in(&python).arg(script("daemons.py")).args(arguments)).exited(0);
        let temporary = folder();
        let run = temporary.path().join("run");
        let found = finish(preloaded_in(&python, &run).arg(script("daemons.py")).args(arguments)).exited(0);
        // On stderr a library lists what leaked, in an order of its own.
        assert_eq!(found.stdout, expected.stdout, "{version}");
        let process = Trace::read(&run).only();
        assert!(process.ending.is_some(), "{version}: {:?}", process.torn);
        assert!(process.called("__main__.run") && process.called("__main__.Sleeps.forward"), "{version}");
    }
}
