//! The proof of the callbacks, before libtorchs that are not what they should be.

use super::*;
use std::ffi::c_char;
use std::sync::Mutex;

/// A function as the stand-in for libtorch announces it.
struct Announced {
    name: &'static CStr,
}

static CALLBACKS: Mutex<Vec<(u64, Callback)>> = Mutex::new(Vec::new());

unsafe extern "C-unwind" fn add(callback: Callback) -> u64 {
    let mut callbacks = CALLBACKS.lock().expect("the callbacks");
    let handle = callbacks.len() as u64 + 1;
    callbacks.push((handle, callback));
    handle
}

unsafe extern "C-unwind" fn remove(handle: u64) {
    CALLBACKS.lock().expect("the callbacks").retain(|(known, _)| *known != handle);
}

unsafe extern "C-unwind" fn name(function: *const c_void) -> *const c_char {
    // SAFETY: `announce` passes nothing else.
    unsafe { (*function.cast::<Announced>()).name.as_ptr() }
}

unsafe extern "C-unwind" fn is_async(_: *const c_void) -> bool {
    false
}

unsafe extern "C-unwind" fn switch(_: u64) {}

const FUNCTIONS: RecordFunction =
    RecordFunction { add, remove, disable: switch, enable: switch, name, is_async };

/// What libtorch does when a function of this name and scope runs.
fn announce(scope: u8, name: &'static CStr, ends: bool) {
    let function = Announced { name };
    let function = (&raw const function).cast::<c_void>();
    let callbacks: Vec<_> = CALLBACKS.lock().expect("the callbacks").clone();
    for (_, callback) in callbacks.iter().filter(|(_, callback)| callback.scopes[usize::from(scope)]) {
        let mut context = ptr::null_mut();
        // SAFETY: called as libtorch does.
        unsafe {
            assert_eq!((callback.start)(&raw mut context, function), &raw mut context);
            assert!(context.is_null());
            if ends {
                (callback.end)(function, context);
            }
        }
    }
}

type Outcome = (Result<(), &'static str>, Result<(), &'static str>);

fn check(run_known: impl FnOnce(), expected: Outcome) {
    // SAFETY: the stand-in's functions are what their names say.
    let proven = unsafe { prove_callbacks(FUNCTIONS, run_known) };
    let reasons = (proven.ops.clone(), proven.scopes.clone());
    assert_eq!(reasons, (expected.0.map_err(str::to_owned), expected.1.map_err(str::to_owned)));
    assert_eq!(proven.nodes().is_ok(), expected.0.is_ok() && expected.1.is_ok());
    assert!(CALLBACKS.lock().expect("the callbacks").is_empty(), "a proof leaves nothing behind");
}

fn ops(scope: u8, ends: bool) {
    for name in [c"aten::arange", c"aten::empty", c"aten::add"] {
        announce(scope, name, ends);
    }
}

/// One test: the proof that is being made is one for the process.
#[test]
fn only_what_was_seen_as_it_should_be_is_proven() {
    let not_ended = Err("known ops began and did not end");
    let no_ops = Err("known ops were not seen by their names");
    let no_scope = Err("a known user scope was not seen by its name");
    let mixed = Err("ops and user scopes are not told apart");

    // As it is.
    check(
        || {
            ops(FUNCTION, true);
            announce(USER_SCOPE, KNOWN_SCOPE, true);
        },
        (Ok(()), Ok(())),
    );
    // Nothing is ever called back.
    check(|| (), (no_ops, no_scope));
    // A version with one scope fewer before the user scopes.
    check(
        || {
            ops(FUNCTION, true);
            announce(USER_SCOPE - 1, KNOWN_SCOPE, true);
        },
        (Ok(()), no_scope),
    );
    // Names that are not those of functions.
    check(
        || {
            announce(FUNCTION, c"", true);
            announce(USER_SCOPE, KNOWN_SCOPE, true);
        },
        (no_ops, Ok(())),
    );
    // Ends that do not come.
    check(
        || {
            ops(FUNCTION, false);
            announce(USER_SCOPE, KNOWN_SCOPE, false);
        },
        (not_ended, Err("a known user scope began and did not end")),
    );
    // Scopes that are numbered otherwise.
    check(
        || {
            ops(USER_SCOPE, true);
            announce(FUNCTION, KNOWN_SCOPE, true);
        },
        (mixed, mixed),
    );
}

#[test]
fn without_the_functions_nothing_is_proven() {
    let why = "libtorch_cpu.so has no such function";
    // SAFETY: nothing is called.
    let proven = unsafe { prove(&Libtorch::empty(why), || panic!("nothing to run")) };
    for proven in [proven.ops.clone(), proven.scopes.clone(), proven.nodes()] {
        assert_eq!(proven, Err(why.to_owned()));
    }
}
