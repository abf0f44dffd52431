//! Calls that are suspended and resumed: those of generators, coroutines and asynchronous generators.
//!
//! Such a call is one call, entered once, however often it is resumed, from wherever, and on whichever thread. While it
//! is suspended it is on no thread's stack. One that is dropped before its end has no exit.
//!
//! Closing a generator throws an exception into it; newer interpreters leave that out where nothing would handle it. So
//! that the trace does not depend on it, a generator that is closed is only said to be resumed once it does something
//! that is recorded, and only then said to be left.

use super::code::CodeInfo;
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::frame::Frame;
use crate::libtorch::modes::NoSync;
use crate::sink;
use crate::training::call::Entered;
use crate::training::calls::{self, Calls};
use crate::training::{gaps, iterations, roles};
use traincheck_schema::record::{Event, EventKind, Role};

/// Suspended calls that are remembered. Those of generators that were dropped stay until their memory is used again.
const MAX_SUSPENDED: usize = 4096;

/// By the address of the frame, which lies in the generator.
static SUSPENDED: Gil<Option<FastMap<usize, Suspended>>> = Gil::new(None);

/// A suspended call, and what goes on until it is resumed or forgotten.
struct Suspended {
    entered: Entered,
    _no_sync: Option<NoSync>,
}

/// A generator is about to begin: what was known of one at its address is of one that is gone.
///
/// # Safety
/// The GIL is held.
#[inline]
pub unsafe fn forget(frame: *const Frame) {
    // SAFETY: the caller's word.
    unsafe { SUSPENDED.with(|suspended| suspended.as_mut().map(|all| all.remove(&(frame as usize)))) };
}

/// Whatever is suspended is not followed any further.
///
/// # Safety
/// The GIL is held.
pub unsafe fn forget_all() {
    // SAFETY: the caller's word; dropping entries runs nothing of the job's.
    unsafe { SUSPENDED.with(|suspended| *suspended = None) };
}

/// The innermost recorded call of this thread is suspended.
///
/// # Safety
/// The GIL is held; `frame` is its frame.
pub unsafe fn suspend(frame: *const Frame, entered: Entered) {
    let calls = calls::current();
    gaps::call_returns(calls);
    entered.stops_to_fill(calls);
    if !entered.is_recorded() {
        return calls.leave();
    }
    say_resumed(calls);
    calls.leave();
    roles::count(entered.function, calls, false);
    if sink::is_inert() {
        return;
    }
    sink::emit(&event(EventKind::Suspend, &entered, calls));
    // SAFETY: the caller's word; dropping an entry runs nothing.
    let owned = unsafe {
        SUSPENDED.with(|suspended| {
            let suspended = suspended.get_or_insert_with(FastMap::default);
            if suspended.len() >= MAX_SUSPENDED {
                drop_older_half(suspended);
            }
            let owned = entered.owns_this.then_some(entered.this);
            // What lives on while nobody runs it must not keep an object of the job alive.
            let this = std::ptr::null_mut();
            // What is under a `with` statement runs while its generator is suspended.
            let no_sync = (entered.function.means.role == Role::NoSync).then(NoSync::begin);
            let entered = Entered { this, owns_this: false, fills: false, ..entered };
            suspended.insert(frame as usize, Suspended { entered, _no_sync: no_sync });
            owned
        })
    };
    calls.give_back(owned);
}

/// A suspended call goes on in this thread; `closing`: because its generator is closed. `None` where its beginning was
/// not recorded.
///
/// # Safety
/// The GIL is held; `frame` is that of a live generator of the code of `info`.
pub unsafe fn resume(frame: *const Frame, info: &'static CodeInfo, closing: bool) -> Option<Entered> {
    let calls = calls::current();
    if calls.busy.get() || sink::is_inert() {
        return None;
    }
    // SAFETY: the caller's word.
    let entered = unsafe {
        SUSPENDED.with(|suspended| {
            let suspended = suspended.as_mut()?;
            let identity = std::ptr::from_ref(info) as usize;
            suspended.get(&(frame as usize)).filter(|suspended| suspended.entered.is_of(identity))?;
            suspended.remove(&(frame as usize)).map(|suspended| suspended.entered)
        })
    }?;
    if calls.is_full() {
        gaps::nested_too_deep(calls);
        return None;
    }
    let resumed = event(EventKind::Resume, &entered, calls);
    calls.enter(entered.open);
    roles::count(entered.function, calls, true);
    if closing {
        calls.unsaid.borrow_mut().push(resumed);
    } else {
        say_resumed(calls);
        sink::emit(&resumed);
    }
    Some(entered)
}

/// Says of generators that are being closed that they were resumed: something happens in them that is recorded.
#[inline]
pub fn say_resumed(calls: &Calls) {
    if !calls.unsaid.borrow().is_empty() {
        for resumed in calls.unsaid.borrow_mut().drain(..) {
            sink::emit(&resumed);
        }
    }
}

/// Whether the innermost call was closed, by the exception that is set, and did nothing that is recorded: then neither
/// its resumption nor its end is told.
///
/// # Safety
/// The GIL is held.
pub unsafe fn was_closed(call: u64, exception: Object, python: &Python, calls: &Calls) -> bool {
    let mut unsaid = calls.unsaid.borrow_mut();
    let quiet =
        unsaid.last().is_some_and(|resumed| resumed.call == call) && exception == python.generator_exit;
    if quiet {
        unsaid.pop();
    }
    quiet
}

/// Repeats the fields of the entry, but for the parent: the call that is around it now.
fn event(kind: EventKind, entered: &Entered, calls: &Calls) -> Event {
    let now = iterations::event(kind);
    Event {
        call: entered.event.call,
        parent: calls.innermost().call,
        name: entered.event.name,
        site: entered.event.site,
        object: entered.event.object,
        context: entered.event.context,
        ..now
    }
}

fn drop_older_half(suspended: &mut FastMap<usize, Suspended>) {
    let mut calls: Vec<u64> = suspended.values().map(|suspended| suspended.entered.open.call).collect();
    let middle = calls.len() / 2;
    let (_, &mut median, _) = calls.select_nth_unstable(middle);
    suspended.retain(|_, suspended| suspended.entered.open.call > median);
}
