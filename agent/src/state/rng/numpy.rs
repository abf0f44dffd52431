//! numpy's global stream, behind `numpy.random.rand` and the like, if the program has imported it.
//!
//! Its bit generator tells where its state lies through a capsule that is part of numpy's C interface: a pointer to a
//! `bitgen_t`, whose first field points to 624 words and a position. A normal sample that was drawn in advance is not
//! part of it.

use super::collect::Collect;
use super::workers::Twister;
use crate::interpreter::api::{Buffer, Object, Python};
use crate::interpreter::names;
use crate::state::fingerprint::Fingerprint;
use std::sync::OnceLock;

/// Told why numpy's stream is not read, when that comes out: it is only looked for once the program has imported it.
static NUMPY_IS_OFF: OnceLock<fn(&str)> = OnceLock::new();

/// Has `tell` told why numpy's stream is not read, if it is not.
pub fn tell_of_numpy(tell: fn(&str)) {
    let _ = NUMPY_IS_OFF.set(tell);
}

const SIZE: usize = 4 * 624 + 4;

/// Reads it, once it is there.
#[derive(Clone, Copy, Default)]
pub enum Stream {
    /// Not imported yet.
    #[default]
    Absent,
    /// Not as it should be.
    Off,
    /// Proven: the global `RandomState` (a reference that is never given back), and the type of its bit generator.
    Here(Object, Object),
}

impl Stream {
    /// What it is now: looks whether the module has been imported meanwhile.
    ///
    /// # Safety
    /// The GIL is held and no exception is set; the thread's calls are marked busy.
    pub unsafe fn found(self, python: &Python) -> Stream {
        let Stream::Absent = self else { return self };
        // SAFETY: the caller's word. What is looked up is borrowed from dicts that keep it.
        unsafe {
            let module = (python.dict_get_string)((python.module_dict)(), c"numpy.random.mtrand".as_ptr());
            if module.is_null() {
                return Stream::Absent;
            }
            let global = python.instance_attribute(module, c"_rand");
            if global.is_null() {
                // Still being imported.
                return Stream::Absent;
            }
            match prove(python, global) {
                Some(class) => {
                    (python.inc_ref)(global);
                    Stream::Here(global, class)
                }
                None => {
                    if let Some(tell) = NUMPY_IS_OFF.get() {
                        tell("its state is not where it is expected");
                    }
                    Stream::Off
                }
            }
        }
    }

    /// Where it lies.
    ///
    /// # Safety
    /// The GIL is held and no exception is set.
    pub unsafe fn twister(self, python: &Python) -> Option<Twister> {
        let Stream::Here(global, class) = self else { return None };
        // SAFETY: the caller's word; the global `RandomState` is kept.
        let words = unsafe { state(python, global, class) }? as usize;
        Some(Twister { words, position: words + SIZE - 4 })
    }

    /// Its state.
    ///
    /// # Safety
    /// The GIL is held and no exception is set.
    pub unsafe fn read(self, python: &Python) -> Option<Fingerprint> {
        let Stream::Here(global, class) = self else { return None };
        // SAFETY: the caller's word; the global `RandomState` is kept.
        unsafe {
            let bytes = bytes(python, global, class)?;
            let mut state = Collect::new();
            state.add(&bytes);
            state.fingerprint()
        }
    }
}

/// The type of the bit generator, if the stream is read as numpy tells it. All that is asked is numpy's code in C: a look
/// runs none in Python.
unsafe fn prove(python: &Python, global: Object) -> Option<Object> {
    // SAFETY: `found`'s contract. What has the name of numpy's type has its methods, which nobody can replace; of another
    // generator they would warn.
    unsafe {
        let is = |class: Object, name: &str| names::type_name(python, class) == name;
        if !is(python.type_of(global), "numpy.random.mtrand.RandomState") {
            return None;
        }
        let class =
            generator_class(python, global).filter(|class| is(*class, "numpy.random._mt19937.MT19937"))?;
        // A thread may draw in between, without the GIL.
        let is_told = || told(python, global).is_some_and(|told| bytes(python, global, class) == Some(told));
        (0..3).any(|_| is_told()).then_some(class)
    }
}

/// Words and position, as `get_state` tells them.
unsafe fn told(python: &Python, state: Object) -> Option<[u8; SIZE]> {
    /// The elements lie one after the other.
    const CONTIGUOUS: i32 = 0x20 | 0x10 | 0x08;
    // SAFETY: `prove`'s contract; new references are given back, and so is the buffer, of which no more is read than it
    // says that it has.
    unsafe {
        let method = (python.get_attr)(state, c"get_state".as_ptr());
        if method.is_null() {
            (python.error_clear)();
            return None;
        }
        let told = (python.call_no_args)(method);
        (python.dec_ref)(method);
        if told.is_null() {
            (python.error_clear)();
            return None;
        }
        let mut found = None;
        let mut buffer = std::mem::zeroed::<Buffer>();
        if python.is_tuple(told)
            && (python.tuple_size)(told) >= 3
            && python.is_int((python.tuple_get)(told, 2))
            && (python.get_buffer)((python.tuple_get)(told, 1), &raw mut buffer, CONTIGUOUS) == 0
        {
            if buffer.bytes == (SIZE - 4) as isize {
                let mut bytes = [0; SIZE];
                let (words, position) = bytes.split_at_mut(SIZE - 4);
                words.copy_from_slice(std::slice::from_raw_parts(buffer.data, SIZE - 4));
                let told = (python.long_as_long)((python.tuple_get)(told, 2));
                position.copy_from_slice(&(told as i32).to_ne_bytes());
                found = Some(bytes);
            }
            (python.release_buffer)(&raw mut buffer);
        }
        if !(python.error_occurred)().is_null() {
            (python.error_clear)();
        }
        (python.dec_ref)(told);
        found
    }
}

unsafe fn generator_class(python: &Python, state: Object) -> Option<Object> {
    // SAFETY: `prove`'s contract. The attribute is a field of a type in C.
    unsafe {
        let generator = (python.get_attr)(state, c"_bit_generator".as_ptr());
        if generator.is_null() {
            (python.error_clear)();
            return None;
        }
        let class = python.type_of(generator);
        (python.dec_ref)(generator);
        Some(class)
    }
}

/// Words and position of a `RandomState` whose bit generator is of the type `class`.
unsafe fn bytes(python: &Python, state: Object, class: Object) -> Option<[u8; SIZE]> {
    // SAFETY: the callers': a live `RandomState`, which keeps what is read.
    unsafe { self::state(python, state, class).map(|state| state.cast::<[u8; SIZE]>().read()) }
}

/// Where they lie.
unsafe fn state(python: &Python, state: Object, class: Object) -> Option<*const u8> {
    // SAFETY: the callers': a live `RandomState`, the GIL held, no exception set. Both attributes are fields of types
    // in C; the `RandomState` keeps the bit generator, and that its state.
    unsafe {
        let generator = (python.get_attr)(state, c"_bit_generator".as_ptr());
        if generator.is_null() {
            (python.error_clear)();
            return None;
        }
        let mut found = None;
        if python.type_of(generator) == class {
            let capsule = (python.get_attr)(generator, c"capsule".as_ptr());
            if !capsule.is_null() {
                let interface =
                    (python.capsule_pointer)(capsule, c"BitGenerator".as_ptr()).cast::<*const u8>();
                if !interface.is_null() && !(*interface).is_null() {
                    found = Some(*interface);
                }
                (python.dec_ref)(capsule);
            }
            if !(python.error_occurred)().is_null() {
                (python.error_clear)();
            }
        }
        (python.dec_ref)(generator);
        found
    }
}
