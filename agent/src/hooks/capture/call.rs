//! The entry and the return of a recorded call, however it was seen: what is recorded of them, and when nothing is.

use super::code::CodeInfo;
use super::guard;
use super::{arguments, functions, generators, sites};
use crate::base::settings;
use crate::hooks::hook::Hook;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::frame::Frame;
use crate::sink;
use crate::sink::cost::{self, Timer};
use crate::state::fills;
use crate::training::call::{Entered, Function, Open};
use crate::training::calls::{self, Calls};
use crate::training::functions::{Recorded, Signal};
use crate::training::{gaps, iterations, roles};
use std::sync::atomic::{AtomicU64, Ordering};
use traincheck_schema::record::{Event, EventKind, Stage, flags};
use traincheck_settings::{CapturePolicy, Counter};

/// Calls of which only is known what they fill: they have no numbers among the recorded ones.
static FILL_CALLS: AtomicU64 = AtomicU64::new(0);

/// A call is about to run. `None`: nothing is to be done when it returns.
///
/// # Safety
/// `frame` is live and at its entry, `caller` the frame that called it or null; the GIL is held.
pub unsafe fn enter(
    python: &Python,
    caller: *const Frame,
    frame: &Frame,
    info: &'static CodeInfo,
) -> Option<Entered> {
    let calls = calls::current();
    if calls.busy.get() || sink::is_inert() {
        return None;
    }
    // SAFETY: the caller's word. `busy` keeps the hook out of whatever Python code the calls below could run.
    unsafe {
        let this = frame.first_argument(python);
        let function = functions::function(python, info, this)?;
        let identity = std::ptr::from_ref(info) as usize;
        match function.means.capture {
            CapturePolicy::NoRecursion if calls.innermost().code == identity => return None,
            CapturePolicy::StopRecording => {
                guard::stop(python);
                Hook::PythonCalls
                    .is_lost(&format!("recording ends where {}.{} is called", info.module, info.qualname));
                return None;
            }
            CapturePolicy::FillsOnly => return enter_fill(python, calls, caller, function, identity),
            _ if info.only_fills.get() => return enter_fill(python, calls, caller, function, identity),
            _ => {}
        }
        let (site, from_user) = sites::site(python, caller);
        if function.means.capture == CapturePolicy::FromUserCode && !from_user {
            return None;
        }
        if function.means.capture == CapturePolicy::RateLimited && is_called_too_often(info, function) {
            return if info.only_fills.get() {
                enter_fill(python, calls, caller, function, identity)
            } else {
                None
            };
        }

        if calls.is_full() {
            gaps::nested_too_deep(calls);
            return None;
        }

        generators::say_resumed(calls);
        calls.busy.set(true);
        let number = sink::next_call();
        let timer = Timer::sampled(number);
        let outermost = calls.is_outermost(function.means.counted);
        let (mut modes, context, object) = roles::entering(python, function, this, site, outermost, calls);
        if calls.open_calls(Counter::Constructions) > 0 {
            modes |= flags::IN_INIT;
        }
        let parent = calls.innermost().call;
        let mut event = Event {
            call: number,
            parent,
            name: function.name,
            site,
            object,
            context,
            ..iterations::event(EventKind::Enter)
        };
        event.flags |= modes;
        let open = Open { call: event.call, code: identity, site };
        calls.enter(open);
        let fills = begins_to_fill(function, calls);
        sink::emit(&event);
        let recorded = arguments::are_wanted(function, outermost, modes & flags::GRAD != 0);
        let looks_at_result =
            outermost && !recorded.returned && arguments::is_result_looked_at(function, event.iteration);
        if recorded.given {
            arguments::given(python, frame, info, &event);
        }
        roles::count(function, calls, true);
        let keeps = function.keeps_self && !this.is_null();
        if keeps {
            (python.inc_ref)(this);
        }
        roles::entered(python, function, this, &event, recorded, outermost, calls);
        calls.busy.set(false);
        let timed = timer.is_some();
        if let Some(timer) = timer {
            timer.end_sampled(&cost::CALLS);
        }
        Some(Entered {
            event,
            function,
            open,
            this,
            owns_this: keeps,
            outermost,
            recorded,
            looks_at_result,
            fills,
            timed,
        })
    }
}

/// A call is about to run of which only is known what it fills: nothing of it is recorded, and after init it is not even
/// entered.
unsafe fn enter_fill(
    python: &Python,
    calls: &Calls,
    caller: *const Frame,
    function: &'static Function,
    code: usize,
) -> Option<Entered> {
    let fills = function.means.signal == Some(Signal::Fill);
    if !fills::are_seen() && (fills || !fills::are_followed()) {
        return None;
    }
    let timer = Timer::sampled(FILL_CALLS.fetch_add(1, Ordering::Relaxed));
    // SAFETY: `enter`'s contract.
    let (site, _) = unsafe { sites::site(python, caller) };
    // What is around it is around what it does.
    let open = Open { call: calls.innermost().call, code, site };
    if !calls.enter(open) {
        return None;
    }
    let entered = Entered {
        event: Event::EMPTY,
        function,
        open,
        this: std::ptr::null_mut(),
        owns_this: false,
        outermost: false,
        recorded: Recorded::NOTHING,
        looks_at_result: false,
        fills: begins_to_fill(function, calls),
        timed: timer.is_some(),
    };
    if let Some(timer) = timer {
        timer.end_sampled(&cost::CALLS);
    }
    Some(entered)
}

