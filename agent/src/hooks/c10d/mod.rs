//! Collectives of `torch.distributed`, seen where c10d hands them to gloo: by exporting the names of its functions.
//!
//! libtorch of PyPI binds its names through the dynamic linker, so a library that is preloaded and exports one takes its
//! place, in tables of virtual methods, too. What takes the place of a function ([`stubs`]) has its call recorded and goes on
//! to the original ([`originals`]) with all that it was given: it knows nothing of the function's result, and
//! exceptions pass by it. The callbacks run on any thread, with or without the GIL, and never touch Python.
//!
//! The stubs are there from the start of the process, for names are bound when libtorch is loaded. Until the hook is put in
//! they do nothing but go on to the original; without libtorch nobody calls them.

mod contents;
mod given;
mod options;
mod originals;
mod progress;
mod stubs;
mod table;
mod tensors;

use crate::hooks::hook::{FAILED, Hook, State};
use crate::hooks::source::{Job, Need, Source};
use crate::interpreter::api::Python;
use crate::libtorch::library::Libtorch;
use crate::sink::cost::{self, Timer};
use crate::sink::{self, now};
use crate::state::position;
use crate::training::calls;
use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use stubs::Registers;
use table::{Function, INTERPOSED, Method};
use traincheck_schema::record::{Collective, CollectiveEvent, EventKind};

/// The table of virtual methods of gloo's groups.
const METHODS: &CStr = c"_ZTVN4c10d16ProcessGroupGlooE";

/// The hook.
pub struct Collectives;

/// Calls are recorded.
static ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The collective that this thread is issuing or has issued last, and where its stack was.
    static ISSUING: Cell<Issuing> = const { Cell::new(Issuing { number: 0, stack: 0, has_begun: false }) };
}

#[derive(Clone, Copy)]
struct Issuing {
    /// 0: none.
    number: u64,
    stack: usize,
    /// The backend has made a handle for it.
    has_begun: bool,
}

impl Source for Collectives {
    fn hook(&self) -> Hook {
        Hook::Collectives
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Libtorch]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        prove(job.library()?)?;
        // SAFETY: the caller's word; the function of the namespace fills the list with objects of pybind11's.
        unsafe {
            job.call(job.get(c"know_options"));
            let list = job.get(c"known_options");
            let none =
                (job.python.list_size)(list).max(0) as usize != options::EACH * table::Options::STRUCTS.len();
            let count = if none { 0 } else { (job.python.list_size)(list) };
            let objects: Vec<usize> =
                (0..count).map(|place| (job.python.list_get)(list, place) as usize).collect();
            options::prove(&objects);
        }
        Ok(())
    }

    unsafe fn install(&self, _: &Job) -> Result<&'static str, String> {
        ON.store(true, Ordering::Release);
        Ok("exported functions of c10d, for gloo")
    }

    fn parts(&self) -> Vec<(Hook, State)> {
        let unknown = || {
            let why = "where c10d keeps its options was not found".to_owned();
            (Hook::CollectiveOptions, State::Off { why })
        };
        if options::are_known() { Vec::new() } else { vec![unknown()] }
    }

    unsafe fn remove(&self, _: &Python) {
        ON.store(false, Ordering::Relaxed);
    }

    fn leave_child(&self) {
        ON.store(false, Ordering::Relaxed);
    }
}

/// Whether the functions of this libtorch are bound to those that this library exports. Takes note of the originals.
fn prove(library: &Libtorch) -> Result<(), String> {
    let found = originals::know(library);
    let methods = library.find_in_cpu([METHODS].into_iter()).pop().flatten();
    let methods = methods.ok_or("this PyTorch has no gloo")?;
    // SAFETY: libtorch says that the table lies there and is so long; it is constant once it is loaded.
    let methods = unsafe {
        std::slice::from_raw_parts(methods.start as *const usize, methods.len() / size_of::<usize>())
    };
    for (one, original) in INTERPOSED.iter().zip(&found) {
        let name = || one.symbol.to_string_lossy();
        let Some(original) = original else { continue };
        // SAFETY: a C string.
        let global = unsafe { libc::dlsym(libc::RTLD_DEFAULT, one.symbol.as_ptr()) } as usize;
        if original.start == one.stub as usize || global != one.stub as usize {
            return Err(format!("another library comes before the agent with {}", name()));
        }
        if matches!(one.function, Function::Method(_)) && !methods.contains(&(one.stub as usize)) {
            return Err(format!("this PyTorch was built to bind {} by itself", name()));
        }
    }
    let has = |function: Function| {
        let mut all = INTERPOSED.iter().zip(&found);
        all.any(|(one, original)| one.function == function && original.is_some())
    };
    let missing = [Function::GroupMade, Function::GroupNamed, Function::WorkMade, Function::WorkEnded]
        .into_iter()
        .find(|function| !has(*function));
    match missing {
        Some(function) => Err(format!("this PyTorch does not export what tells of {function:?}")),
        None => Ok(()),
    }
}

