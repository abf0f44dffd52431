//! Parameters can lie in memory that is not PyTorch's own: a file that is mapped, and becomes shorter while the job trains
//! on. The job never looks there again; neither may the agent but through the kernel.

use std::path::Path;

use traincheck_schema::record::{Attribute, EventKind, ValueKind};
use traincheck_tests::{
    ProcessTrace, Trace, agent, finish, folder, plain, preloaded, preloads, script, shared_library,
};

const IN_FILES: [&str; 5] = ["private", "shared", "turned", "array", "number"];

/// Trains with parameters in files, as without the agent. `beside`: a library that is preloaded, too, and a variable for
/// it.
fn train(name: &str, folder: &Path, beside: Option<(&Path, &str)>) -> ProcessTrace {
    for place in ["plain", "with"] {
        std::fs::create_dir_all(folder.join(place)).expect("a folder");
    }
    let expected = finish(plain().arg(script(name)).arg(folder.join("plain"))).exited(0);
    let run = folder.join("run");
    let mut command = preloaded(&run);
    if let Some((library, memory_file)) = beside {
        command.env("LD_PRELOAD", preloads(&[library, &agent()])).env("MEMORY_FILE", memory_file);
    }
    finish(command.arg(script(name)).arg(folder.join("with"))).assert_same(&expected);
    let process = Trace::read(&run).only();
    process.assert_whole();
    let used = process.states_of("Net.used.weight", Attribute::Data);
    assert!(used.len() >= 9 && used.iter().all(|state| state.value_kind == ValueKind::Tensor as u8));
    process
}

/// What was found at each look at a parameter's data.
fn found(process: &ProcessTrace, name: &str) -> Vec<u8> {
    let states = process.states_of(&format!("Net.{name}"), Attribute::Data);
    states.iter().map(|state| state.value_kind).collect()
}

const TENSOR: u8 = ValueKind::Tensor as u8;
const UNREADABLE: u8 = ValueKind::Unreadable as u8;

#[test]
fn when_files_of_parameters_become_shorter() {
    let temporary = folder();
    let refusing = shared_library(temporary.path(), "no_memory_calls");
    // The kernel copies in the one way or, where the process may not ask for that, in the other.
    for (number, beside) in [None, Some((refusing.as_path(), "yes"))].into_iter().enumerate() {
        let process = train("truncated.py", &temporary.path().join(number.to_string()), beside);
        for name in IN_FILES {
            let kinds = found(&process, name);
            // What they held was seen as long as it was there.
            assert!(kinds.first() == Some(&TENSOR) && kinds.last() == Some(&UNREADABLE), "{name}: {kinds:?}");
        }
    }
}

#[test]
fn when_the_system_gives_no_copy_of_it() {
    let temporary = folder();
    let refusing = shared_library(temporary.path(), "no_memory_calls");
    let process = train("truncated.py", temporary.path(), Some((&refusing, "no")));
    let mut off = process.of_kind(EventKind::HookOff).map(|event| process.name(event.name));
    let said =
        "variables in memory that is not PyTorch's: the system gives the process no copy of its own memory";
    assert_eq!((off.next(), off.next()), (Some(said), None));
    for name in IN_FILES {
        let kinds = found(&process, name);
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == UNREADABLE), "{name}: {kinds:?}");
    }
}

#[test]
fn when_there_is_no_room_for_a_copy_of_it() {
    let temporary = folder();
    let process = train("little_room.py", temporary.path(), None);
    let of = |iterations: std::ops::Range<u32>| {
        let states = process.states_of("Net.turned", Attribute::Data).into_iter();
        let states = states.filter(|state| iterations.contains(&state.iteration));
        states.map(|state| state.value_kind).collect::<Vec<_>>()
    };
    for (iterations, expected) in [(1..4, TENSOR), (4..7, UNREADABLE), (7..10, TENSOR)] {
        let kinds = of(iterations.clone());
        assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == expected), "{iterations:?}: {kinds:?}");
    }
}
