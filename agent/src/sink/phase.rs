//! Whether records are kept, written or thrown away: one word, which every way in looks at first.

use super::account;
use crate::base::fork::NOT_INHERITED;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// They go nowhere, and never will again. So it is in every child, and before [`boot`].
pub const OFF: u8 = 0;
/// Records are kept in memory.
pub const WAITING: u8 = 1;
/// They go to the rings.
pub const RECORDING: u8 = 2;

/// The word.
pub static PHASE: &AtomicU8 = &NOT_INHERITED.phase;

/// The run was sealed: the process is ending.
static SEALED: AtomicBool = AtomicBool::new(false);

/// From here on records are kept.
pub fn boot() {
    PHASE.store(WAITING, Ordering::Relaxed);
}

/// The run was started and records are taken.
#[inline]
pub fn is_started() -> bool {
    PHASE.load(Ordering::Relaxed) == RECORDING
}

/// Nothing is recorded any more in this process, and never will be: it is a forked child, the run is sealed, or
/// it could not be written.
#[inline]
pub fn is_inert() -> bool {
    PHASE.load(Ordering::Relaxed) == OFF
}

/// The process goes on, and nothing of it is recorded any more: it is a forked child, or the capture was stopped. Not so
/// at its end, where whatever called back may be gone.
#[inline]
pub fn goes_on_unrecorded() -> bool {
    PHASE.load(Ordering::Acquire) == OFF && !SEALED.load(Ordering::Relaxed)
}

/// The run is being sealed.
pub fn seal() {
    SEALED.store(true, Ordering::Relaxed);
    PHASE.store(OFF, Ordering::Release);
}

/// The process has no memory left: nothing is recorded any more, and the writer ends the run at its next look. Only a
/// store, for it comes from the allocator.
pub fn memory_is_short() {
    PHASE.store(OFF, Ordering::Release);
}

/// Stops the capture for good.
pub fn stop(why: String) {
    account::trouble(why);
    PHASE.store(OFF, Ordering::Release);
}