/// Called by the stubs, before the original. Gives where that is.
///
/// # Safety
/// The registers are those of a call of function `number`.
unsafe extern "C" fn called(registers: *const Registers) -> usize {
    // SAFETY: the caller's word.
    let registers = unsafe { &*registers };
    if ON.load(Ordering::Acquire) && !sink::is_inert() {
        keeping_errno(|| {
            // SAFETY: as above.
            if catch_unwind(AssertUnwindSafe(|| unsafe { record(registers) })).is_err() {
                ON.store(false, Ordering::Relaxed);
                // What is said is written down as everything else is, and may fail as that did.
                let _ = catch_unwind(|| Hook::Collectives.is_lost(FAILED));
            }
        });
    }
    originals::original(registers.number, registers.return_address)
}

/// # Safety
/// As for [`called`].
unsafe fn record(registers: &Registers) {
    let Some(one) = INTERPOSED.get(registers.number) else { return };
    let timer = Timer::begin();
    let [first, second, third, fourth, ..] = registers.integers;
    match &one.function {
        // SAFETY: the caller's word.
        Function::Method(method) => unsafe { issued(method, registers) },
        Function::GroupMade => progress::group_made(first, third, fourth),
        function @ (Function::GroupNamed | Function::GroupDescribed) => {
            // SAFETY: a `std::string`, of whichever layout, begins with the address of its characters, and a zero byte is
            // behind them.
            let text = unsafe { (second as *const *const c_char).read() };
            if !text.is_null() {
                // SAFETY: as above.
                let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
                match function {
                    Function::GroupNamed => {
                        progress::group_named(&text, originals::has(Function::GroupDescribed))
                    }
                    _ => progress::group_described(&text),
                }
            }
        }
        Function::WorkMade => {
            let issuing = ISSUING.get();
            // The stack grows downwards: what is called by the collective is below it.
            let is_part = issuing.number != 0
                && (std::ptr::from_ref(registers) as usize) < issuing.stack
                && originals::is_in_library(registers.return_address);
            let last = is_part.then(|| progress::last(issuing.number)).flatten();
            progress::work_made(first, third as u8, last.as_ref());
            if last.is_some() {
                ISSUING.set(Issuing { has_begun: true, ..issuing });
            }
        }
        Function::WorkDone => ended(first, false),
        Function::WorkEnded => {
            // SAFETY: an `exception_ptr` is passed by its address, and is a pointer: null where there is none.
            let failed = second != 0 && unsafe { (second as *const usize).read() } != 0;
            ended(first, failed);
        }
        Function::WorkWaited => {
            if let Some(record) = progress::work_waited(first) {
                emit(CollectiveEvent::Waited, record);
            }
        }
        Function::FutureTaken => {
            if let Some(record) = progress::future_taken(second) {
                emit(CollectiveEvent::FutureTaken, record);
            }
        }
    }
    timer.end_beside_looks(&cost::OPS);
}

/// A collective begins.
///
/// # Safety
/// The registers are those of a call of `method`.
unsafe fn issued(method: &Method, registers: &Registers) {
    // One that another one is made of.
    if originals::is_in_method(registers.return_address) {
        return;
    }
    has_it_raised();
    let mut record =
        Collective { op: method.kind as u8, call: calls::current().innermost().call, ..Collective::EMPTY };
    // SAFETY: the caller's word; the tensors are the caller's, which waits.
    let (with_contents, written) = unsafe {
        let given = given::read(method, registers, &mut record);
        let mut with_contents = record;
        let written = contents::begin(&given.read, &given.written, &mut with_contents);
        // Else whoever waits for the future may have changed it when the handle ends.
        let is_in_time = originals::has(Function::WorkDone) || method.kind.is_point_to_point();
        (with_contents, written.filter(|_| is_in_time))
    };
    progress::issued(given::group(method, registers), method.kind.is_point_to_point(), &mut record, written);
    let stack = std::ptr::from_ref(registers) as usize;
    ISSUING.set(Issuing { number: record.number, stack, has_begun: false });
    let Collective { number, group, sequence, message, .. } = record;
    emit(CollectiveEvent::Issued, Collective { number, group, sequence, message, ..with_contents });
}

/// The handle at `work` ends.
fn ended(work: usize, failed: bool) {
    let event = if failed { CollectiveEvent::Failed } else { CollectiveEvent::Completed };
    if let Some((mut record, written)) = progress::work_ended(work, failed) {
        if let Some(written) = written.filter(|_| !failed) {
            contents::end(&written, &mut record);
        }
        emit(event, record);
    }
}

/// Of the collective that this thread has issued before, no handle was made: it was given something that the backend has
/// refused, with an exception that went past here unseen.
fn has_it_raised() {
    let before = ISSUING.get();
    if before.number != 0
        && !before.has_begun
        && let Some(record) = progress::never_begun(before.number)
    {
        emit(CollectiveEvent::Failed, record);
    }
}

/// Says that something has happened to a collective, now and here.
fn emit(event: CollectiveEvent, record: Collective) {
    let position = position::event(EventKind::Enter);
    sink::emit_collective(&Collective {
        event: event as u8,
        stage: position.stage,
        time: now(),
        iteration: position.iteration,
        step: position.step,
        ..record
    });
}

/// The job shall find `errno` as it was.
fn keeping_errno<Result>(body: impl FnOnce() -> Result) -> Result {
    // SAFETY: `errno` of this thread is always there.
    unsafe {
        let errno = *libc::__errno_location();
        let result = body();
        *libc::__errno_location() = errno;
        result
    }
}
