//! Ops, autograd nodes and user scopes of libtorch, by its RecordFunction callbacks.
//!
//! User scopes (`Optimizer.step#AdamW.step`, data loaders, collectives) are recorded always, everything else while
//! [`all_ops`] is on. The callbacks run on any thread, with or without the GIL, and never touch Python.
//!
//! libtorch copies the pairs of callbacks into each function it records when that begins. So a function whose
//! beginning was seen has its end seen too, also if the callbacks were disabled meanwhile, and none else.

mod open_ops;
mod proof;
pub mod sources;

use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use traincheck_schema::record::EventKind;

use crate::hooks::hook::{FAILED, Hook};
use crate::libtorch::library::{Callback, Libtorch, RecordFunction};
use crate::libtorch::proven;
use crate::sink;
use crate::sink::cost::{self, Timer};
use crate::training::{budget, calls, iterations};
use open_ops::Op;
pub use proof::{KNOWN_SCOPE, Proven, prove};

/// `at::RecordScope::FUNCTION`: ops, and the engine's evaluation of autograd nodes.
const FUNCTION: u8 = 0;
/// `at::RecordScope::BACKWARD_FUNCTION`: autograd nodes.
const BACKWARD_FUNCTION: u8 = 1;
/// `at::RecordScope::USER_SCOPE`.
const USER_SCOPE: u8 = 7;

struct Installed {
    functions: RecordFunction,
    /// Handle of the callback for user scopes, where they were proven.
    scopes: Option<u64>,
    /// Handles of the callbacks for ops and for autograd nodes, where they were proven.
    all_ops: [Option<u64>; 2],
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();
/// Whether `all_ops` are wanted.
static ALL_OPS: AtomicBool = AtomicBool::new(false);
/// Switched off for good.
static OFF: AtomicBool = AtomicBool::new(false);

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
    let (scopes, all_ops) = unsafe {
        let scopes = Callback::new(start::<USER_SCOPE>, end::<USER_SCOPE>, USER_SCOPE);
        let scopes = proven.scopes.is_ok().then(|| (functions.add)(scopes));
        let add_disabled = |callback: Callback| {
            let handle = (functions.add)(callback);
            (functions.disable)(handle);
            handle
        };
        let ops = Callback::new(start::<FUNCTION>, end::<FUNCTION>, FUNCTION);
        let nodes = Callback::new(start::<BACKWARD_FUNCTION>, end::<BACKWARD_FUNCTION>, BACKWARD_FUNCTION);
        let ops = proven.ops.is_ok().then(|| add_disabled(ops));
        (scopes, [ops, proven.nodes().is_ok().then(|| add_disabled(nodes))])
    };
    let _ = INSTALLED.set(Installed { functions, scopes, all_ops });
    Ok(())
}

/// Nothing is called any more for what begins from here on, for good. False: so it was already.
pub fn switch_off() -> bool {
    let Some(installed) = INSTALLED.get() else { return false };
    if OFF.swap(true, Ordering::Relaxed) {
        return false;
    }
    for handle in installed.all_ops.into_iter().chain([installed.scopes]).flatten() {
        // SAFETY: the handle exists as long as the process; libtorch takes a lock of its own, which it does not hold while
        // it calls back. In a forked child it is free as well, unless another thread of the parent was just changing
        // callbacks, or taking notice of a change: whatever takes notice of one in the child would wait for it too.
        unsafe { (installed.functions.disable)(handle) };
    }
    true
}

/// Whether every op and autograd node that begins from here on is recorded. Does nothing before [`install`].
pub fn all_ops(on: bool) {
    let Some(installed) = INSTALLED.get() else { return };
    if OFF.load(Ordering::Relaxed) || ALL_OPS.swap(on, Ordering::Relaxed) == on {
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

/// Runs the body of a callback: not where nothing is recorded, which is the last that is called there, and never a second
/// time after a panic.
#[inline]
fn guarded(body: impl FnOnce(&Installed)) {
    if sink::is_inert() || OFF.load(Ordering::Relaxed) {
        if sink::goes_on_unrecorded() {
            switch_off();
        }
        return;
    }
    let Some(installed) = INSTALLED.get() else { return };
    if catch_unwind(AssertUnwindSafe(|| body(installed))).is_err() && switch_off() {
        for hook in [Hook::UserScopes, Hook::Ops, Hook::AutogradNodes] {
            hook.is_lost(FAILED);
        }
    }
}
