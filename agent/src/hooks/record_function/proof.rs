//! The proof that callbacks are laid out and called as this folder believes: each field of the struct that is passed to
//! libtorch, by its effect.
//!
//! | field | proven by |
//! |---|---|
//! | `start`, `end` | known ops and a known user scope are seen by their names, each with an end |
//! | `probability` | a callback for one function in a hundred million is called for none of them |
//! | `scopes` | ops are seen as ops and the scope as a scope; a callback for all other scopes sees neither |
//! | `needs_inputs`, `needs_outputs`, `needs_ids` | each, set alone, sets its own of three bytes that follow the scope in `at::RecordFunction` |
//!
//! What is wrong in a struct that is longer than it was is unset, and a PyTorch that is newer than any of its kind that
//! was looked at is not tried.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::{BACKWARD_FUNCTION, FUNCTION, USER_SCOPE};
use crate::libtorch::library::{Callback, Libtorch, RecordFunction};

/// The newest PyTorch of which anything is known, by its major version.
const NEWEST_MAJOR: u32 = 2;
/// Whatever is sampled so is not seen in a handful of functions.
const HARDLY_EVER: f64 = 1e-8;
/// So much of the beginning of an `at::RecordFunction` is looked at, bytes: what it knows of its callbacks, which all of
/// its other fields follow.
const BEGINNING: usize = 112;
/// What a function may need, in the order of the fields.
const NEEDS: [&str; 3] = ["inputs", "outputs", "ids"];

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
    /// Known ops that were announced as anything else, and the known scope where it was.
    misplaced: AtomicU32,
    /// Functions that were to be left out by sampling.
    sampled: AtomicU32,
    /// The beginning of the known scope's `at::RecordFunction`, when it was seen last.
    beginning: Mutex<[u8; BEGINNING]>,
}

/// That of the proof that is being made. Callbacks may yet run in other threads when it is over, so it is never freed.
static PROBE: AtomicPtr<Probe> = AtomicPtr::new(ptr::null_mut());

/// Proves it while `run_known` runs `torch.arange(4) + 1` and a user scope called [`KNOWN_SCOPE`], several times.
/// `version`: that of PyTorch.
///
/// # Safety
/// The library's symbols are what their names say. `run_known` may run Python code.
pub unsafe fn prove(library: &Libtorch, version: &str, run_known: impl FnMut()) -> Proven {
    if !cfg!(target_arch = "x86_64") {
        return Proven::nothing("the calling convention for C++ objects on this processor is not known");
    }
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    if major.is_none_or(|major: u32| major > NEWEST_MAJOR) {
        return Proven::nothing(&format!(
            "PyTorch {version} is newer than what is known here ({NEWEST_MAJOR}.x); use a newer traincheck"
        ));
    }
    match &library.record_function {
        // SAFETY: the caller's word.
        Ok(functions) => unsafe { prove_callbacks(*functions, run_known) },
        Err(why) => Proven::nothing(why),
    }
}

/// # Safety
/// As for [`prove`].
unsafe fn prove_callbacks(functions: RecordFunction, mut run_known: impl FnMut()) -> Proven {
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
        sampled: new(),
        beginning: Mutex::new([0; BEGINNING]),
    }));
    PROBE.store(ptr::from_ref(probe).cast_mut(), Ordering::Release);
    // SAFETY: the structs are passed as the x86-64 C++ ABI passes a trivially copyable class of their size, in memory.
    // Should their fields lie otherwise in this version, the probes are called for other functions, or not at all.
    unsafe {
        let handles = callbacks().map(|callback| (functions.add)(callback));
        run_known();
        handles.into_iter().for_each(|handle| (functions.remove)(handle));
    }
    let count = |counter: &AtomicU32| counter.load(Ordering::Acquire);
    if count(&probe.misplaced) != 0 {
        return Proven::nothing("ops and user scopes are not told apart");
    }
    if count(&probe.sampled) != 0 {
        return Proven::nothing("functions are seen that sampling leaves out");
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
    if scopes.is_ok() {
        // SAFETY: the caller's word; the callbacks were proven to be called for user scopes.
        let beginnings =
            unsafe { [None, Some(0), Some(1), Some(2)].map(|need| beginning(probe, need, &mut run_known)) };
        if let Err(why) = prove_needs(&beginnings) {
            return Proven::nothing(&why);
        }
    }
    Proven { ops, scopes }
}

/// For ops, for user scopes, for all other scopes, and for hardly any op or user scope.
fn callbacks() -> [Callback; 4] {
    let ops = Callback::new(probe_start::<FUNCTION>, probe_end::<FUNCTION>, FUNCTION);
    let scopes = Callback::new(probe_start::<USER_SCOPE>, probe_end::<USER_SCOPE>, USER_SCOPE);
    let mut others = Callback::new(other_start, no_end, BACKWARD_FUNCTION);
    let mut hardly_ever = Callback::new(sampled_start, no_end, FUNCTION);
    for scope in 0..others.scopes.len() {
        let is_known = scope == usize::from(FUNCTION) || scope == usize::from(USER_SCOPE);
        others.scopes[scope] = !is_known;
        hardly_ever.scopes[scope] = is_known;
    }
    hardly_ever.probability = HARDLY_EVER;
    [ops, scopes, others, hardly_ever]
}

