//! Whether this process is a forked child of one that the agent is awake in.

use std::sync::atomic::{AtomicBool, Ordering};

static FORKED: AtomicBool = AtomicBool::new(false);

/// This process was forked from one that the agent was awake in. Nothing is recorded here, and nothing that the
/// parent shares with it is touched.
#[inline]
pub fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// This process is such a child: only a store, for it comes from between `fork` and its return.
pub fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}