/// Whether from here on it is `function` that fills: one inside another is part of what that one does.
fn begins_to_fill(function: &Function, calls: &Calls) -> bool {
    let begins =
        function.means.signal == Some(Signal::Fill) && fills::are_seen() && calls.filled_by.get() == 0;
    if begins {
        calls.filled_by.set(function.name);
    }
    begins
}

/// What follows for parameters from a call that returned `result`.
///
/// # Safety
/// The GIL is held and no exception is set; a live object.
unsafe fn follow_parameters(python: &Python, function: &Function, result: Object) {
    // SAFETY: the caller's word.
    unsafe {
        match function.means.signal {
            Some(Signal::Parameter) => fills::made(python, result),
            Some(Signal::Move) => fills::moved(python, result),
            _ => {}
        }
    }
}

/// A recorded call, the innermost of its thread, has returned `result`; null: it was left by an exception of the type
/// `exception`.
///
/// # Safety
/// The GIL is held; an exception is set exactly where `result` is null.
pub unsafe fn leave(python: &Python, entered: Entered, result: Object, exception: Object) {
    let owned = entered.owns_this.then_some(entered.this);
    let timer = entered.timed.then(Timer::begin);
    // SAFETY: the caller's word.
    unsafe { left(python, entered, result, exception) };
    if let Some(timer) = timer {
        timer.end_sampled(&cost::CALLS);
    }
    calls::current().give_back(owned);
}

/// The return of a recorded call, the innermost of its thread, was missed.
///
/// # Safety
/// The GIL is held.
pub unsafe fn lose(entered: Entered) {
    let calls = calls::current();
    gaps::call_returns(calls);
    calls.leave();
    entered.stops_to_fill(calls);
    if !entered.is_recorded() {
        return;
    }
    iterations::call_returned(entered.event.call);
    roles::count(entered.function, calls, false);
    calls.give_back(entered.owns_this.then_some(entered.this));
}

unsafe fn left(python: &Python, entered: Entered, result: Object, exception: Object) {
    let calls = calls::current();
    entered.stops_to_fill(calls);
    let is_recorded = entered.is_recorded();
    let Entered { event: begun, function, this, outermost, recorded, looks_at_result, .. } = entered;
    gaps::call_returns(calls);
    if !is_recorded {
        calls.leave();
        if !result.is_null() && !sink::is_inert() {
            // SAFETY: `leave`'s contract: the result lives.
            unsafe { follow_parameters(python, function, result) };
        }
        return;
    }
    // SAFETY: `leave`'s contract.
    let quiet = result.is_null() && unsafe { generators::was_closed(begun.call, exception, python, calls) };
    if !quiet {
        generators::say_resumed(calls);
    }
    let now = iterations::event(EventKind::Exit);
    let raised = if result.is_null() { flags::RAISED } else { 0 };
    calls.leave();
    roles::count(function, calls, false);
    if quiet {
        return;
    }
    iterations::call_returned(begun.call);
    let exit = Event {
        kind: EventKind::Exit as u8,
        time: now.time,
        stage: now.stage,
        iteration: now.iteration,
        step: now.step,
        flags: begun.flags | raised,
        ..begun
    };
    sink::emit(&exit);
    if function.means.signal == Some(Signal::Save) {
        let before = Stage::try_from(begun.stage).unwrap_or_default();
        // SAFETY: `leave`'s contract.
        unsafe { iterations::save_ends(before, calls) };
    }
    // With an exception set, no function of the C API may be called.
    if result.is_null() || sink::is_inert() {
        if result.is_null() && recorded.returned {
            // SAFETY: `leave`'s contract: the type of the exception that is being raised lives.
            unsafe { arguments::raised(exception, &exit) };
        }
        return;
    }
    calls.busy.set(true);
    if recorded.returned || looks_at_result {
        // SAFETY: `leave`'s contract: no exception is set.
        unsafe { arguments::returned(python, function, result, &exit, looks_at_result) };
    }
    // SAFETY: `leave`'s contract: no exception is set; `this` is kept alive by `enter`.
    unsafe {
        follow_parameters(python, function, result);
        roles::returned(python, &begun, function, (this, result), recorded, outermost, calls);
    }
    calls.busy.set(false);
}

/// Counts a call of a function that is thinned; true from where it is no longer recorded.
fn is_called_too_often(info: &CodeInfo, function: &Function) -> bool {
    let iteration = iterations::iteration();
    if info.counted_in.replace(iteration) != iteration {
        info.calls.set(0);
    }
    info.calls.set(info.calls.get() + 1);
    let too_often = info.calls.get() > settings::get().max_calls_per_iteration;
    if too_often {
        // What it fills, or does to parameters, goes on to be known.
        let of_parameters =
            matches!(function.means.signal, Some(Signal::Fill | Signal::Parameter | Signal::Move));
        let ends = if of_parameters { &info.only_fills } else { &info.thinned };
        ends.set(true);
        let enclosing = calls::current().innermost().call;
        sink::emit(&Event {
            call: enclosing,
            parent: enclosing,
            name: function.name,
            value: u64::from(info.calls.get() - 1),
            ..iterations::event(EventKind::Thinned)
        });
    }
    too_often
}
