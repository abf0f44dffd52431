//! Calls that go by unseen: the trace says from where to where, so that no verdict rests on their absence.

use super::calls::Calls;
use super::iterations;
use crate::sink;
use traincheck_schema::record::{Event, EventKind, pause};

/// A call is about to run that is nested too deep to be recorded.
#[cold]
pub fn nested_too_deep(calls: &Calls) {
    if !calls.has_unseen.replace(true) {
        begins(pause::NESTED, calls);
    }
}

/// A recorded call of this thread returns, or is suspended: whatever was nested too deep is over.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn call_returns(calls: &Calls) {
    if calls.has_unseen.get() {
        calls.has_unseen.set(false);
        // SAFETY: the caller's word.
        unsafe { ends(0, calls) };
    }
}

/// From here on calls go unseen; `why`: see [`pause`].
pub fn begins(why: u64, calls: &Calls) {
    say(EventKind::Paused, why, calls);
}

/// They are seen again. `unseen`: how many iterations are known to have begun meanwhile.
///
/// # Safety
/// The GIL is held.
pub unsafe fn ends(unseen: u32, calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { iterations::resumed(unseen, calls) };
    say(EventKind::Resumed, u64::from(unseen), calls);
}

/// Says in the trace what is recorded from here on.
pub(super) fn say(kind: EventKind, value: u64, calls: &Calls) {
    let enclosing = calls.innermost().call;
    sink::emit(&Event { call: enclosing, parent: enclosing, value, ..iterations::event(kind) });
}
