//! The frame evaluator that sees Python calls on CPython 3.11 (PEP 523).
//!
//! The interpreter calls [`evaluate`] for every Python frame. What is not recorded is passed on after one look into
//! the code object. Nothing of the agent's unwinds through the interpreter: the steps before and after the frame each
//! end in a `catch_unwind` that switches the hook off. The frame itself runs outside of them, because CPython ends
//! daemon threads by a forced unwind that must pass through.

use super::api::{Object, Python};
use super::code::{self, CodeInfo};
use super::frame::{self, Frame};
use super::names::{self, Function};
use crate::calls::{self, Calls, Open};
use crate::plan::Manner;
use crate::state::{look, objects, variables};
use crate::{native, progress, sink};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use traincheck_schema::record::{Event, EventKind, ObjectKind, Role, Stage, flags, look as bits};

/// A user function called more often than this in one iteration is no longer recorded.
const MAX_CALLS_PER_ITERATION: u32 = 64;
/// What must be left of a thread's stack for the hook to stay in: without it the interpreter needs less.
const STACK_RESERVE: usize = 1 << 20;

static ON: AtomicBool = AtomicBool::new(false);
static EXTRA: AtomicIsize = AtomicIsize::new(-1);
/// Below this address the stack of the thread that armed the agent is nearly used up. Stacks of other threads lie
/// below it altogether: those look up their own.
static STACK_FLOOR: AtomicUsize = AtomicUsize::new(0);

/// Puts the hook in.
///
/// # Safety
/// The GIL is held; `code::Codes` and `names` are installed; the layout of frames and code objects is proven.
pub unsafe fn install(python: &Python) -> Result<(), String> {
    // SAFETY: the caller's word.
    unsafe {
        let extra = code::Codes::extra_index();
        if extra < 0 {
            return Err("no slot for extra data of code objects".to_owned());
        }
        let interpreter = (python.interpreter)();
        if interpreter != (python.main_interpreter)() {
            return Err("torch was imported in a subinterpreter".to_owned());
        }
        if (python.get_eval_frame)(interpreter) as usize != python.eval_frame_default as usize {
            return Err("another frame evaluator is installed already".to_owned());
        }
        EXTRA.store(extra, Ordering::Relaxed);
        STACK_FLOOR.store(stack_floor(), Ordering::Relaxed);
        ON.store(true, Ordering::Release);
        (python.set_eval_frame)(interpreter, evaluate);
    }
    Ok(())
}

