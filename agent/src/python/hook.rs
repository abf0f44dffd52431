//! The switch of the hook that sees Python calls, whichever way it sees them.

use super::api::Python;
use super::{code, pep523};
use crate::{calls, sink};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Puts the hook in.
///
/// # Safety
/// The GIL is held; `code::Codes` and `names` are installed; the layout of frames and code objects is proven.
pub unsafe fn install(python: &Python) -> Result<(), String> {
    if code::extra() < 0 {
        return Err("no slot for extra data of code objects".to_owned());
    }
    // SAFETY: the caller's word.
    unsafe { pep523::install(python) }
}

/// Takes the hook out, so that nothing of its cost remains.
///
/// # Safety
/// The GIL is held, or no other thread exists (a fork's child).
pub unsafe fn remove(python: &Python) {
    // SAFETY: the caller's word.
    unsafe { pep523::remove(python) }
}

/// Takes the hook out in a forked child: a few stores into its own memory, whoever held the GIL at the fork. There
/// is no other thread.
pub fn leave_child() {
    if let Some(python) = Python::loaded() {
        // SAFETY: no other thread exists in the child, so nothing else touches the interpreter's evaluator.
        unsafe { remove(python) };
    }
}

/// Runs a step of the hook; a panic in it switches the hook off.
///
/// # Safety
/// The GIL is held.
pub unsafe fn guarded<R>(python: &Python, step: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => Some(result),
        Err(_) => {
            // SAFETY: the caller's word.
            unsafe { remove(python) };
            calls::current().busy = false;
            sink::note_hook_off("python calls", "an internal error");
            None
        }
    }
}
