//! How calls are seen on CPython 3.11: the frame evaluator is ours (PEP 523).
//!
//! The interpreter calls [`evaluate`] for every Python frame. What is not recorded is passed on after one look into
//! the code object. Nothing of the agent's unwinds through the interpreter: the steps before and after the frame each
//! end in a `catch_unwind` that switches the hook off. The frame itself runs outside of them, because CPython ends
//! daemon threads by a forced unwind that must pass through.

use super::capture::code::{self, CodeInfo};
use super::capture::{call, generators, guard};
use super::hook::Hook;
use super::python_calls::{Way, body_left};
use super::source::Need;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::frame::{self, Frame};
use crate::sink;
use crate::sink::cost;
use crate::training::{calls, gaps};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use traincheck_schema::record::pause;

/// What must be left of a thread's stack for the hook to stay in: without it the interpreter needs less.
const STACK_RESERVE: usize = 1 << 20;

static ON: AtomicBool = AtomicBool::new(false);
/// It is out for a while only.
static SUSPENDED: AtomicBool = AtomicBool::new(false);
/// Below this address the stack of the thread that armed the agent is nearly used up. Stacks of other threads lie
/// below it altogether: those look up their own.
static STACK_FLOOR: AtomicUsize = AtomicUsize::new(0);

/// The code of torch's body, while it is waited for.
static BODY: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The hook.
pub struct FrameEvaluator;

impl Way for FrameEvaluator {
    const NEEDS: &'static [Need] = &[Need::FrameEvaluator];
    const HOW: &'static str = "PEP 523, CPython's frame evaluator";

    unsafe fn await_body(python: &'static Python, code: Object) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe { await_body(python, code) }
    }

    unsafe fn install(python: &Python) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe { install(python) }
    }

    unsafe fn suspend(python: &Python) {
        // Whether suspended calls go on or end meanwhile will not be seen.
        // SAFETY: the caller's word.
        unsafe {
            if ON.load(Ordering::Relaxed) {
                SUSPENDED.store(true, Ordering::Relaxed);
                generators::forget_all();
                remove(python);
            }
        }
    }

    unsafe fn resume(python: &Python) -> bool {
        // SAFETY: the caller's word.
        let in_place = !SUSPENDED.load(Ordering::Relaxed) || unsafe { resume(python) };
        if in_place {
            SUSPENDED.store(false, Ordering::Relaxed);
        }
        in_place
    }

    unsafe fn remove(python: &Python) {
        // SAFETY: the caller's word.
        unsafe { remove(python) };
    }

    fn leave_child() {
        if let Some(python) = Python::loaded() {
            // SAFETY: no other thread exists in the child, so nothing else touches the interpreter's evaluator.
            unsafe { remove(python) };
        }
    }
}

/// Waits for the frame that is about to run `code`: the evaluator is in place for that one frame, which it hands on to
/// the default evaluator after it has taken itself out again.
///
/// # Safety
/// See [`Way::await_body`].
unsafe fn await_body(python: &Python, code: Object) -> Result<(), String> {
    // SAFETY: the caller's word; the evaluator is CPython's own interface.
    unsafe {
        let interpreter = (python.interpreter)();
        let present = (python.get_eval_frame)(interpreter) as usize;
        if present != python.eval_frame_default as usize && present != evaluate_body as *const () as usize {
            return Err("another frame evaluator is installed already".to_owned());
        }
        BODY.store(code, Ordering::Relaxed);
        (python.set_eval_frame)(interpreter, evaluate_body);
    }
    Ok(())
}

/// The evaluator for one frame: that of torch's body, the first to run after it was put in.
unsafe extern "C-unwind" fn evaluate_body(thread: *mut c_void, frame: *mut Frame, throw: c_int) -> Object {
    // SAFETY: the interpreter calls with a live frame and the GIL held, after `await_body`.
    unsafe {
        let Some(python) = Python::loaded() else { return std::ptr::null_mut() };
        let waited = !BODY.swap(std::ptr::null_mut(), Ordering::Relaxed).is_null();
        (python.set_eval_frame)((python.main_interpreter)(), python.eval_frame_default);
        let result = (python.eval_frame_default)(thread, frame, throw);
        if waited {
            body_left(python, !result.is_null());
        }
        result
    }
}

