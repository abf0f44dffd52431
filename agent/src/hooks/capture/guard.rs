//! The steps of the hook that sees Python calls: a panic in one switches it off.

use crate::hooks::hook::Hook;
use crate::hooks::source::Source;
use crate::interpreter::api::Python;
use crate::training::calls;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// The hook that sees calls in this process.
static SEEN_BY: OnceLock<&'static dyn Source> = OnceLock::new();

/// From here on calls are seen by `source`.
pub fn seen_by(source: &'static dyn Source) {
    let _ = SEEN_BY.set(source);
}

/// Has no call seen any more.
///
/// # Safety
/// The GIL is held.
pub unsafe fn stop(python: &Python) {
    if let Some(source) = SEEN_BY.get() {
        // SAFETY: the caller's word.
        unsafe { source.remove(python) };
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
            unsafe { stop(python) };
            calls::current().busy.set(false);
            Hook::PythonCalls.is_off("an internal error");
            None
        }
    }
}
