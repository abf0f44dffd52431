//! What fills parameters in place before the first iteration: `torch.nn.init`, `p.data.normal_()` and the like, as ops
//! with the tensors that they are given. Switched off for good when the first iteration begins, or after more ops than
//! any initialisation has.

use super::hook::{FAILED, Hook};
use super::source::{Job, Need, Source};
use crate::base::memory::Mapped;
use crate::interpreter::api::Python;
use crate::libtorch::library::{Callback, End, RecordFunction, Start};
use crate::libtorch::proven;
use crate::libtorch::tensor::TensorRef;
use crate::sink;
use crate::state::fills::{self, Fill};
use crate::training::calls;
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The ops that fill a tensor in place, sorted.
const FILLS: &[&[u8]] = &[
    b"aten::bernoulli_",
    b"aten::cauchy_",
    b"aten::copy_",
    b"aten::exponential_",
    b"aten::fill_",
    b"aten::geometric_",
    b"aten::log_normal_",
    b"aten::normal_",
    b"aten::random_",
    b"aten::uniform_",
    b"aten::zero_",
];
/// A process that runs more ops and trains nothing will not begin to.
const MOST_OPS: u32 = 1 << 18;
/// How far into an `at::RecordFunction` the inputs are looked for, in bytes.
const REACH: usize = 512;
/// What follows the content of a `c10::IValue` that is a tensor.
const IS_TENSOR: u32 = 1;

/// `at::RecordScope::FUNCTION`: ops.
const FUNCTION: u8 = 0;

/// For ops, with their inputs.
fn callback(start: Start, end: End) -> Callback {
    let mut callback = Callback::new(start, end, FUNCTION);
    callback.needs_inputs = true;
    callback
}

/// The hook.
pub struct Fills;

struct Installed {
    functions: RecordFunction,
    handle: u64,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();
/// Where an `at::RecordFunction` keeps its inputs: their address, then their number. 0: not found.
static INPUTS: AtomicUsize = AtomicUsize::new(0);
static OPS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Ops that are open in this thread: one inside another is part of what that one does.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

impl Source for Fills {
    fn hook(&self) -> Hook {
        Hook::Fills
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Libtorch, Need::Ops]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        let library = job.library()?;
        let functions = library.record_function.clone()?;
        // SAFETY: the caller's word; the function of the namespace fills a tensor of the agent's own.
        unsafe {
            KNOWN.store(job.get(c"filled") as usize, Ordering::Relaxed);
            PLAIN_CLASS.store(library.tensors.clone()?.plain_class, Ordering::Relaxed);
            let _ = PROBED.set(functions);
            let handle = (functions.add)(callback(probe, ended));
            job.call(job.get(c"known_fill"));
            (functions.remove)(handle);
        }
        match INPUTS.load(Ordering::Relaxed) {
            0 => Err("where an op keeps its inputs was not found".to_owned()),
            _ => Ok(()),
        }
    }

    unsafe fn install(&self, job: &Job) -> Result<&'static str, String> {
        let library = job.library()?;
        if proven::tensors().is_none() {
            return Err("tensors cannot be read".to_owned());
        }
        let functions = library.record_function.clone()?;
        // SAFETY: the layout of callbacks and of inputs was proven.
        let handle = unsafe { (functions.add)(callback(start, end)) };
        let _ = INSTALLED.set(Installed { functions, handle });
        fills::see(true);
        Ok("inputs of RecordFunction, until the first iteration")
    }

    fn init_has_ended(&self) {
        switch_off();
    }

    unsafe fn remove(&self, _: &Python) {
        switch_off();
    }
}

/// Nothing is called any more for what begins from here on.
fn switch_off() {
    if let Some(installed) = INSTALLED.get()
        && fills::are_seen()
    {
        fills::see(false);
        // SAFETY: the handle exists as long as the process; libtorch takes a lock of its own, which it does not hold
        // while it calls back. See `record_function::switch_off` for forked children.
        unsafe { (installed.functions.disable)(installed.handle) };
    }
}

/// The same, and says why.
#[cold]
fn give_up(why: &str) {
    switch_off();
    Hook::Fills.is_off(why);
}

/// # Safety
/// Called by libtorch: `context` is where to write the context to, `function` the `at::RecordFunction`.
unsafe extern "C-unwind" fn start(context: *mut *mut c_void, function: *const c_void) -> *mut *mut c_void {
    // SAFETY: libtorch gives room for the pointer that it expects.
    unsafe { context.write(std::ptr::null_mut()) };
    let outermost = DEPTH.with(|depth| depth.replace(depth.get().saturating_add(1))) == 0;
    if outermost && fills::are_seen() {
        if sink::goes_on_unrecorded() {
            switch_off();
        } else if !sink::is_inert() {
            // SAFETY: the function is being recorded.
            let seen = catch_unwind(AssertUnwindSafe(|| unsafe { begins(function) }));
            if seen.is_err() {
                give_up(FAILED);
            } else if OPS.fetch_add(1, Ordering::Relaxed) >= MOST_OPS {
                give_up(&format!("there were more than {MOST_OPS} ops before the first iteration"));
            }
        }
    }
    context
}

