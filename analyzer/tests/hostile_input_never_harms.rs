//! Traces, sketches and files of invariants by a stranger: no panic, no endless work, no allocation beyond what a reader may
//! take. What fuzzers begin with and have found is replayed, and changed here and there for five seconds a target
//! (`TRAINCHECK_FUZZ_SECONDS`); the changes are the same every time.

use std::path::Path;

#[path = "../../schema/tests/common/replay.rs"]
mod replay;
#[path = "../fuzz/src/targets.rs"]
mod targets;
#[path = "../../schema/tests/common/watched.rs"]
mod watched;

/// The longest payload of a frame twice, or the table of a dictionary with the greatest id that there may be: 16 MiB.
/// That of all threads that there may be is a little larger.
const MOST_AT_ONCE: usize = 24 << 20;

fn hold(name: &str) {
    let target = targets::TARGETS.iter().find(|target| target.name == name).expect("a target");
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    replay::replay(&fuzz, name, (target.seeds)(), target.run);
    let largest = watched::largest();
    assert!(largest <= MOST_AT_ONCE, "{largest} bytes were allocated at once");
}

#[test]
fn segments() {
    hold("segment");
}

#[test]
fn records_in_any_order() {
    hold("records");
}

#[test]
fn invariants() {
    hold("invariants");
}

#[test]
fn sketches() {
    hold("sketch");
}
