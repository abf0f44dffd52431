//! Ops, autograd nodes and user scopes of libtorch, by its RecordFunction callbacks.
//!
//! User scopes (`Optimizer.step#AdamW.step`, data loaders, collectives) are recorded always, everything else while
//! [`all_ops`] is on. The callbacks run on any thread, with or without the GIL, and never touch Python.
//!
//! libtorch copies the pairs of callbacks into each function it records when that begins. So a function whose
//! beginning was seen has its end seen too, also if the callbacks were disabled meanwhile, and none else.

mod open_ops;
pub mod sources;

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use traincheck_schema::record::EventKind;

use crate::hooks::hook::Hook;
use crate::libtorch::library::{Callback, Libtorch, RecordFunction};
use crate::libtorch::proven;
use crate::sink;
use crate::sink::cost::{self, Timer};
use crate::training::{budget, calls, iterations};
use open_ops::Op;

/// `at::RecordScope::FUNCTION`: ops, and the engine's evaluation of autograd nodes.
const FUNCTION: u8 = 0;
/// `at::RecordScope::BACKWARD_FUNCTION`: autograd nodes.
const BACKWARD_FUNCTION: u8 = 1;
/// `at::RecordScope::USER_SCOPE`.
const USER_SCOPE: u8 = 7;

struct Installed {
    functions: RecordFunction,
    /// Handles of the callbacks for ops and for autograd nodes, where they were proven.
    all_ops: [Option<u64>; 2],
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();
/// Whether `all_ops` are wanted.
static ALL_OPS: AtomicBool = AtomicBool::new(false);
/// A callback panicked: nothing is recorded any more.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// Records user scopes from here on, and what [`all_ops`] asks for, as far as it was proven.
///
/// # Safety
/// [`prove`] gave `proven` for the same library.
pub unsafe fn install(library: &Libtorch, proven: &Proven) -> Result<(), String> {
    let functions = library.record_function.clone()?;
    if INSTALLED.get().is_some() {
        return Ok(());
    }
    open_ops::boot()?;
    // SAFETY: the layout of the callback was proven. The callbacks for all ops are disabled before anything can
    // depend on them; disabling takes the same path as enabling and throws nothing for a handle that exists.
    let all_ops = unsafe {
        if proven.scopes.is_ok() {
            (functions.add)(callback(start::<USER_SCOPE>, end::<USER_SCOPE>, USER_SCOPE));
        }
        let add_disabled = |callback: Callback| {
            let handle = (functions.add)(callback);
            (functions.disable)(handle);
            handle
        };
        let ops = callback(start::<FUNCTION>, end::<FUNCTION>, FUNCTION);
        let nodes = callback(start::<BACKWARD_FUNCTION>, end::<BACKWARD_FUNCTION>, BACKWARD_FUNCTION);
        [proven.ops.is_ok().then(|| add_disabled(ops)), proven.nodes().is_ok().then(|| add_disabled(nodes))]
    };
    let _ = INSTALLED.set(Installed { functions, all_ops });
    Ok(())
}

/// Whether every op and autograd node that begins from here on is recorded. Does nothing before [`install`].
pub fn all_ops(on: bool) {
    let Some(installed) = INSTALLED.get() else { return };
    if ALL_OPS.swap(on, Ordering::Relaxed) == on {
        return;
    }
    for handle in installed.all_ops.into_iter().flatten() {
        // SAFETY: the handle exists as long as the process; libtorch takes a lock of its own.
        unsafe {
            if on {
                (installed.functions.enable)(handle);
            } else {
                (installed.functions.disable)(handle);
            }
        }
    }
}

type Start = unsafe extern "C-unwind" fn(*mut *mut c_void, *const c_void) -> *mut *mut c_void;
type End = unsafe extern "C-unwind" fn(*const c_void, *mut c_void);

fn callback(start: Start, end: End, scope: u8) -> Callback {
    let mut scopes = [false; 10];
    scopes[usize::from(scope)] = true;
    Callback {
        start,
        end,
        probability: 1.0,
        scopes,
        needs_inputs: false,
        needs_outputs: false,
        needs_ids: false,
    }
}

/// # Safety
/// Called by libtorch: `context` is where to write the context to, `function` the `at::RecordFunction`.
unsafe extern "C-unwind" fn start<const SCOPE: u8>(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    // SAFETY: libtorch gives room for the pointer that it expects. No context is made: what the end needs is
    // kept here.
    unsafe { context.write(ptr::null_mut()) };
    guarded(|installed| {
        if calls::current().busy.get() {
            return;
        }
        // SAFETY: the function is being recorded; its name is a C string that lives until it ends.
        let (name, is_async) = unsafe {
            let name = (installed.functions.name)(function);
            let name: &[u8] = if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() };
            (name, (installed.functions.is_async)(function))
        };
        if SCOPE == USER_SCOPE && budget::scope_began(name) {
            return;
        }
        let mut event = iterations::event(EventKind::OpEnter);
        let modes = proven::modes();
        event.flags |= modes.flags;
        event.context = modes.context();
        event.name = sink::op(name, SCOPE);
        event.call = sink::next_call();
        let timer = Timer::sampled(event.call);
        // Calls are numbered in order, so of two that are open in one thread the later is the inner one.
        event.parent = calls::current().innermost().call.max(open_ops::innermost());
        open_ops::enter(
            Op { function: function as usize, call: event.call, parent: event.parent, name: event.name },
            // What may end in another thread is found by its address, from every thread.
            if is_async {
                open_ops::Ending::Anywhere
            } else if SCOPE == USER_SCOPE {
                open_ops::Ending::HereOrElsewhere
            } else {
                open_ops::Ending::Here
            },
        );
        sink::emit(&event);
        if let Some(timer) = timer {
            timer.end_sampled(&cost::OPS);
        }
    });
    context
}

