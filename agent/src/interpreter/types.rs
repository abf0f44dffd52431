//! When types end: their addresses may be used again, so what is kept by address has to go with them.
//!
//! A strong reference would keep a class alive that was made in a function and is gone afterwards, so each type is
//! held by a weak reference. CPython calls back when the type ends: the agent's own function, no Python code.

use super::api::{Object, Python};
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use std::ffi::{c_char, c_int};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `PyMethodDef`, the same in every version.
#[repr(C)]
struct Method {
    name: *const c_char,
    function: unsafe extern "C-unwind" fn(Object, Object) -> Object,
    flags: c_int,
    doc: *const c_char,
}

// SAFETY: constant, and its pointers are to constants.
unsafe impl Sync for Method {}

/// `METH_O`: one argument.
const ONE_ARGUMENT: c_int = 8;

static ENDED: Method =
    Method { name: c"traincheck".as_ptr(), function: ended, flags: ONE_ARGUMENT, doc: std::ptr::null() };
/// The function object that is called back; one reference is kept for good.
static CALLBACK: AtomicPtr<std::ffi::c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Types by their weak references.
static FOLLOWED: Gil<Option<FastMap<usize, usize>>> = Gil::new(None);

/// Who forgets what is kept of a type by its address.
static FORGET: Gil<Vec<unsafe fn(usize)>> = Gil::new(Vec::new());

/// Has `forget` called with the address of each followed type that ends, with the GIL held.
///
/// # Safety
/// The GIL is held; `forget` runs no Python code.
pub unsafe fn when_one_ends(forget: unsafe fn(usize)) {
    // SAFETY: the caller's word.
    unsafe { FORGET.with(|all| all.push(forget)) };
}

/// Has all know when `class` ends that want to, see [`when_one_ends`]. False where that is not possible.
///
/// # Safety
/// A live type; the GIL is held; no exception is set.
pub unsafe fn follow(python: &Python, class: Object) -> bool {
    // SAFETY: the caller's word; the method definition lives for ever, as CPython demands.
    unsafe {
        if CALLBACK.load(Ordering::Relaxed).is_null() {
            let definition = std::ptr::from_ref(&ENDED).cast_mut().cast();
            let callback = (python.function_new)(definition, std::ptr::null_mut(), std::ptr::null_mut());
            CALLBACK.store(callback, Ordering::Relaxed);
        }
        let callback = CALLBACK.load(Ordering::Relaxed);
        let weak = if callback.is_null() { callback } else { (python.weakref_new)(class, callback) };
        if weak.is_null() {
            (python.error_clear)();
            return false;
        }
        FOLLOWED.with(|followed| {
            followed.get_or_insert_with(FastMap::default).insert(weak as usize, class as usize)
        });
        true
    }
}

/// Called by CPython with the weak reference of a type that ended.
unsafe extern "C-unwind" fn ended(_: Object, weak: Object) -> Object {
    let Some(python) = Python::loaded() else { return std::ptr::null_mut() };
    // SAFETY: CPython calls with the GIL held; nothing in here runs Python code.
    let class = catch_unwind(|| unsafe {
        let class = FOLLOWED.with(|followed| followed.as_mut()?.remove(&(weak as usize)))?;
        FORGET.with(|all| all.iter().for_each(|forget| forget(class)));
        Some(class)
    });
    // SAFETY: as above. The reference that `follow` kept; the caller has one of its own.
    unsafe {
        if matches!(class, Ok(Some(_))) {
            (python.dec_ref)(weak);
        }
        (python.inc_ref)(python.none);
    }
    python.none
}