/// Takes the hook out, so that nothing of its cost remains.
///
/// # Safety
/// The GIL is held, or no other thread exists (a fork's child).
pub unsafe fn remove(python: &Python) {
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

/// Takes the hook out in a forked child: a few stores into its own memory, whoever held the GIL at the fork. There
/// is no other thread.
pub fn leave_child() {
    if let Some(python) = Python::loaded() {
        // SAFETY: no other thread exists in the child, so nothing else touches the interpreter's evaluator.
        unsafe { remove(python) };
    }
}

/// See the module. The signature is CPython's.
///
/// # Safety
/// Called by the interpreter, after [`install`].
pub unsafe extern "C-unwind" fn evaluate(thread: *mut c_void, frame: *mut Frame, throw: c_int) -> Object {
    // SAFETY: the interpreter calls with a live frame and the GIL held, after `install`, which needs `Python`.
    unsafe {
        let Some(python) = Python::loaded() else { return std::ptr::null_mut() };
        let marker = 0u8;
        if (&raw const marker as usize) < STACK_FLOOR.load(Ordering::Relaxed)
            && is_deep(&raw const marker as usize)
        {
            return step_aside(python, thread, frame, throw);
        }
        let extra = EXTRA.load(Ordering::Relaxed);
        match code::info(python, (*frame).code, (*frame).globals, extra) {
            // A frame into which an exception is thrown is a generator's that goes on; it has been recorded.
            Some(info) if info.rule.is_some() && throw == 0 && !info.thinned.get() => {
                record(python, thread, frame, info)
            }
            _ => (python.eval_frame_default)(thread, frame, throw),
        }
    }
}

/// A recorded call, between its entry and its return.
struct Entered {
    event: Event,
    function: &'static Function,
    /// `self`, with a reference of the agent's where it is needed at the return.
    this: Object,
    owns_this: bool,
    outermost: bool,
}

#[inline(never)]
unsafe fn record(python: &Python, thread: *mut c_void, frame: *mut Frame, info: &'static CodeInfo) -> Object {
    // SAFETY: `evaluate`'s contract.
    unsafe {
        let entered = guarded(python, || enter(python, frame::current(thread), &*frame, info)).flatten();
        let result = (python.eval_frame_default)(thread, frame, 0);
        if let Some(entered) = entered {
            let (this, owns_this) = (entered.this, entered.owns_this);
            guarded(python, || leave(python, entered, result));
            if owns_this {
                (python.dec_ref)(this);
            }
        }
        result
    }
}

/// Runs a step of the hook; a panic in it switches the hook off.
unsafe fn guarded<R>(python: &Python, step: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => Some(result),
        Err(_) => {
            // SAFETY: `record`'s contract: the GIL is held.
            unsafe { remove(python) };
            calls::current().busy = false;
            sink::note_hook_off("python calls", "an internal error");
            None
        }
    }
}

unsafe fn enter(
    python: &Python,
    caller: *const Frame,
    frame: &Frame,
    info: &'static CodeInfo,
) -> Option<Entered> {
    let calls = calls::current();
    if calls.busy || sink::is_inert() {
        return None;
    }
    // SAFETY: `record`'s contract: a live frame at its entry, the GIL held. `busy` keeps the hook out of whatever
    // Python code the calls below could run.
    unsafe {
        let this = frame.first_argument(python);
        let function = names::function(python, info, this)?;
        let identity = std::ptr::from_ref(info) as usize;
        match function.manner {
            Manner::NoRecursion if calls.innermost().code == identity => return None,
            Manner::Disarm => {
                remove(python);
                return None;
            }
            _ => {}
        }
        let (site, from_user) = names::site(python, caller, EXTRA.load(Ordering::Relaxed));
        if function.manner == Manner::FromUserCode && !from_user {
            return None;
        }
        if function.role == Role::User && is_called_too_often(info, function) {
            return None;
        }

        calls.busy = true;
        let mut modes = native::modes();
        let outermost = is_outermost(function.role, calls);
        let mut object = 0;
        match (function.role, function.object) {
            (Role::ModuleCall, _) => {
                let training = variables::is_training(python, this);
                modes |= if training { flags::MODULE_TRAIN } else { flags::MODULE_EVAL };
                if outermost {
                    modes |= flags::OUTERMOST;
                    outermost_module_called(python, this, site, modes, calls);
                }
                object = variables::module_object(this);
            }
            (Role::ModeChange | Role::LoadState, Some(ObjectKind::Module)) => {
                if calls.modules == 0 && calls.constructions == 0 && calls.mode_changes == 0 {
                    variables::add_root(python, this);
                }
                object = variables::module_object(this);
            }
            (_, Some(ObjectKind::Module)) => object = variables::module_object(this),
            (Role::LoaderNext, _) => object = objects::loader_of(this),
            (_, Some(_)) => object = objects::id_of(python, this),
            _ => {}
        }
        if function.role == Role::OptimizerInit {
            crate::start_recording();
        }
        if calls.constructions > 0 {
            modes |= flags::IN_INIT;
        }
        let parent = calls.innermost().call;
        let mut event = Event {
            call: sink::next_call(),
            parent,
            name: function.name,
            site,
            object,
            ..progress::event(EventKind::Enter)
        };
        event.flags |= modes;
        if !calls.enter(Open { call: event.call, code: identity, site }) {
            calls.busy = false;
            return None;
        }
        sink::emit(&event);
        count(function.role, calls, true);
        let keeps = wants_self_at_return(function);
        if keeps && !this.is_null() {
            (python.inc_ref)(this);
        }
        match function.role {
            Role::Save => progress::set_stage_after_init(Stage::Checkpointing, calls),
            Role::OptimizerStep if outermost && look::wants_entry_look() => {
                look::look(python, &event, bits::PARAMETERS | bits::AT_ENTRY);
            }
            _ => {}
        }
        calls.busy = false;
        Some(Entered { event, function, this, owns_this: keeps && !this.is_null(), outermost })
    }
}

