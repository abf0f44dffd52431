//! How calls are seen from CPython 3.12 on: by `sys.monitoring`, as one of its tools.
//!
//! The interpreter tells of every call that begins; the answer `DISABLE` for code of which nothing is wanted makes that
//! cost nothing from then on. Code that is wanted is followed: its returns, and where it is suspended and resumed, are
//! told as well. Frames left by an exception, and exceptions thrown into generators, can only be asked for as a whole.
//!
//! While one of these functions runs, the interpreter tells nobody of anything.
//!
//! Whoever frees the agent's id, or takes its events from it, is not told of either. So where libtorch announces a step of
//! an optimizer and no call has begun since the last one, the interpreter is asked.

use super::capture::call;
use super::capture::code::{self, CodeInfo};
use super::capture::{generators, guard};
use super::python_calls::{Way, body_left};
use super::source::Need;
use crate::base::gil::Gil;
use crate::interpreter::api::{MethodDef, Object, Python};
use crate::interpreter::frame::{self, Frame};
use crate::sink;
use crate::training::call::Entered;
use crate::training::calls;
use std::ffi::{CStr, c_int, c_long, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering};

/// Ids that no kind of tool is asked to take.
const TOOL_IDS: [c_long; 2] = [4, 3];
/// From how many followed code objects on those that are gone are sorted out.
const MANY_FOLLOWED: usize = 1024;

/// What is needed of `sys.monitoring`. Strong references.
struct Monitor {
    tool: Object,
    /// The name that the agent has taken it by.
    name: Object,
    disable: Object,
    set_events: Object,
    set_local_events: Object,
    register_callback: Object,
    free_tool_id: Object,
    get_tool: Object,
    get_events: Object,
    /// Events asked for as a whole, and those of followed code that cannot be suspended, and that can.
    everywhere: Object,
    plain: Object,
    suspending: Object,
    only_return: Object,
    nothing: Object,
    /// The events, and the functions that are called for them.
    callbacks: Vec<(Object, Object)>,
}

/// Null while the agent is no tool of the interpreter.
static MONITOR: AtomicPtr<Monitor> = AtomicPtr::new(null_mut());
/// Calls are recorded.
static ON: AtomicBool = AtomicBool::new(false);
/// Of those only the ones that have begun. To ask for no events would have the interpreter go over all code again.
static PAUSED: AtomicBool = AtomicBool::new(false);
/// What the interpreter said was asked for as a whole, when it was.
static EVENTS: AtomicI64 = AtomicI64::new(0);
/// A call that began was told of since libtorch last announced a step.
static BEGUN: AtomicBool = AtomicBool::new(false);
/// The interpreter was asked to call [`look_after`].
static ASKED: AtomicBool = AtomicBool::new(false);
/// This is a forked child, in which nothing is recorded: the next call that is told of ends it.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// The code of torch's body, while it is waited for.
static BODY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Weak references to followed code objects.
static FOLLOWED: Gil<Vec<Object>> = Gil::new(Vec::new());

static STARTED: MethodDef = MethodDef::new(c"started", started);
static RESUMED: MethodDef = MethodDef::new(c"resumed", resumed);
static RETURNED: MethodDef = MethodDef::new(c"returned", returned);
static YIELDED: MethodDef = MethodDef::new(c"yielded", yielded);
static THROWN: MethodDef = MethodDef::new(c"thrown", thrown);
static UNWOUND: MethodDef = MethodDef::new(c"unwound", unwound);

/// The hook.
pub struct Monitoring;

impl Way for Monitoring {
    const NEEDS: &'static [Need] = &[Need::Monitoring];
    const HOW: &'static str = "sys.monitoring";

    unsafe fn await_body(python: &'static Python, code: Object) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe { await_body(python, code) }
    }

