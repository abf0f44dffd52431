//! The proof of the callbacks, before libtorchs that are not what they should be.

use super::*;
use std::ffi::c_char;
use std::sync::Mutex;

/// A function as the stand-in for libtorch announces it.
#[repr(C)]
struct Announced {
    name: &'static CStr,
    before: [u64; 9],
    scope: u8,
    needs: [u8; 3],
    behind: [u8; BEGINNING],
}

/// In what the stand-in is not as libtorch.
#[derive(Clone, Copy, Default)]
struct Otherwise {
    /// Everybody is called, whatever the share.
    samples_nothing: bool,
    /// All scopes are those of one flag, the flag of another scope.
    scope_flag: Option<u8>,
    /// The need that is taken for the one behind it.
    need: Option<usize>,
    /// Somebody else needs inputs all the time.
    shared: bool,
}

static OTHERWISE: Mutex<Otherwise> =
    Mutex::new(Otherwise { samples_nothing: false, scope_flag: None, need: None, shared: false });

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
    let otherwise = *OTHERWISE.lock().expect("how it is");
    let flag = usize::from(otherwise.scope_flag.unwrap_or(scope));
    let callbacks: Vec<_> = CALLBACKS.lock().expect("the callbacks").clone();
    let is_called = |callback: &Callback| {
        callback.scopes[flag] && (callback.probability == 1.0 || otherwise.samples_nothing)
    };
    let called: Vec<_> =
        callbacks.iter().map(|(_, callback)| callback).filter(|one| is_called(one)).collect();
    let mut needs = [u8::from(otherwise.shared), 0, 0];
    for callback in &called {
        let wanted = [callback.needs_inputs, callback.needs_outputs, callback.needs_ids];
        for need in (0..3).filter(|need| wanted[*need]) {
            needs[if otherwise.need == Some(need) { (need + 1) % 3 } else { need }] = 1;
        }
    }
    let function = Announced { name, before: [7; 9], scope, needs, behind: [0; BEGINNING] };
    let function = (&raw const function).cast::<c_void>();
    for callback in called {
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

fn check(run_known: impl FnMut(), expected: Outcome) {
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
    // A version with one scope fewer before the user scopes: it is another's that sees them.
    check(
        || {
            ops(FUNCTION, true);
            announce(USER_SCOPE - 1, KNOWN_SCOPE, true);
        },
        (mixed, mixed),
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
    let as_it_is = || {
        ops(FUNCTION, true);
        announce(USER_SCOPE, KNOWN_SCOPE, true);
    };
    let with = |otherwise: Otherwise, expected: Outcome| {
        *OTHERWISE.lock().expect("how it is") = otherwise;
        check(as_it_is, expected);
    };
    let plain = Otherwise::default();
    // Flags that lie elsewhere: functions come to those who want all scopes but theirs.
    with(Otherwise { scope_flag: Some(BACKWARD_FUNCTION), ..plain }, (mixed, mixed));
    // A share that lies elsewhere.
    let sampled = Err("functions are seen that sampling leaves out");
    with(Otherwise { samples_nothing: true, ..plain }, (sampled, sampled));
    // Needs that lie elsewhere.
    for (need, wrong) in [
        (0, "that a callback needs inputs, outputs has not the effect that it should have"),
        (2, "that a callback needs inputs, ids has not the effect that it should have"),
    ] {
        with(Otherwise { need: Some(need), ..plain }, (Err(wrong), Err(wrong)));
    }
    // Somebody else needs inputs all the time.
    with(Otherwise { shared: true, ..plain }, (Ok(()), Ok(())));
}

#[test]
fn a_version_that_nobody_has_seen_is_not_tried() {
    let library = Libtorch::empty("not looked at");
    for (version, why) in [
        ("3.0.0", "PyTorch 3.0.0 is newer than what is known here (2.x); use a newer traincheck"),
        ("", "PyTorch  is newer than what is known here (2.x); use a newer traincheck"),
        ("2.15.0+cu132", "not looked at"),
    ] {
        // SAFETY: nothing is called.
        let proven = unsafe { prove(&library, version, || panic!("nothing to run")) };
        assert_eq!(proven.ops, Err(why.to_owned()));
    }
}

#[test]
fn without_the_functions_nothing_is_proven() {
    let why = "libtorch_cpu.so has no such function";
    // SAFETY: nothing is called.
    let proven = unsafe { prove(&Libtorch::empty(why), "2.9.1", || panic!("nothing to run")) };
    for proven in [proven.ops.clone(), proven.scopes.clone(), proven.nodes()] {
        assert_eq!(proven, Err(why.to_owned()));
    }
}