/// # Safety
/// Called by libtorch with a function that [`start`] was called with.
unsafe extern "C-unwind" fn end<const SCOPE: u8>(function: *const c_void, _context: *mut c_void) {
    guarded(|_| {
        let Some(op) = open_ops::leave(function as usize) else { return };
        let timer = Timer::sampled(op.call);
        let mut event = iterations::event(EventKind::OpExit);
        let modes = proven::modes();
        event.flags |= modes.flags;
        event.context = modes.context();
        event.name = op.name;
        event.call = op.call;
        event.parent = op.parent;
        sink::emit(&event);
        if let Some(timer) = timer {
            timer.end_sampled(&cost::OPS);
        }
    });
}

/// Runs the body of a callback: not where nothing is recorded, never a second time after a panic.
#[inline]
fn guarded(body: impl FnOnce(&Installed)) {
    if sink::is_inert() || BROKEN.load(Ordering::Relaxed) {
        return;
    }
    let Some(installed) = INSTALLED.get() else { return };
    if catch_unwind(AssertUnwindSafe(|| body(installed))).is_err() && !BROKEN.swap(true, Ordering::Relaxed) {
        for hook in [Hook::UserScopes, Hook::Ops, Hook::AutogradNodes] {
            hook.is_lost("a callback failed; this is a defect of traincheck");
        }
    }
}

/// What was proven of the callbacks; of what was not, why.
#[derive(Debug)]
pub struct Proven {
    /// Ops.
    pub ops: Result<(), String>,
    /// User scopes.
    pub scopes: Result<(), String>,
}

impl Proven {
    /// Autograd nodes. No backward is run for a proof: it would start the threads of the engine. Their scope lies
    /// between the two that are proven, so it is where it was if both are.
    pub fn nodes(&self) -> Result<(), String> {
        self.ops.clone().and_then(|()| self.scopes.clone())
    }

    fn nothing(why: &str) -> Proven {
        Proven { ops: Err(why.to_owned()), scopes: Err(why.to_owned()) }
    }
}

/// The name of the user scope that the proof has to see.
pub const KNOWN_SCOPE: &CStr = c"traincheck: a known scope";

/// What the callbacks of a proof use and see.
struct Probe {
    functions: RecordFunction,
    arange: AtomicU32,
    add: AtomicU32,
    /// Of functions.
    begun: AtomicU32,
    ended: AtomicU32,
    scope: AtomicU32,
    /// Of user scopes.
    scopes_ended: AtomicU32,
    /// Ops that were announced as user scopes, and the known scope where it was announced as an op.
    misplaced: AtomicU32,
}

/// That of the proof that is being made. Callbacks may yet run in other threads when it is over, so it is never freed.
static PROBE: AtomicPtr<Probe> = AtomicPtr::new(ptr::null_mut());