    unsafe fn install(python: &Python) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe { install(python) }
    }

    /// No call is recorded that begins from here on; the ends of those that are open still are.
    unsafe fn suspend(_: &Python) {
        if ON.load(Ordering::Relaxed) {
            // Whether suspended calls go on or end meanwhile will not be seen.
            // SAFETY: the caller's word.
            unsafe { generators::forget_all() };
            PAUSED.store(true, Ordering::Relaxed);
        }
    }

    unsafe fn resume(_: &Python) -> bool {
        // The agent may be no tool of the interpreter any more.
        !PAUSED.swap(false, Ordering::Relaxed) || ON.load(Ordering::Relaxed)
    }

    fn step_begins() {
        // Between two steps calls begin, and be it those of the steps.
        if ON.load(Ordering::Relaxed)
            && !BEGUN.swap(false, Ordering::Relaxed)
            && let Some(python) = Python::loaded()
            && !ASKED.swap(true, Ordering::AcqRel)
        {
            // SAFETY: may be called from any thread, with or without the GIL; the function has the type it wants.
            let refused = unsafe { (python.add_pending_call)(look_after, null_mut()) } != 0;
            if refused {
                ASKED.store(false, Ordering::Release);
            }
        }
    }

    unsafe fn remove(python: &Python) {
        // SAFETY: the caller's word.
        unsafe { remove(python) };
    }

    /// Nothing may be called yet: the next event ends it. Without one there is no cost, either.
    fn leave_child() {
        if monitor().is_some() {
            ON.store(false, Ordering::Relaxed);
            LEAVING.store(true, Ordering::Relaxed);
        }
    }
}

/// Waits for the frame that is about to run `code` to return. See [`Way::await_body`].
///
/// # Safety
/// See [`Way::await_body`].
unsafe fn await_body(python: &'static Python, code: Object) -> Result<(), String> {
    // SAFETY: the caller's word.
    unsafe {
        if monitor().is_none() {
            let monitor = Monitor::new(python)?;
            MONITOR.store(Box::into_raw(Box::new(monitor)), Ordering::Release);
        }
        let monitor = monitor().ok_or("the agent is not registered as a tool of sys.monitoring")?;
        BODY.store(code, Ordering::Relaxed);
        if !monitor.tell(python, monitor.set_local_events, &[code, monitor.only_return]) {
            return Err(
                "sys.monitoring did not accept the event for the end of the import of torch".to_owned()
            );
        }
    }
    Ok(())
}

/// Begins to record.
///
/// # Safety
/// See [`Way::install`].
unsafe fn install(python: &Python) -> Result<(), String> {
    let monitor = monitor().ok_or("the agent is not registered as a tool of sys.monitoring")?;
    ON.store(true, Ordering::Relaxed);
    // SAFETY: the caller's word.
    if unsafe { monitor.tell(python, monitor.set_events, &[monitor.everywhere]) } {
        // SAFETY: the caller's word.
        EVENTS.store(unsafe { monitor.events(python) }, Ordering::Relaxed);
        Ok(())
    } else {
        ON.store(false, Ordering::Relaxed);
        Err("sys.monitoring did not accept the events for calls".to_owned())
    }
}

/// Looks whether the agent still is a tool of the interpreter that is told of what it asked for. Called by the interpreter,
/// in its main thread between two instructions, with the GIL.
extern "C-unwind" fn look_after(_: *mut c_void) -> c_int {
    ASKED.store(false, Ordering::Release);
    if let (Some(python), Some(monitor)) = (Python::loaded(), monitor())
        && ON.load(Ordering::Relaxed)
        && !sink::is_inert()
    {
        // SAFETY: a pending call has the GIL, and no exception is set.
        unsafe {
            guard::guarded(python, || {
                if !monitor.is_the_agents(python) || monitor.events(python) != EVENTS.load(Ordering::Relaxed)
                {
                    ON.store(false, Ordering::Relaxed);
                    // What becomes of the id is another's business from here on.
                    MONITOR.store(null_mut(), Ordering::Release);
                    guard::lost("another tool has taken the agent's place in sys.monitoring");
                }
            });
        }
    }
    0
}

