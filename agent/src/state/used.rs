//! Gradients that a step has used: whether they are looked at until the next step begins.
//!
//! Whether they are cleared in between shows in them alone: a call may clear those of another model, and a script may
//! clear them without any. So they are followed: looked at when the step begins, and whenever a backward does.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The gradients of so many first steps are followed. Where gradients are accumulated the first iterations, which are
/// sampled, have hardly a step.
const FIRST: u32 = 8;

/// Steps so far, up to [`FIRST`].
static STEPS: AtomicU32 = AtomicU32::new(0);
static FOLLOWED: AtomicBool = AtomicBool::new(false);
/// No call has cleared gradients since the last step returned.
static UNCLEARED: AtomicBool = AtomicBool::new(false);

/// A step is about to use the gradients, in an iteration that is sampled or not.
pub fn step_begins(sampled: bool) {
    let steps = STEPS.load(Ordering::Relaxed);
    if steps < FIRST {
        STEPS.store(steps + 1, Ordering::Relaxed);
    }
    FOLLOWED.store(sampled || steps < FIRST, Ordering::Relaxed);
}

/// A step has used the gradients.
pub fn step_returned() {
    UNCLEARED.store(true, Ordering::Relaxed);
}

/// A call is about to clear gradients, of whatever.
pub fn clearing() {
    UNCLEARED.store(false, Ordering::Relaxed);
}

/// Whether the gradients that the last step has used, or the open one uses, are followed.
pub fn are_followed() -> bool {
    FOLLOWED.load(Ordering::Relaxed)
}

/// Whether a step has used gradients and no call has cleared any since.
pub fn are_uncleared() -> bool {
    UNCLEARED.load(Ordering::Relaxed)
}