/// Proves that callbacks are laid out and called as this file believes: while `run_known` runs `torch.arange(4) + 1`
/// and a user scope called [`KNOWN_SCOPE`], the ops and the scope have to be seen by their names, each with an end,
/// and neither as the other.
///
/// # Safety
/// The library's symbols are what their names say. `run_known` may run Python code.
pub unsafe fn prove(library: &Libtorch, run_known: impl FnOnce()) -> Proven {
    if !cfg!(target_arch = "x86_64") {
        return Proven::nothing("the calling convention for C++ objects on this processor is not known");
    }
    match &library.record_function {
        // SAFETY: the caller's word.
        Ok(functions) => unsafe { prove_callbacks(*functions, run_known) },
        Err(why) => Proven::nothing(why),
    }
}

/// # Safety
/// As for [`prove`].
unsafe fn prove_callbacks(functions: RecordFunction, run_known: impl FnOnce()) -> Proven {
    let new = || AtomicU32::new(0);
    let probe: &'static Probe = Box::leak(Box::new(Probe {
        functions,
        arange: new(),
        add: new(),
        begun: new(),
        ended: new(),
        scope: new(),
        scopes_ended: new(),
        misplaced: new(),
    }));
    PROBE.store(ptr::from_ref(probe).cast_mut(), Ordering::Release);
    // SAFETY: the struct is passed as the x86-64 C++ ABI passes a trivially copyable class of its size, in memory.
    // Should its fields lie otherwise in this version, the probes are called for other scopes, or not at all.
    unsafe {
        let ops = (functions.add)(callback(probe_start::<FUNCTION>, probe_end::<FUNCTION>, FUNCTION));
        let scopes =
            (functions.add)(callback(probe_start::<USER_SCOPE>, probe_end::<USER_SCOPE>, USER_SCOPE));
        run_known();
        (functions.remove)(ops);
        (functions.remove)(scopes);
    }
    let count = |counter: &AtomicU32| counter.load(Ordering::Acquire);
    if count(&probe.misplaced) != 0 {
        return Proven::nothing("ops and user scopes are not told apart");
    }
    let ops = if count(&probe.arange) == 0 || count(&probe.add) == 0 {
        Err("known ops were not seen by their names".to_owned())
    } else if count(&probe.ended) < 2 || count(&probe.ended) > count(&probe.begun) {
        Err("known ops began and did not end".to_owned())
    } else {
        Ok(())
    };
    let scopes = if count(&probe.scope) == 0 {
        Err("a known user scope was not seen by its name".to_owned())
    } else if count(&probe.scopes_ended) == 0 {
        Err("a known user scope began and did not end".to_owned())
    } else {
        Ok(())
    };
    Proven { ops, scopes }
}

fn probe() -> Option<&'static Probe> {
    // SAFETY: null or a box that was leaked.
    unsafe { PROBE.load(Ordering::Acquire).as_ref() }
}

/// # Safety
/// As for [`start`].
unsafe extern "C-unwind" fn probe_start<const SCOPE: u8>(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    // SAFETY: as in `start`.
    unsafe { context.write(ptr::null_mut()) };
    if let Some(probe) = probe() {
        // SAFETY: as in `start`.
        let name = unsafe { (probe.functions.name)(function) };
        // SAFETY: as in `start`.
        let name = if name.is_null() { c"" } else { unsafe { CStr::from_ptr(name) } };
        let count = |counter: &AtomicU32, seen: bool| counter.fetch_add(u32::from(seen), Ordering::AcqRel);
        if SCOPE == FUNCTION {
            count(&probe.begun, true);
            count(&probe.arange, name == c"aten::arange");
            count(&probe.add, name == c"aten::add");
            count(&probe.misplaced, name == KNOWN_SCOPE);
        } else {
            count(&probe.scope, name == KNOWN_SCOPE);
            count(&probe.misplaced, name.to_bytes().starts_with(b"aten::"));
        }
    }
    context
}

unsafe extern "C-unwind" fn probe_end<const SCOPE: u8>(_function: *const c_void, _context: *mut c_void) {
    if let Some(probe) = probe() {
        let ended = if SCOPE == FUNCTION { &probe.ended } else { &probe.scopes_ended };
        ended.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