/// Gives the id of the tool back, after asking for nothing any more.
///
/// # Safety
/// The GIL is held and no exception is set.
unsafe fn remove(python: &Python) {
    ON.store(false, Ordering::Relaxed);
    let monitor = MONITOR.swap(null_mut(), Ordering::AcqRel);
    // SAFETY: the pointer came from a leaked box, which is not freed: a callback may be running. The caller's word.
    unsafe {
        let Some(monitor) = monitor.as_ref() else { return };
        monitor.tell(python, monitor.set_events, &[monitor.nothing]);
        for reference in FOLLOWED.with(std::mem::take) {
            let code = (python.weakref_get)(reference);
            if !code.is_null() && code != python.none {
                (python.inc_ref)(code);
                monitor.tell(python, monitor.set_local_events, &[code, monitor.nothing]);
                (python.dec_ref)(code);
            }
            (python.dec_ref)(reference);
        }
        for (event, _) in &monitor.callbacks {
            monitor.tell(python, monitor.register_callback, &[*event, python.none]);
        }
        monitor.tell(python, monitor.free_tool_id, &[]);
    }
}

#[inline]
fn monitor() -> Option<&'static Monitor> {
    // SAFETY: the pointer is null or came from a leaked box.
    unsafe { MONITOR.load(Ordering::Acquire).as_ref() }
}

impl Monitor {
    /// Becomes a tool of the interpreter.
    unsafe fn new(python: &Python) -> Result<Monitor, String> {
        // SAFETY: `await_body`'s contract. The objects are kept for ever. Attributes of these modules are plain data.
        unsafe {
            let module = (python.system_object)(c"monitoring".as_ptr());
            if module.is_null() {
                return Err("this interpreter has no sys.monitoring".to_owned());
            }
            let get = |object: Object, name: &CStr| {
                let value = (python.get_attr)(object, name.as_ptr());
                if value.is_null() {
                    (python.error_clear)();
                    return Err(format!("sys.monitoring has no {}", name.to_string_lossy()));
                }
                Ok(value)
            };
            let events = get(module, c"events")?;
            let event = |name: &CStr| -> Result<c_long, String> {
                let value = get(events, name)?;
                Ok((python.long_as_long)(value))
            };
            let (start, resume) = (event(c"PY_START")?, event(c"PY_RESUME")?);
            let (back, pause) = (event(c"PY_RETURN")?, event(c"PY_YIELD")?);
            let (throw, unwind) = (event(c"PY_THROW")?, event(c"PY_UNWIND")?);
            let mut callbacks = Vec::new();
            for (event, definition) in [
                (start, &STARTED),
                (resume, &RESUMED),
                (back, &RETURNED),
                (pause, &YIELDED),
                (throw, &THROWN),
                (unwind, &UNWOUND),
            ] {
                callbacks.push(((python.long_from)(event), python.new_function(definition)));
            }
            let name = (python.unicode_intern)(c"traincheck".as_ptr());
            let monitor = Monitor {
                tool: claim(python, get(module, c"use_tool_id")?, name)?,
                name,
                disable: get(module, c"DISABLE")?,
                set_events: get(module, c"set_events")?,
                set_local_events: get(module, c"set_local_events")?,
                register_callback: get(module, c"register_callback")?,
                free_tool_id: get(module, c"free_tool_id")?,
                get_tool: get(module, c"get_tool")?,
                get_events: get(module, c"get_events")?,
                everywhere: (python.long_from)(start | throw | unwind),
                plain: (python.long_from)(back),
                suspending: (python.long_from)(back | pause | resume),
                only_return: (python.long_from)(back),
                nothing: (python.long_from)(0),
                callbacks,
            };
            for (event, callback) in &monitor.callbacks {
                if callback.is_null()
                    || !monitor.tell(python, monitor.register_callback, &[*event, *callback])
                {
                    (python.error_clear)();
                    return Err("sys.monitoring did not accept a callback".to_owned());
                }
            }
            Ok(monitor)
        }
    }

    /// Whether the id is the one that the agent has taken.
    unsafe fn is_the_agents(&self, python: &Python) -> bool {
        // SAFETY: the callers': the GIL is held and no exception is set. The name is the object that was given.
        unsafe {
            let name = python.call(self.get_tool, &[self.tool]);
            if name.is_null() {
                (python.error_clear)();
                return false;
            }
            (python.dec_ref)(name);
            name == self.name
        }
    }

    /// The events that the tool is told of everywhere, as the interpreter numbers them; -1 where it cannot say.
    unsafe fn events(&self, python: &Python) -> c_long {
        // SAFETY: the callers': the GIL is held and no exception is set.
        unsafe {
            let events = python.call(self.get_events, &[self.tool]);
            if events.is_null() {
                (python.error_clear)();
                return -1;
            }
            let number = (python.long_as_long)(events);
            (python.dec_ref)(events);
            number
        }
    }