/// Puts the hook in.
///
/// # Safety
/// The GIL is held; `code::Codes` and `names` are installed; the layout of frames and code objects is proven.
unsafe fn install(python: &Python) -> Result<(), String> {
    // SAFETY: the caller's word.
    unsafe {
        let interpreter = (python.interpreter)();
        if interpreter != (python.main_interpreter)() {
            return Err("torch was imported in a subinterpreter".to_owned());
        }
        if (python.get_eval_frame)(interpreter) as usize != python.eval_frame_default as usize {
            return Err("another frame evaluator is installed already".to_owned());
        }
        STACK_FLOOR.store(stack_floor(), Ordering::Relaxed);
        ON.store(true, Ordering::Release);
        (python.set_eval_frame)(interpreter, evaluate);
        calibrate(python, interpreter);
    }
    Ok(())
}

/// Puts the hook in again, after [`remove`]. False: another evaluator is in.
///
/// # Safety
/// The GIL is held.
unsafe fn resume(python: &Python) -> bool {
    // SAFETY: the caller's word.
    unsafe {
        let interpreter = (python.main_interpreter)();
        if (python.get_eval_frame)(interpreter) as usize != python.eval_frame_default as usize {
            return false;
        }
        ON.store(true, Ordering::Release);
        (python.set_eval_frame)(interpreter, evaluate);
    }
    true
}

/// Measures what the hook costs a frame that is not recorded; leaves it in.
///
/// # Safety
/// As for [`install`].
unsafe fn calibrate(python: &Python, interpreter: *mut c_void) {
    const FRAMES: u64 = 500;
    let source = c"def known():\n    pass\ndef calls():\n    for _ in range(500):\n        known()\n";
    // SAFETY: the caller's word; it is the agent's own code, and every reference is given back.
    unsafe {
        let namespace = python.run(source);
        if namespace.is_null() {
            return;
        }
        let calls = (python.dict_get_string)(namespace, c"calls".as_ptr());
        cost::calibrate_frames(FRAMES, |hooked| {
            let evaluator = if hooked { evaluate } else { python.eval_frame_default };
            (python.set_eval_frame)(interpreter, evaluator);
            let result = (python.call_no_args)(calls);
            if result.is_null() {
                (python.error_clear)();
            } else {
                (python.dec_ref)(result);
            }
        });
        (python.set_eval_frame)(interpreter, evaluate);
        (python.dec_ref)(namespace);
    }
}

/// Takes the hook out, so that nothing of its cost remains.
///
/// # Safety
/// The GIL is held, or no other thread exists (a fork's child).
unsafe fn remove(python: &Python) {
    if ON.swap(false, Ordering::AcqRel) {
        // SAFETY: the caller's word. Another tool that hooked in after the agent keeps its place.
        unsafe {
            let interpreter = (python.main_interpreter)();
            if (python.get_eval_frame)(interpreter) as usize == evaluate as *const () as usize {
                (python.set_eval_frame)(interpreter, python.eval_frame_default);
            }
        }
    }
}

/// See the module. The signature is CPython's.
///
/// # Safety
/// Called by the interpreter, after [`install`].
unsafe extern "C-unwind" fn evaluate(thread: *mut c_void, frame: *mut Frame, throw: c_int) -> Object {
    // SAFETY: the interpreter calls with a live frame and the GIL held, after `install`, which needs `Python`.
    unsafe {
        let Some(python) = Python::loaded() else { return std::ptr::null_mut() };
        let marker = 0u8;
        if (&raw const marker as usize) < STACK_FLOOR.load(Ordering::Relaxed)
            && is_deep(&raw const marker as usize)
        {
            return step_aside(python, thread, frame, throw);
        }
        cost::frame();
        match code::info(python, (*frame).code(), (*frame).globals()) {
            // Another evaluator that lies on top still calls this one after it was taken out.
            Some(info) if info.means.is_some() && ON.load(Ordering::Relaxed) => {
                if info.suspends && frame::generators_are_proven() {
                    record_generator(python, thread, frame, info, throw)
                } else if throw == 0 && !info.thinned.get() {
                    record(python, thread, frame, info)
                } else {
                    (python.eval_frame_default)(thread, frame, throw)
                }
            }
            _ => (python.eval_frame_default)(thread, frame, throw),
        }
    }
}