unsafe fn leave(python: &Python, entered: Entered, result: Object) {
    let Entered { event: begun, function, this, outermost, .. } = entered;
    let calls = calls::current();
    let now = progress::event(EventKind::Exit);
    let raised = if result.is_null() { flags::RAISED } else { 0 };
    calls.leave();
    count(function.role, calls, false);
    sink::emit(&Event {
        kind: EventKind::Exit as u8,
        time: now.time,
        stage: now.stage,
        iteration: now.iteration,
        step: now.step,
        flags: begun.flags | raised,
        ..begun
    });
    if function.role == Role::Save {
        progress::set_stage_after_init(Stage::try_from(begun.stage).unwrap_or_default(), calls);
    }
    // With an exception set, no function of the C API may be called.
    if result.is_null() || sink::is_inert() {
        return;
    }
    calls.busy = true;
    // SAFETY: `record`'s contract: the GIL is held, no exception is set, `this` is kept alive by `enter`.
    unsafe { returned(python, &begun, function, this, outermost, result, calls) };
    calls.busy = false;
}

/// What follows from a call that returned.
unsafe fn returned(
    python: &Python,
    begun: &Event,
    function: &Function,
    this: Object,
    outermost: bool,
    result: Object,
    calls: &mut Calls,
) {
    // SAFETY: `leave`'s contract.
    unsafe {
        let mut what = 0;
        match function.role {
            Role::Backward if outermost => {
                progress::backward_returned(calls);
                look::backward_returned();
                what = bits::GRADIENTS;
            }
            Role::OptimizerStep if outermost => {
                progress::optimizer_stepped();
                what = bits::PARAMETERS | bits::BUFFERS | bits::HYPERPARAMETERS;
            }
            Role::ZeroGrad if calls.optimizer_steps == 0 && progress::is_sampled() => what = bits::GRADIENTS,
            Role::ClipGrad if progress::is_sampled() => what = bits::GRADIENTS,
            Role::SchedulerStep if calls.constructions == 0 => what = bits::HYPERPARAMETERS,
            Role::ModeChange if outermost => {
                if variables::is_root(this) {
                    let stage = if variables::is_training(python, this) {
                        Stage::Training
                    } else {
                        Stage::Evaluation
                    };
                    progress::set_stage_after_init(stage, calls);
                }
                what = bits::PARAMETERS | bits::BUFFERS;
            }
            Role::LoadState => what = bits::PARAMETERS | bits::BUFFERS,
            Role::OptimizerInit if calls.constructions == 0 => {
                objects::constructed(python, this, ObjectKind::Optimizer, calls);
            }
            Role::SchedulerInit if calls.constructions == 0 => {
                objects::constructed(python, this, ObjectKind::Scheduler, calls);
            }
            Role::LoaderInit => objects::constructed(python, this, ObjectKind::Loader, calls),
            Role::LoaderIter => objects::loader_passes(python, result, begun.object),
            Role::Other if function.object == Some(ObjectKind::Scaler) => {
                objects::constructed(python, this, ObjectKind::Scaler, calls);
            }
            // A function in which several iterations began is the user's loop.
            Role::User if progress::iteration() >= begun.iteration + 2 => {
                what = bits::PARAMETERS | bits::BUFFERS
            }
            _ => {}
        }
        if what != 0 && sink::is_started() {
            look::look(python, begun, what);
        }
    }
}