/// How the known scope's `at::RecordFunction` begins where a callback has this need, and no other.
///
/// # Safety
/// As for [`prove`].
unsafe fn beginning(probe: &Probe, need: Option<usize>, run_known: &mut impl FnMut()) -> [u8; BEGINNING] {
    let mut callback = Callback::new(beginning_start, no_end, USER_SCOPE);
    match need {
        Some(0) => callback.needs_inputs = true,
        Some(1) => callback.needs_outputs = true,
        Some(_) => callback.needs_ids = true,
        None => {}
    }
    // SAFETY: the caller's word.
    unsafe {
        let handle = (probe.functions.add)(callback);
        run_known();
        (probe.functions.remove)(handle);
    }
    probe.beginning.lock().map_or([0; BEGINNING], |seen| *seen)
}

/// Somewhere in them there is the scope and behind it a byte for each need, which that need sets and no other. Where
/// somebody else in the process has it too, the byte is always set.
fn prove_needs(beginnings: &[[u8; BEGINNING]; 4]) -> Result<(), String> {
    let [plain, needs @ ..] = beginnings;
    let is_set_by = |need: usize, at: usize| {
        let only_this = |other: usize| {
            let with = needs[other][at + 1 + need];
            if other == need { with == 1 } else { with == plain[at + 1 + need] }
        };
        plain[at + 1 + need] <= 1 && (0..NEEDS.len()).all(only_this)
    };
    let has_scope = |at: usize| beginnings.iter().all(|seen| seen[at] == USER_SCOPE);
    let places: Vec<usize> = (0..BEGINNING - NEEDS.len()).filter(|at| has_scope(*at)).collect();
    if places.iter().any(|at| (0..NEEDS.len()).all(|need| is_set_by(need, *at))) {
        return Ok(());
    }
    // Which of them is wrong is said of the place where most are right.
    let wrong = |at: &usize| (0..NEEDS.len()).filter(|need| !is_set_by(*need, *at)).collect::<Vec<_>>();
    let best = places.iter().map(wrong).min_by_key(Vec::len);
    let names = best.map_or(NEEDS.to_vec(), |wrong| wrong.into_iter().map(|need| NEEDS[need]).collect());
    Err(format!("that a callback needs {} has not the effect that it should have", names.join(", ")))
}

fn probe() -> Option<&'static Probe> {
    // SAFETY: null or a box that was leaked.
    unsafe { PROBE.load(Ordering::Acquire).as_ref() }
}

/// What a callback does with the probe and the name of the function that begins.
///
/// # Safety
/// As for [`super::start`].
unsafe fn begins(
    context: *mut *mut c_void,
    function: *const c_void,
    see: impl FnOnce(&Probe, &CStr),
) -> *mut *mut c_void {
    // SAFETY: libtorch gives room for the pointer that it expects; the function is being recorded, and its name is a C
    // string that lives until it ends.
    unsafe {
        context.write(ptr::null_mut());
        if let Some(probe) = probe() {
            let name = (probe.functions.name)(function);
            see(probe, if name.is_null() { c"" } else { CStr::from_ptr(name) });
        }
    }
    context
}

fn add(counter: &AtomicU32, seen: bool) {
    counter.fetch_add(u32::from(seen), Ordering::AcqRel);
}

fn is_op(name: &CStr) -> bool {
    name.to_bytes().starts_with(b"aten::")
}

unsafe extern "C-unwind" fn probe_start<const SCOPE: u8>(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    let see = |probe: &Probe, name: &CStr| {
        if SCOPE == FUNCTION {
            add(&probe.begun, true);
            add(&probe.arange, name == c"aten::arange");
            add(&probe.add, name == c"aten::add");
            add(&probe.misplaced, name == KNOWN_SCOPE);
        } else {
            add(&probe.scope, name == KNOWN_SCOPE);
            add(&probe.misplaced, is_op(name));
        }
    };
    // SAFETY: as in `start`.
    unsafe { begins(context, function, see) }
}

unsafe extern "C-unwind" fn probe_end<const SCOPE: u8>(_function: *const c_void, _context: *mut c_void) {
    if let Some(probe) = probe() {
        add(if SCOPE == FUNCTION { &probe.ended } else { &probe.scopes_ended }, true);
    }
}

unsafe extern "C-unwind" fn other_start(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    let see = |probe: &Probe, name: &CStr| add(&probe.misplaced, name == KNOWN_SCOPE || is_op(name));
    // SAFETY: as in `start`.
    unsafe { begins(context, function, see) }
}

unsafe extern "C-unwind" fn sampled_start(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    // SAFETY: as in `start`.
    unsafe { begins(context, function, |probe, _| add(&probe.sampled, true)) }
}

unsafe extern "C-unwind" fn beginning_start(
    context: *mut *mut c_void,
    function: *const c_void,
) -> *mut *mut c_void {
    let see = |probe: &Probe, name: &CStr| {
        if name == KNOWN_SCOPE
            && let Ok(mut seen) = probe.beginning.lock()
        {
            // SAFETY: an `at::RecordFunction` is longer than that: name, inputs, outputs and more follow what it knows of
            // its callbacks. Bytes of any value may be copied.
            *seen = unsafe { ptr::read_unaligned(function.cast::<[u8; BEGINNING]>()) };
        }
    };
    // SAFETY: as in `start`.
    unsafe { begins(context, function, see) }
}

unsafe extern "C-unwind" fn no_end(_function: *const c_void, _context: *mut c_void) {}

#[cfg(test)]
mod tests;
