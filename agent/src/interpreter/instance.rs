//! The attributes that an object has of its own, read where the interpreter keeps them.
//!
//! To ask for an object's `__dict__` makes one where there is none: at that CPython 3.11 may look for garbage, and so run
//! the script's code, and the dict stays for good. So nothing is asked that makes anything. From 3.11 on most objects
//! have a place for a dict in front of them, and as long as it is empty the values may lie in an array of their own.

use super::api::{Object, Python, symbol};
use std::ffi::{CStr, c_int};
use std::ptr::null_mut;
use std::sync::OnceLock;

/// `Py_TPFLAGS_MANAGED_DICT`.
const MANAGED_DICT: std::ffi::c_ulong = 1 << 4;
/// Where the dict of such an object is, in words in front of it. In 3.12 an odd number is no dict.
const MANAGED: usize = 3;

type Lookup = unsafe extern "C-unwind" fn(Object, Object) -> Object;
type Get = unsafe extern "C-unwind" fn(Object, Object, Object, c_int) -> Object;

/// What finds an attribute that is in no dict. Not every version has it.
#[derive(Clone, Copy)]
struct Inline {
    /// An attribute of the type, without calling anything.
    lookup: Lookup,
    get: Get,
}

/// Set once it is proven where objects keep their attributes.
static PROVEN: OnceLock<Option<Inline>> = OnceLock::new();

/// Proves it on objects whose attributes are known.
///
/// # Errors
/// Says what is not where it was expected. Then no object has attributes of its own.
///
/// # Safety
/// The GIL is held and no exception is set.
pub unsafe fn prove(python: &Python) -> Result<(), String> {
    // SAFETY: the caller's word; the namespace keeps the objects until it is given back.
    unsafe {
        let known = python.run(KNOWN);
        if known.is_null() {
            return Err("known objects could not be made".to_owned());
        }
        let get = |name: &CStr| (python.dict_get_string)(known, name.as_ptr());
        let inline = symbol("_PyType_Lookup").zip(symbol("_PyObject_GenericGetAttrWithDict")).map(
            // The symbols are CPython's, with these signatures in all versions that have them.
            |(lookup, get)| Inline {
                lookup: std::mem::transmute::<Object, Lookup>(lookup),
                get: std::mem::transmute::<Object, Get>(get),
            },
        );
        let key = (python.unicode_intern)(c"value".as_ptr());
        let is_value = |found: Object| found == get(c"value");
        let proven = dict(python, get(c"bare")).is_null()
            && dict(python, get(c"full")) == get(c"own")
            && dict(python, get(c"function")) == get(c"own_of_function")
            && is_value((python.dict_get)(dict(python, get(c"full")), key))
            && inline.is_none_or(|inline| is_value(inline.find(python, get(c"bare"), key)))
            && inline.is_none_or(|inline| inline.find(python, get(c"bare"), get(c"other")).is_null())
            && dict(python, get(c"bare")).is_null();
        (python.dec_ref)(key);
        (python.dec_ref)(known);
        if !proven {
            return Err("where objects keep their attributes was not found".to_owned());
        }
        let _ = PROVEN.set(inline);
    }
    Ok(())
}

/// One object without a dict, and two with one.
const KNOWN: &CStr = c"
class Known:
    pass
value, other = object(), 'other'
bare, full = Known(), Known()
bare.value = full.value = value
own = full.__dict__
def function():
    pass
own_of_function = function.__dict__
";

/// The dict of the object's own attributes; null where it has none.
unsafe fn dict(python: &Python, object: Object) -> Object {
    if object.is_null() {
        return object;
    }
    // SAFETY: the callers': a live object, whose type says where its dict is. Nothing is made.
    unsafe {
        if (python.type_flags)(python.type_of(object)) & MANAGED_DICT != 0 {
            let dict = *object.cast::<Object>().sub(MANAGED);
            return if dict.addr() & 1 == 0 { dict } else { null_mut() };
        }
        let place = (python.get_dict_pointer)(object);
        if place.is_null() { null_mut() } else { *place }
    }
}

impl Inline {
    /// An attribute of an object without a dict; borrowed, or null.
    unsafe fn find(self, python: &Python, object: Object, key: Object) -> Object {
        if object.is_null() {
            return object;
        }
        // SAFETY: the callers': a live object and an interned str. What the type has under that name could be code, so
        // then nothing is asked. Without it only the array of values is looked into; the object keeps what is in it.
        unsafe {
            let class = python.type_of(object);
            if (python.type_flags)(class) & MANAGED_DICT == 0 || !(self.lookup)(class, key).is_null() {
                return null_mut();
            }
            let value = (self.get)(object, key, null_mut(), 1);
            if value.is_null() {
                if !(python.error_occurred)().is_null() {
                    (python.error_clear)();
                }
            } else {
                (python.dec_ref)(value);
            }
            value
        }
    }
}

impl Python {
    /// The dict of an object's own attributes, borrowed; null where there is none, which does not say that it has no
    /// attributes. Runs no Python code and makes nothing.
    ///
    /// # Safety
    /// `object` is live or null; the GIL is held.
    #[inline]
    pub unsafe fn instance_dict(&self, object: Object) -> Object {
        if PROVEN.get().is_none() {
            return null_mut();
        }
        // SAFETY: the caller's word.
        unsafe { dict(self, object) }
    }

    /// The attribute `key` that `object` has of its own; borrowed, or null. Runs no Python code and makes nothing.
    ///
    /// # Safety
    /// `object` is live or null, `key` an interned str; the GIL is held and no exception is set.
    #[inline]
    pub unsafe fn instance_get(&self, object: Object, key: Object) -> Object {
        let Some(inline) = PROVEN.get() else { return null_mut() };
        // SAFETY: the caller's word. The dict, and so what is in it, stays alive through its object.
        unsafe {
            let dict = dict(self, object);
            if dict.is_null() {
                return inline.map_or(null_mut(), |inline| inline.find(self, object, key));
            }
            let value = (self.dict_get)(dict, key);
            if value.is_null() && !(self.error_occurred)().is_null() {
                (self.error_clear)();
            }
            value
        }
    }

    /// The attribute `name` that `object` has of its own; borrowed, or null. Runs no Python code and makes nothing but
    /// the name.
    ///
    /// # Safety
    /// `object` is live or null; the GIL is held and no exception is set.
    pub unsafe fn instance_attribute(&self, object: Object, name: &CStr) -> Object {
        // SAFETY: the caller's word; the reference to the interned name is given back.
        unsafe {
            let key = (self.unicode_intern)(name.as_ptr());
            if key.is_null() {
                (self.error_clear)();
                return key;
            }
            let value = self.instance_get(object, key);
            (self.dec_ref)(key);
            value
        }
    }
}
