//! The steps of the hook that sees Python calls: a panic in one switches it off.

use crate::hooks::hook::Hook;
use crate::interpreter::api::Python;
use crate::interpreter::collector::NoCollection;
use crate::training::{calls, capture};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// What takes out the hook that sees calls in this process.
static REMOVED_BY: OnceLock<unsafe fn(&Python)> = OnceLock::new();

/// From here on calls are seen by what `remove` takes out, which is called with the GIL held.
pub fn removed_by(remove: unsafe fn(&Python)) {
    let _ = REMOVED_BY.set(remove);
}

/// Has no call seen any more.
///
/// # Safety
/// The GIL is held.
pub unsafe fn stop(python: &Python) {
    if let Some(remove) = REMOVED_BY.get() {
        // SAFETY: the caller's word.
        unsafe { remove(python) };
    }
}

/// Says that no call is seen any more, and why. Ops are those of iterations, which nobody tells apart from here on.
pub fn lost(why: &str) {
    Hook::PythonCalls.is_lost(why);
    capture::record_all_ops(false);
}

/// Runs a step of the hook; a panic in it switches the hook off.
///
/// In a step no Python code runs: no garbage is collected, and references of the agent's to objects of the script are given
/// back when it is over. So it is not come back to from inside, the GIL stays where it is, and the unwinding by which
/// CPython ends threads at the end of the process, which `catch_unwind` would not let pass, begins in none.
///
/// # Safety
/// The GIL is held.
pub unsafe fn guarded<R>(python: &Python, step: impl FnOnce() -> R) -> Option<R> {
    let result = {
        // SAFETY: the caller's word.
        let _no_collection = unsafe { NoCollection::begin(python) };
        catch_unwind(AssertUnwindSafe(step))
    };
    let calls = calls::current();
    if result.is_err() {
        // SAFETY: the caller's word.
        unsafe { stop(python) };
        calls.busy.set(false);
        lost("an internal error");
    }
    while let Some(object) = calls.take_given_back() {
        // SAFETY: the caller's word; the reference was taken in a step, and is noted here once.
        unsafe { (python.dec_ref)(object) };
    }
    result.ok()
}
