//! Traces and files of invariants by a stranger: no panic, no endless work, no allocation beyond what a reader may
//! take. What fuzzers begin with and have found is replayed, and changed here and there for five seconds a target
//! (`TRAINCHECK_FUZZ_SECONDS`); the changes are the same every time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "../../schema/tests/common/replay.rs"]
mod replay;
#[path = "../fuzz/src/targets.rs"]
mod targets;

/// The system's allocator, and the largest amount that it was asked for.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller guarantees what `alloc` needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller guarantees what `dealloc` needs.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

/// The longest payload of a frame twice, or the table of a dictionary with the greatest id that there may be: 16 MiB.
/// That of all threads that there may be is a little larger.
const MOST_AT_ONCE: usize = 24 << 20;

fn hold(name: &str) {
    let target = targets::TARGETS.iter().find(|target| target.name == name).expect("a target");
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    replay::replay(&fuzz, name, (target.seeds)(), target.run);
    let largest = LARGEST.load(Ordering::Relaxed);
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
