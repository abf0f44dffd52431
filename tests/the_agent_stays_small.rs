//! What the agent keeps is bounded: whatever the number of threads, names, types and objects, however long the run.

use std::path::Path;

use traincheck_tests::{Finished, ProcessTrace, Trace, finish, folder, plain, preloaded, script};

/// The largest amount of disk that the rings of threads and that of the dictionary take, as documented.
const RINGS: u64 = 60 << 20;

/// Runs a script without the agent and with it; what it prints is the same.
fn both(name: &str, arguments: &[&str], run: &Path) -> (Finished, Finished) {
    let without = finish(plain().arg(script(name)).args(arguments)).exited(0);
    let with = finish(preloaded(run).arg(script(name)).args(arguments)).exited(0);
    assert!(with.stdout == without.stdout, "--- without\n{}\n--- with\n{}", without.stdout, with.stdout);
    (without, with)
}

/// The numbers in the lines of a text, line by line.
fn numbers(text: &str) -> Vec<Vec<f64>> {
    text.lines().map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect()).collect()
}

fn read(run: &Path) -> ProcessTrace {
    Trace::read(run).only()
}

#[test]
fn with_many_threads() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let (_, with) = both("many_threads.py", &[], &run);
    let [one_by_one, at_once] = &numbers(&with.stderr)[..] else { panic!("{}", with.stderr) };
    // The ring of the dictionary, that of the main thread, and those that 300 threads have passed on.
    assert!(one_by_one[0] <= 6.0, "{one_by_one:?}");
    assert!(at_once[0] > 64.0 && at_once[1] <= RINGS as f64, "{at_once:?}");

    let process = read(&run);
    let threads: std::collections::HashSet<u16> = process.events.iter().map(|event| event.thread).collect();
    assert!(threads.len() > 64 && threads.len() <= 128, "{} threads", threads.len());
    // 200 threads at once are more than can record: what they did is said to be lost.
    let lost: u64 = process.dropped.iter().map(|dropped| dropped.count).sum();
    assert!(lost > 0, "{:?}", process.dropped);
    assert!(process.ending.is_some() && process.steps() == 2);
}

#[test]
#[ignore = "20,000 classes, functions, models and optimizers: a minute; scripts/test --quick leaves it out"]
fn with_many_names() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let (without, with) = both("many_names.py", &[], &run);
    let sizes = |finished: &Finished| -> Vec<f64> { numbers(&finished.stderr).concat() };
    let (without, with) = (sizes(&without), sizes(&with));
    let [half, end] = with[..] else { panic!("{with:?}") };
    // Half of the names came after the first sample. What the program itself keeps is not the agent's.
    let own = without[1] - without[0];
    assert!(end - half - own < 16.0, "grew from {half} to {end} MiB, without the agent by {own} MiB");
    assert!(half - without[0] < 64.0, "{half} MiB, without the agent {} MiB", without[0]);
    assert!(read(&run).ending.is_some());
}

#[test]
#[ignore = "20,000 steps, twice; scripts/test --quick leaves it out"]
fn in_a_long_run() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let (without, with) = both("soak.py", &["20000"], &run);
    let (without, with) = (numbers(&without.stderr), numbers(&with.stderr));
    assert_eq!((without.len(), with.len()), (10, 10));
    // Between step 2,000 and step 20,000. The ring of the thread is passed through once before it is all resident.
    let growth = |samples: &[Vec<f64>]| samples[9][0] - samples[0][0];
    assert!(growth(&with) - growth(&without) < 8.0, "with {with:?}\nwithout {without:?}");
    // The disk grows with the steps and not faster: the second half adds as much as the first, give or take a block.
    let (first, second) = (with[4][1] - with[0][1], with[9][1] - with[5][1]);
    assert!(second < 1.2 * first + 65_536.0, "{first} bytes, then {second}");
    read(&run).assert_whole();
}