/// # Safety
/// Called by libtorch with a function that [`start`] was called with.
unsafe extern "C-unwind" fn end(_function: *const c_void, _context: *mut c_void) {
    DEPTH.with(|depth| depth.set(depth.get().saturating_sub(1)));
}

/// An op begins that is in no other.
unsafe fn begins(function: *const c_void) {
    let Some(installed) = INSTALLED.get() else { return };
    // SAFETY: `start`'s contract: the name is a C string, and the inputs lie where they were proven to, while the
    // function begins. The tensors among them live as long.
    unsafe {
        let name = (installed.functions.name)(function);
        let name: &[u8] = if name.is_null() { b"" } else { CStr::from_ptr(name).to_bytes() };
        // Nearly all ops are others.
        if FILLS.binary_search(&name).is_err() {
            return;
        }
        let calls = calls::current();
        let Some(tensors) = proven::tensors().filter(|_| !calls.busy.get()) else { return };
        let Some(tensor) = first_input(function) else { return };
        let innermost = calls.innermost();
        let by = match calls.filled_by.get() {
            0 => sink::op(name, FUNCTION),
            by => by,
        };
        let storage = tensors.storage_id(TensorRef::at(tensor));
        fills::filled(tensor, storage, Fill { by, call: innermost.call, site: innermost.site });
    }
}

/// The address of the tensor that is the first input; `None`: there is none, or it is no tensor.
unsafe fn first_input(function: *const c_void) -> Option<usize> {
    // SAFETY: `begins`' contract.
    unsafe {
        let inputs = function.cast::<u8>().add(INPUTS.load(Ordering::Relaxed)).cast::<usize>();
        let (values, count) = (inputs.read(), inputs.add(1).read());
        if values == 0 || count == 0 {
            return None;
        }
        let value = values as *const usize;
        let tensor = value.read();
        (value.add(1).cast::<u32>().read() == IS_TENSOR && tensor != 0).then_some(tensor)
    }
}

/// The Python object of the tensor that the proof fills.
static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// What the first word of a tensor points to.
static PLAIN_CLASS: AtomicUsize = AtomicUsize::new(0);
static PROBED: OnceLock<RecordFunction> = OnceLock::new();

/// # Safety
/// As for [`start`].
unsafe extern "C-unwind" fn probe(context: *mut *mut c_void, function: *const c_void) -> *mut *mut c_void {
    // SAFETY: as in `start`.
    unsafe { context.write(std::ptr::null_mut()) };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Some(functions) = PROBED.get() else { return };
        // SAFETY: as in `start`.
        let name = unsafe { (functions.name)(function) };
        // SAFETY: as in `start`.
        if !name.is_null() && unsafe { CStr::from_ptr(name) } == c"aten::fill_" {
            INPUTS.store(find_inputs(function as usize).unwrap_or(0), Ordering::Relaxed);
        }
    }));
    context
}

unsafe extern "C-unwind" fn ended(_function: *const c_void, _context: *mut c_void) {}

/// Where the function keeps the inputs of the known fill: a tensor, which is the known one, and what it is filled with.
fn find_inputs(function: usize) -> Option<usize> {
    let mapped = Mapped::now();
    // SAFETY: what is read lies on the stack, or in objects that live while the op begins: it stays mapped. Any bits make
    // a number.
    let word = |address: usize| unsafe { mapped.read::<usize>(address) };
    let known = KNOWN.load(Ordering::Relaxed);
    let is_known = |tensor: usize| {
        word(tensor) == Some(PLAIN_CLASS.load(Ordering::Relaxed))
            && (16..=32).step_by(8).any(|offset| word(known + offset) == Some(tensor))
    };
    let mut found = (size_of::<usize>()..REACH).step_by(size_of::<usize>()).filter(|offset| {
        let (values, count) = (word(function + offset), word(function + offset + size_of::<usize>()));
        count == Some(2)
            && values.is_some_and(|values| {
                // SAFETY: as above.
                let tag = unsafe { mapped.read::<u32>(values.wrapping_add(size_of::<usize>())) };
                tag == Some(IS_TENSOR) && word(values).is_some_and(is_known)
            })
    });
    // Two places that look alike are none.
    found.next().filter(|_| found.next().is_none())
}
