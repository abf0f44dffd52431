//! Forks in mid-training, pools, shells, workers, and another program in the place of the job: all give what they would
//! without the agent, and the traces are those of the job and of its successor.

use std::path::Path;

use traincheck_tests::{
    Trace, agent, finish, folder, interpreters, plain_in, preloaded_in, preloads, python, script,
    shared_library,
};

/// `methods`: ways to start workers of a loader besides fork.
fn unharmed(python: &Path, methods: &[&str]) {
    let expected = finish(plain_in(python).arg(script("processes.py")).args(methods)).exited(0);
    let temporary = folder();
    let run = temporary.path().join("run");
    // From 3.12 on CPython would say on stderr that there are threads where the job forks.
    finish(preloaded_in(python, &run).arg(script("processes.py")).args(methods)).assert_same(&expected);

    // Both have the same process id: one has become the other.
    let trace = Trace::read(&run);
    let [job, successor] = trace.processes.as_slice() else {
        panic!("processes: {:?}", trace.processes.len())
    };
    assert_eq!(job.header.pid, successor.header.pid);
    // It had no time to seal its trace, and nothing is missing from it all the same.
    assert!(job.torn.is_some() && job.dropped.is_empty(), "{:?}", job.dropped);
    assert_eq!(job.iterations(), 8);
    successor.assert_whole();
    assert_eq!(successor.iterations(), 5);
}

#[test]
fn forks_pools_shells_and_exec() {
    for (version, python) in interpreters() {
        println!("CPython {version}");
        unharmed(&python, &[]);
    }
}

#[test]
#[ignore = "each worker imports PyTorch anew; scripts/test --quick leaves it out"]
fn workers_that_are_not_forked() {
    unharmed(&python(), &["spawn", "forkserver"]);
}

#[test]
fn children_that_are_made_by_the_system_call_alone() {
    for (version, python) in interpreters() {
        println!("CPython {version}");
        let expected = finish(plain_in(&python).arg(script("made_by_clone.py"))).exited(0);
        let temporary = folder();
        let run = temporary.path().join("run");
        finish(preloaded_in(&python, &run).arg(script("made_by_clone.py"))).assert_same(&expected);
        let job = Trace::read(&run).only();
        job.assert_whole();
        assert_eq!(job.iterations(), 8);
        assert!(!job.called("__main__.leaves_at_once"), "a child wrote into the trace of its parent");
    }
}

#[test]
fn a_forked_child_asks_for_no_memory_before_it_may() {
    let temporary = folder();
    let late = shared_library(temporary.path(), "late_allocator");
    for (version, python) in interpreters() {
        println!("CPython {version}");
        let expected = finish(plain_in(&python).arg(script("forks.py")).env("LD_PRELOAD", &late)).exited(0);
        let run = temporary.path().join(version);
        let mut command = preloaded_in(&python, &run);
        command.env("LD_PRELOAD", preloads(&[&late, &agent()]));
        finish(command.arg(script("forks.py"))).assert_same(&expected);
    }
}
