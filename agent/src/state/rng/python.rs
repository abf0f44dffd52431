//! Python's `random`: the one `random.Random` behind the functions of the module, a `_random.Random` in C that holds an
//! index and 624 words, and a `gauss_next` in its instance dict.

use super::collect::Collect;
use super::workers::Twister;
use crate::base::memory::Mapped;
use crate::interpreter::api::{Object, Python};
use crate::state::fingerprint::Fingerprint;
use std::ffi::CStr;

const WORDS: usize = 624;
/// Where the index lies; the words follow.
const INDEX: usize = 16;

/// Reads it.
pub struct Stream {
    /// `random._inst`; a reference that is never given back.
    instance: Object,
}

/// A generator in a known state. `random` is there: torch needs it.
const KNOWN: &CStr = c"
import sys
random = sys.modules['random']
known = random.Random(20240229)
known.random()
state = b''.join(word.to_bytes(4, 'little') for word in known.getstate()[1])
instance = random._inst if type(random._inst) is random.Random else None
";

impl Stream {
    /// Compares where the state should lie with what the interpreter says of it.
    ///
    /// # Safety
    /// The GIL is held and no exception is set.
    pub unsafe fn prove(python: &Python) -> Result<Stream, String> {
        // SAFETY: the caller's word. The namespace keeps the objects until it is given back.
        unsafe {
            let known = python.run(KNOWN);
            if known.is_null() {
                return Err("its state cannot be read".to_owned());
            }
            let get = |name: &CStr| (python.dict_get_string)(known, name.as_ptr());
            let (instance, state) = (get(c"instance"), get(c"state"));
            let proven = is_at(python, get(c"known"), state) && instance != python.none;
            if proven {
                (python.inc_ref)(instance);
            }
            (python.dec_ref)(known);
            if proven {
                Ok(Stream { instance })
            } else {
                Err("its state is not where it is expected".to_owned())
            }
        }
    }

    /// Where it lies.
    pub fn twister(&self) -> Twister {
        let position = self.instance as usize + INDEX;
        Twister { words: position + 4, position }
    }

    /// Its state.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn read(&self, python: &Python) -> Option<Fingerprint> {
        // SAFETY: the caller's word; the object is the agent's to read, and laid out as was proven.
        unsafe {
            let mut state = Collect::new();
            state.add(&self.instance.cast::<u8>().add(INDEX).cast::<[u8; 4 + 4 * WORDS]>().read());
            let gauss = python.instance_attribute(self.instance, c"gauss_next");
            if !gauss.is_null() && python.type_of(gauss) == python.float_type {
                state.add(&(python.float_as_double)(gauss).to_bits().to_le_bytes());
            }
            state.fingerprint()
        }
    }
}

/// Whether the state of `object` is `told`: 624 words and the index.
unsafe fn is_at(python: &Python, object: Object, told: Object) -> bool {
    const SIZE: usize = 4 * (WORDS + 1);
    let mapped = Mapped::now();
    // SAFETY: `prove`'s contract: live objects of the namespace, or null; the length of the bytes is asked.
    unsafe {
        if object.is_null() || told.is_null() || (python.bytes_size)(told) != SIZE as isize {
            return false;
        }
        let told = std::slice::from_raw_parts((python.bytes_as_string)(told).cast::<u8>(), SIZE);
        let (words, index) = told.split_at(4 * WORDS);
        let bytes = |offset: usize| mapped.read::<[u8; 4]>(object as usize + offset);
        bytes(INDEX).is_some_and(|found| found == index)
            && words
                .chunks_exact(4)
                .enumerate()
                .all(|(number, word)| bytes(INDEX + 4 + 4 * number).is_some_and(|found| found == word))
    }
}