    /// Calls a function of `sys.monitoring` with the id of the tool and these arguments. False if it raised, which is
    /// cleared.
    unsafe fn tell(&self, python: &Python, function: Object, arguments: &[Object]) -> bool {
        let mut all = [self.tool, null_mut(), null_mut()];
        all[1..=arguments.len()].copy_from_slice(arguments);
        // SAFETY: the callers': the GIL is held, no exception is set, live objects.
        unsafe {
            let result = python.call(function, &all[..=arguments.len()]);
            if result.is_null() {
                (python.error_clear)();
                return false;
            }
            (python.dec_ref)(result);
        }
        true
    }
}

/// Takes an id that is free.
unsafe fn claim(python: &Python, use_tool_id: Object, name: Object) -> Result<Object, String> {
    // SAFETY: `Monitor::new`'s contract; references are given back or kept for ever.
    unsafe {
        for id in TOOL_IDS {
            let id = (python.long_from)(id);
            let result = python.call(use_tool_id, &[id, name]);
            if !result.is_null() {
                (python.dec_ref)(result);
                return Ok(id);
            }
            (python.error_clear)();
            (python.dec_ref)(id);
        }
    }
    Err("other tools have taken the free ids of sys.monitoring".to_owned())
}

/// What an event is answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Go on.
    Go,
    /// Tell no more of this event at this place.
    NoMore,
}

