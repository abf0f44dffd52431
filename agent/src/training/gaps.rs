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
#[inline]
pub fn call_returns(calls: &Calls) {
    if calls.has_unseen.get() {
        calls.has_unseen.set(false);
        ends(0, calls);
    }
}

/// From here on calls go unseen; `why`: see [`pause`].
pub fn begins(why: u64, calls: &Calls) {
    say(EventKind::Paused, why, calls);
}

/// They are seen again. `unseen`: how many iterations are known to have begun meanwhile; whoever knows moves the job on
/// by them before. Where only some calls of a thread went unseen, the iteration goes on.
pub fn ends(unseen: u32, calls: &Calls) {
    say(EventKind::Resumed, u64::from(unseen), calls);
}

/// Says in the trace what is recorded from here on.
pub(super) fn say(kind: EventKind, value: u64, calls: &Calls) {
    let enclosing = calls.innermost().call;
    sink::emit(&Event { call: enclosing, parent: enclosing, value, ..iterations::event(kind) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_nested_too_deep_are_no_sign_that_an_iteration_has_ended() {
        let calls = Calls::default();
        // SAFETY: no interpreter runs here, so nobody else holds the lock; no other test moves the job on.
        let called = || unsafe { iterations::module_called(1, 1, true, &calls) };
        assert!(called(), "the first iteration");
        nested_too_deep(&calls);
        call_returns(&calls);
        // As twins do, which are called from the same place before one backward.
        assert!(!called());
        assert_eq!(iterations::iteration(), 1);
    }
}