#[inline(never)]
unsafe fn record(python: &Python, thread: *mut c_void, frame: *mut Frame, info: &'static CodeInfo) -> Object {
    // SAFETY: `evaluate`'s contract.
    unsafe {
        let entered =
            guard::guarded(python, || call::enter(python, frame::current(thread), &*frame, info)).flatten();
        let result = (python.eval_frame_default)(thread, frame, 0);
        if let Some(entered) = entered {
            let exception = if result.is_null() { (python.error_occurred)() } else { std::ptr::null_mut() };
            guard::guarded(python, || call::leave(python, entered, result, exception));
        }
        result
    }
}

/// A generator's frame is evaluated once to make the generator, which is no call, and then for each stretch from where
/// it begins or goes on to where it is suspended or ends.
#[inline(never)]
unsafe fn record_generator(
    python: &Python,
    thread: *mut c_void,
    frame: *mut Frame,
    info: &'static CodeInfo,
    throw: c_int,
) -> Object {
    // SAFETY: `evaluate`'s contract; the generator, in which the frame lies, is kept alive by who resumes it.
    unsafe {
        if !(*frame).is_generators() {
            return (python.eval_frame_default)(thread, frame, throw);
        }
        let entered = guard::guarded(python, || {
            if !(*frame).has_not_begun() {
                let closing = throw != 0 && (python.error_occurred)() == python.generator_exit;
                generators::resume(frame, info, closing)
            } else if throw == 0 && !info.thinned.get() {
                generators::forget(frame);
                call::enter(python, frame::current(thread), &*frame, info)
            } else {
                None
            }
        })
        .flatten();
        let result = (python.eval_frame_default)(thread, frame, throw);
        if let Some(entered) = entered {
            if !result.is_null() && (*frame).is_suspended() {
                guard::guarded(python, || generators::suspend(frame, entered));
            } else {
                let exception =
                    if result.is_null() { (python.error_occurred)() } else { std::ptr::null_mut() };
                guard::guarded(python, || call::leave(python, entered, result, exception));
            }
        }
        result
    }
}

/// Address below which too little is left of this thread's stack; 0 if unknown.
fn stack_floor() -> usize {
    // SAFETY: the attribute object is initialised by `pthread_getattr_np` before it is read, and destroyed once.
    unsafe {
        let mut attributes = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return 0;
        }
        let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
        let known = libc::pthread_attr_getstack(&raw const attributes, &raw mut lowest, &raw mut size) == 0;
        libc::pthread_attr_destroy(&raw mut attributes);
        if known { lowest as usize + STACK_RESERVE.min(size / 2) } else { 0 }
    }
}

#[cold]
fn is_deep(address: usize) -> bool {
    let calls = calls::current();
    if calls.stack_floor.get() == 0 {
        calls.stack_floor.set(stack_floor());
    }
    address < calls.stack_floor.get()
}

/// With a frame evaluator installed every Python call needs C stack, without one it does not: where little is left,
/// the hook is out while this frame runs, so that a deep recursion ends as it would have without the agent.
#[cold]
unsafe fn step_aside(python: &Python, thread: *mut c_void, frame: *mut Frame, throw: c_int) -> Object {
    // SAFETY: `evaluate`'s contract.
    unsafe {
        let was_on = ON.load(Ordering::Relaxed);
        if was_on && !sink::is_inert() {
            guard::guarded(python, || {
                // Whether they go on or end meanwhile will not be seen.
                generators::forget_all();
                gaps::begins(pause::STACK, calls::current());
                Hook::DeepRecursion.is_off("the thread's stack was nearly used up");
            });
        }
        remove(python);
        let result = (python.eval_frame_default)(thread, frame, throw);
        if was_on && !sink::is_inert() && !ON.swap(true, Ordering::AcqRel) {
            let interpreter = (python.main_interpreter)();
            // Where torch.compile has put its evaluator on top of the agent's, that one never was out.
            if (python.get_eval_frame)(interpreter) as usize == python.eval_frame_default as usize {
                (python.set_eval_frame)(interpreter, evaluate);
            }
            guard::guarded(python, || gaps::ends(0, calls::current()));
        }
        result
    }
}