/// An outermost module call: roots are found here, iterations begin here.
unsafe fn outermost_module_called(python: &Python, module: Object, site: u32, modes: u16, calls: &mut Calls) {
    // SAFETY: `enter`'s contract.
    unsafe {
        let with_gradients = modes & (flags::GRAD | flags::INFERENCE) == flags::GRAD;
        if with_gradients {
            crate::start_recording();
        }
        variables::add_root(python, module);
        if !with_gradients {
            progress::set_stage_after_init(Stage::Evaluation, calls);
        } else if variables::has_variables(module) {
            look::iteration_may_begin(python, calls);
            if progress::module_called(site, calls) {
                native::record_all_ops(progress::is_sampled());
            }
        }
    }
}

fn is_outermost(role: Role, calls: &Calls) -> bool {
    match role {
        Role::ModuleCall => calls.modules == 0,
        Role::Backward => calls.backwards == 0,
        Role::OptimizerStep => calls.optimizer_steps == 0,
        Role::ModeChange => calls.mode_changes == 0,
        _ => true,
    }
}

fn count(role: Role, calls: &mut Calls, enters: bool) {
    let counter = match role {
        Role::ModuleCall => &mut calls.modules,
        Role::Backward => &mut calls.backwards,
        Role::OptimizerStep => &mut calls.optimizer_steps,
        Role::ModeChange => &mut calls.mode_changes,
        Role::OptimizerInit | Role::SchedulerInit | Role::LoaderInit => &mut calls.constructions,
        _ => return,
    };
    *counter = if enters { *counter + 1 } else { counter.saturating_sub(1) };
    if role == Role::OptimizerStep && *counter == 0 {
        calls.iteration_in_step = false;
    }
}

fn wants_self_at_return(function: &Function) -> bool {
    matches!(function.role, Role::OptimizerInit | Role::SchedulerInit | Role::LoaderInit | Role::ModeChange)
        || function.object == Some(ObjectKind::Scaler)
}

/// Counts a call of a user function; true from where it is no longer recorded.
fn is_called_too_often(info: &CodeInfo, function: &Function) -> bool {
    let iteration = progress::iteration();
    if info.counted_in.replace(iteration) != iteration {
        info.calls.set(0);
    }
    info.calls.set(info.calls.get() + 1);
    let too_often = info.calls.get() > MAX_CALLS_PER_ITERATION;
    if too_often {
        info.thinned.set(true);
        let enclosing = calls::current().innermost().call;
        sink::emit(&Event {
            call: enclosing,
            parent: enclosing,
            name: function.name,
            value: u64::from(info.calls.get() - 1),
            ..progress::event(EventKind::Thinned)
        });
    }
    too_often
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
    if calls.stack_floor == 0 {
        calls.stack_floor = stack_floor();
    }
    address < calls.stack_floor
}

/// With a frame evaluator installed every Python call needs C stack, without one it does not: where little is left,
/// the hook is out while this frame runs, so that a deep recursion ends as it would have without the agent.
#[cold]
unsafe fn step_aside(python: &Python, thread: *mut c_void, frame: *mut Frame, throw: c_int) -> Object {
    // SAFETY: `evaluate`'s contract.
    unsafe {
        let was_on = ON.load(Ordering::Relaxed);
        remove(python);
        if was_on && !sink::is_inert() {
            sink::note_hook_off("python calls in deep recursion", "the thread's stack was nearly used up");
        }
        let result = (python.eval_frame_default)(thread, frame, throw);
        if was_on && !sink::is_inert() && !ON.swap(true, Ordering::AcqRel) {
            (python.set_eval_frame)((python.main_interpreter)(), evaluate);
        }
        result
    }
}
