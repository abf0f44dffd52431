//! The switch of the hook that sees Python calls, whichever way it sees them.

use super::capture::{code, generators};
use super::{monitoring, pep523};
use crate::interpreter::api::{Object, Python};
use crate::interpreter::frame;
use crate::sink;
use crate::training::calls;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls [`crate::boot::body_left`] when the frame that is about to run `code` has been left.
///
/// # Errors
/// Says why calls cannot be seen in this interpreter.
///
/// # Safety
/// A live code object; the GIL of the main interpreter is held and no exception is set.
pub unsafe fn await_body(python: &'static Python, code: Object) -> Result<(), String> {
    // SAFETY: the caller's word.
    unsafe {
        if has_monitoring(python) {
            monitoring::await_body(python, code)
        } else {
            pep523::await_body(python, code)
        }
    }
}

/// Puts the hook in. Gives the name of what it uses.
///
/// # Errors
/// Says why it cannot.
///
/// # Safety
/// The GIL is held; `code::Codes` and `names` are installed; the layout of frames and code objects is proven.
pub unsafe fn install(python: &Python) -> Result<&'static str, String> {
    if code::extra() < 0 {
        return Err("no slot for extra data of code objects".to_owned());
    }
    if !frame::generators_are_proven() {
        let why = "generators are not laid out as expected: each time one is resumed is a call of its own";
        sink::note_hook_off("suspended calls", why);
    }
    // SAFETY: the caller's word.
    unsafe {
        if has_monitoring(python) {
            monitoring::install(python)?;
            Ok("sys.monitoring")
        } else {
            pep523::install(python)?;
            Ok("PEP 523, CPython's frame evaluator")
        }
    }
}

/// Takes the hook out, so that nothing of its cost remains.
///
/// # Safety
/// The GIL is held.
pub unsafe fn remove(python: &Python) {
    // SAFETY: the caller's word.
    unsafe {
        if has_monitoring(python) {
            monitoring::remove(python);
        } else {
            pep523::remove(python);
        }
    }
}

/// Has no call seen for a while. What is open is cut; the ends of calls that are on the stack are still told of.
///
/// # Safety
/// The GIL is held.
pub unsafe fn pause(python: &Python) {
    // SAFETY: the caller's word.
    unsafe {
        // Whether they go on or end meanwhile will not be seen.
        generators::forget_all();
        if has_monitoring(python) {
            monitoring::pause();
        } else {
            pep523::remove(python);
        }
    }
}

/// Ends a [`pause`]. False: something else is in the hook's place.
///
/// # Safety
/// The GIL is held.
pub unsafe fn resume(python: &Python) -> bool {
    // SAFETY: the caller's word.
    unsafe { if has_monitoring(python) { monitoring::resume() } else { pep523::resume(python) } }
}

/// Takes the hook out in a forked child: a few stores into its own memory, whoever held the GIL at the fork. There
/// is no other thread.
pub fn leave_child() {
    if let Some(python) = Python::loaded() {
        if has_monitoring(python) {
            monitoring::leave_child();
        } else {
            // SAFETY: no other thread exists in the child, so nothing else touches the interpreter's evaluator.
            unsafe { pep523::remove(python) };
        }
    }
}

/// From 3.12 on; before, the frame evaluator is all there is.
fn has_monitoring(python: &Python) -> bool {
    python.minor_version() >= 12
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
            calls::current().busy.set(false);
            sink::note_hook_off("python calls", "an internal error");
            None
        }
    }
}
