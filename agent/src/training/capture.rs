//! What the meaning of calls asks of the hooks, which are above it: set once, when the agent arms itself.

use crate::interpreter::api::Python;
use std::sync::OnceLock;

/// The hooks, all together.
pub trait Capture: Sync {
    /// Has nothing seen for a while. What is open is cut; the ends of calls that are on the stack are still told of.
    ///
    /// # Safety
    /// The GIL is held.
    unsafe fn suspend(&self, python: &Python);

    /// Ends that. False: something else is in the place of a hook.
    ///
    /// # Safety
    /// The GIL is held.
    unsafe fn resume(&self, python: &Python) -> bool;

    /// Records every op from here on, or only user scopes. In the full profile it is always every op.
    fn record_all_ops(&self, on: bool);

    /// Whether ops are recorded at all.
    fn records_ops(&self) -> bool;

    /// libtorch has announced the step of an optimizer, on any thread, with or without the GIL.
    fn step_begins(&self);

    /// The first iteration has begun: what is only of interest before it need not be seen any more.
    fn init_has_ended(&self);
}

static CAPTURE: OnceLock<&'static dyn Capture> = OnceLock::new();

/// From here on it is `hooks` that are asked.
pub fn is_by(hooks: &'static dyn Capture) {
    let _ = CAPTURE.set(hooks);
}

/// See [`Capture::suspend`].
///
/// # Safety
/// The GIL is held.
pub unsafe fn suspend(python: &Python) {
    if let Some(capture) = CAPTURE.get() {
        // SAFETY: the caller's word.
        unsafe { capture.suspend(python) };
    }
}

/// See [`Capture::resume`].
///
/// # Safety
/// The GIL is held.
pub unsafe fn resume(python: &Python) -> bool {
    // SAFETY: the caller's word.
    CAPTURE.get().is_some_and(|capture| unsafe { capture.resume(python) })
}

/// See [`Capture::record_all_ops`].
pub fn record_all_ops(on: bool) {
    if let Some(capture) = CAPTURE.get() {
        capture.record_all_ops(on);
    }
}

/// See [`Capture::records_ops`].
pub fn records_ops() -> bool {
    CAPTURE.get().is_some_and(|capture| capture.records_ops())
}

/// See [`Capture::step_begins`].
pub fn step_begins() {
    if let Some(capture) = CAPTURE.get() {
        capture.step_begins();
    }
}

/// See [`Capture::init_has_ended`].
pub fn init_has_ended() {
    if let Some(capture) = CAPTURE.get() {
        capture.init_has_ended();
    }
}