/// Runs `step` on the frame that runs and its code, and gives its answer to the interpreter.
#[inline]
unsafe fn answer(
    arguments: *const Object,
    step: impl FnOnce(&Python, &'static Monitor, &Frame, Object) -> Answer,
) -> Object {
    let Some(python) = Python::loaded() else { return null_mut() };
    // SAFETY: the interpreter passes live arguments, the first of which is the code object; the GIL is held and no
    // exception is set. The innermost frame is the one that runs.
    unsafe {
        let mut reply = python.none;
        if LEAVING.load(Ordering::Relaxed) {
            LEAVING.store(false, Ordering::Relaxed);
            remove(python);
        } else if let Some(monitor) = monitor()
            && ON.load(Ordering::Relaxed)
        {
            let code = *arguments;
            let frame = frame::current((python.thread)());
            if !frame.is_null() && (*frame).code() == code {
                let told = guard::guarded(python, || step(python, monitor, &*frame, code));
                if told == Some(Answer::NoMore) && ON.load(Ordering::Relaxed) {
                    reply = monitor.disable;
                }
            }
        }
        (python.inc_ref)(reply);
        reply
    }
}

/// `PY_START`: a function begins, or a generator for the first time.
unsafe extern "C-unwind" fn started(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`.
    unsafe {
        answer(arguments, |python, monitor, frame, code| {
            BEGUN.store(true, Ordering::Relaxed);
            let Some(info) = code::info(python, code, frame.globals()) else { return Answer::NoMore };
            if info.means.is_none() || info.thinned.get() {
                return Answer::NoMore;
            }
            if PAUSED.load(Ordering::Relaxed) {
                return Answer::Go;
            }
            if code::mark_followed(python, code) && !follow(python, monitor, info, code) {
                guard::lost("sys.monitoring did not accept the event for the return of a call");
                guard::stop(python);
                return Answer::Go;
            }
            if info.suspends {
                generators::forget(frame);
            }
            if let Some(entered) = call::enter(python, frame.previous(), frame, info) {
                calls::current().held.borrow_mut().push((frame, entered));
            }
            Answer::Go
        })
    }
}

/// `PY_RETURN`: with the result.
unsafe extern "C-unwind" fn returned(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`; the third argument is the result.
    unsafe {
        let code = *arguments;
        if !code.is_null() && code == BODY.load(Ordering::Relaxed) {
            BODY.store(null_mut(), Ordering::Relaxed);
            if let Some(python) = Python::loaded() {
                if let Some(monitor) = monitor() {
                    monitor.tell(python, monitor.set_local_events, &[code, monitor.nothing]);
                }
                body_left(python, true);
            }
        }
        answer(arguments, |python, _, frame, code| {
            let Some(info) = code::known_info(python, code) else { return Answer::NoMore };
            match take(frame, info) {
                Some(entered) => call::leave(python, entered, *arguments.add(2), null_mut()),
                None if info.thinned.get() && !info.suspends => return Answer::NoMore,
                None => {}
            }
            Answer::Go
        })
    }
}

/// `PY_UNWIND`: a frame is left by an exception.
unsafe extern "C-unwind" fn unwound(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`; the third argument is the exception, which is not set meanwhile.
    unsafe {
        answer(arguments, |python, _, frame, code| {
            if let Some(info) = code::known_info(python, code)
                && let Some(entered) = take(frame, info)
            {
                let exception = python.type_of(*arguments.add(2));
                call::leave(python, entered, null_mut(), exception);
            }
            Answer::Go
        })
    }
}

/// `PY_YIELD`: a generator is suspended.
unsafe extern "C-unwind" fn yielded(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`.
    unsafe {
        answer(arguments, |python, _, frame, code| {
            if let Some(info) = code::known_info(python, code)
                && let Some(entered) = take(frame, info)
            {
                generators::suspend(frame, entered);
            }
            Answer::Go
        })
    }
}

/// `PY_RESUME`: a generator goes on.
unsafe extern "C-unwind" fn resumed(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`.
    unsafe {
        answer(arguments, |python, _, frame, code| {
            if let Some(info) = code::known_info(python, code)
                && let Some(entered) = generators::resume(frame, info, false)
            {
                calls::current().held.borrow_mut().push((frame, entered));
            }
            Answer::Go
        })
    }
}

/// `PY_THROW`: an exception is thrown into a generator.
unsafe extern "C-unwind" fn thrown(_: Object, arguments: *const Object, _: isize) -> Object {
    // SAFETY: the interpreter's call, see `answer`; the third argument is the exception.
    unsafe {
        answer(arguments, |python, _, frame, code| {
            if let Some(info) = code::known_info(python, code) {
                let closing = python.type_of(*arguments.add(2)) == python.generator_exit;
                if let Some(entered) = generators::resume(frame, info, closing) {
                    calls::current().held.borrow_mut().push((frame, entered));
                }
            }
            Answer::Go
        })
    }
}

/// Asks to be told of the returns of `code`.
#[cold]
unsafe fn follow(python: &Python, monitor: &Monitor, info: &CodeInfo, code: Object) -> bool {
    let events = if info.suspends { monitor.suspending } else { monitor.plain };
    // SAFETY: `answer`'s contract: a live code object, to which a weak reference may be made.
    unsafe {
        let reference = (python.weakref_new)(code, null_mut());
        if reference.is_null() {
            (python.error_clear)();
            return false;
        }
        let mut followed = FOLLOWED.with(std::mem::take);
        if followed.len() >= MANY_FOLLOWED && followed.len().is_power_of_two() {
            followed.retain(|reference| {
                let gone = (python.weakref_get)(*reference) == python.none;
                if gone {
                    (python.dec_ref)(*reference);
                }
                !gone
            });
        }
        followed.push(reference);
        FOLLOWED.with(|all| *all = followed);
        monitor.tell(python, monitor.set_local_events, &[code, events])
    }
}

/// The recorded call that runs in `frame`, taken off the held ones. Calls above it have been left unseen. A suspended
/// one whose resumption was not told of is resumed first.
unsafe fn take(frame: &Frame, info: &'static CodeInfo) -> Option<Entered> {
    let identity = std::ptr::from_ref(info) as usize;
    let held = &calls::current().held;
    let found =
        held.borrow().iter().rposition(|(at, entered)| std::ptr::eq(*at, frame) && entered.is_of(identity));
    // SAFETY: `answer`'s contract.
    unsafe {
        let Some(depth) = found else {
            return if info.suspends && frame.is_generators() {
                generators::resume(frame, info, false)
            } else {
                None
            };
        };
        while held.borrow().len() > depth + 1 {
            let lost = held.borrow_mut().pop();
            if let Some((_, lost)) = lost {
                call::lose(lost);
            }
        }
        held.borrow_mut().pop().map(|(_, entered)| entered)
    }
}
