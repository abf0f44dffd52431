//! PyTorch's generators on the CPU.
//!
//! A `torch.Generator` holds an `at::CPUGeneratorImpl`, which has in it an `at::mt19937` (seed, numbers left until the
//! next round, whether it was seeded, next number, 624 words) followed by a float and a double that may have been drawn
//! in advance. Where in the object they lie is found, and proven, on a generator of the agent's own whose state PyTorch
//! itself has told.

use super::collect::Collect;
use super::workers::Twister;
use crate::base::memory::Mapped;
use crate::interpreter::api::{Object, Python};
use crate::state::fingerprint::Fingerprint;
use std::ffi::CStr;

const WORDS: usize = 624;
/// The `at::Generator` in its Python object.
const IN_OBJECT: usize = 16;
/// From the words: the next number, the numbers left; ...
const NEXT: usize = 4;
const LEFT: usize = 12;
/// ... and behind them the optional float and the optional double.
const FLOAT: usize = 2500;
const DOUBLE: usize = 2508;
/// The words may lie this far into the object.
const FARTHEST: usize = 512;

/// Reads them.
pub struct Stream {
    /// `torch.default_generator`; a reference that is never given back.
    default: Object,
    /// What the first word of an `at::CPUGeneratorImpl` points to.
    class: usize,
    /// Where in it the words lie.
    words: usize,
}

/// A generator that has drawn an odd number of normal samples: one is left for the next.
const KNOWN: &CStr = c"
import torch
generator = torch.Generator()
generator.manual_seed(20240229)
torch.randn(3, generator=generator)
torch.rand(2, generator=generator)
state = bytes(generator.get_state().tolist())
default = torch.default_generator
default_state = bytes(default.get_state().tolist())
";

impl Stream {
    /// Finds where the state lies.
    ///
    /// # Safety
    /// The GIL is held and no exception is set.
    pub unsafe fn prove(python: &Python) -> Result<Stream, String> {
        // SAFETY: the caller's word. The namespace keeps the objects until it is given back.
        unsafe {
            let known = python.run(KNOWN);
            if known.is_null() {
                return Err("PyTorch's default generator was not found".to_owned());
            }
            let result = find(python, known);
            if let Ok(stream) = &result {
                (python.inc_ref)(stream.default);
            }
            (python.dec_ref)(known);
            result
        }
    }

    /// The state of the default generator.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn read_default(&self, python: &Python) -> Option<Fingerprint> {
        // SAFETY: the caller's word; the reference is the agent's.
        unsafe { self.read(python, self.default) }
    }

    /// Where the default generator lies.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn twister(&self, python: &Python) -> Option<Twister> {
        // SAFETY: the caller's word; the reference is the agent's.
        let words = unsafe { self.words_of(python, self.default) }? as usize;
        Some(Twister { words, position: words - NEXT })
    }

    /// The words of a `torch.Generator` on the CPU; `None` for another object.
    unsafe fn words_of(&self, python: &Python, generator: Object) -> Option<*const u8> {
        // SAFETY: the callers' word: an object of the type of the default generator has an `at::Generator` at the
        // proven place, and its class is compared before anything of it is read.
        unsafe {
            if python.type_of(generator) != python.type_of(self.default) {
                return None;
            }
            let object = generator.cast::<u8>().add(IN_OBJECT).cast::<usize>().read();
            if object == 0 || (object as *const usize).read() != self.class {
                return None;
            }
            Some((object + self.words) as *const u8)
        }
    }

    /// The state of any `torch.Generator` on the CPU; `None` for another object.
    ///
    /// # Safety
    /// A live object; the GIL is held.
    pub unsafe fn read(&self, python: &Python, generator: Object) -> Option<Fingerprint> {
        // SAFETY: the caller's word; what lies around the words was proven. Threads that draw without the GIL make what is
        // read a mixture of two states; any bits are numbers.
        unsafe {
            let words = self.words_of(python, generator)?;
            let mut state = Collect::new();
            state.add(&words.sub(LEFT).cast::<[u8; 4]>().read());
            state.add(&words.sub(NEXT).cast::<[u8; 4]>().read());
            state.add(&words.cast::<[u8; 4 * WORDS]>().read());
            // What lies where nothing was drawn in advance has no meaning.
            if words.add(FLOAT + 4).read() == 1 {
                state.add(&words.add(FLOAT).cast::<[u8; 4]>().read());
            }
            if words.add(DOUBLE + 8).read() == 1 {
                state.add(&words.add(DOUBLE).cast::<[u8; 8]>().read());
            }
            state.fingerprint()
        }
    }
}

/// `at::CPUGeneratorImplState`, as `get_state` gives it.
struct Told {
    left: u32,
    next: u32,
    words: Vec<u32>,
    /// The three numbers that go with a normal sample, and whether there is one.
    normal: ([u64; 3], bool),
    float: Option<u32>,
}

impl Told {
    unsafe fn of(python: &Python, bytes: Object) -> Option<Told> {
        const SIZE: usize = 5056;
        // SAFETY: a live bytes object of the namespace, whose length is asked.
        let bytes = unsafe {
            if bytes.is_null() || (python.bytes_size)(bytes) != SIZE as isize {
                return None;
            }
            std::slice::from_raw_parts((python.bytes_as_string)(bytes).cast::<u8>(), SIZE)
        };
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Told {
            left: word(8)?,
            next: word(16)?,
            words: (0..WORDS).map_while(|index| word(24 + 8 * index)).collect(),
            normal: ([long(5016)?, long(5024)?, long(5032)?], word(5040)? == 1),
            float: (*bytes.get(5052)? == 1).then(|| word(5048)).flatten(),
        })
    }

    /// Whether the generator object at `object` is in this state, with its words `offset` bytes into it.
    fn lies_at(&self, mapped: &Mapped, object: usize, offset: usize) -> bool {
        let at = object + offset;
        // SAFETY: what is mapped stays so while the proof runs; any bits make numbers.
        let word = |address: usize| unsafe { mapped.read::<u32>(address) };
        // SAFETY: as above.
        let byte = |address: usize| unsafe { mapped.read::<u8>(address) };
        let double = || Some((u64::from(word(at + DOUBLE + 4)?) << 32) | u64::from(word(at + DOUBLE)?));
        let normal = match byte(at + DOUBLE + 8) {
            Some(0) => !self.normal.1,
            Some(1) => self.normal.1 && double().is_some_and(|double| self.normal.0.contains(&double)),
            _ => false,
        };
        let float = match byte(at + FLOAT + 4) {
            Some(0) => self.float.is_none(),
            Some(1) => self.float.is_some() && word(at + FLOAT) == self.float,
            _ => false,
        };
        self.words.iter().enumerate().all(|(index, told)| word(at + 4 * index) == Some(*told))
            && word(at - NEXT) == Some(self.next)
            && word(at - LEFT) == Some(self.left)
            && normal
            && float
    }
}

unsafe fn find(python: &Python, known: Object) -> Result<Stream, String> {
    let mapped = Mapped::now();
    // SAFETY: `prove`'s contract: the namespace and what is in it are alive.
    unsafe {
        let get = |name: &CStr| (python.dict_get_string)(known, name.as_ptr());
        let (generator, default) = (get(c"generator"), get(c"default"));
        let told = Told::of(python, get(c"state")).zip(Told::of(python, get(c"default_state")));
        let Some((told, told_default)) = told else {
            return Err("the layout of a generator's state is not a known one".to_owned());
        };
        if generator.is_null() || default.is_null() || !told.normal.1 {
            return Err("the state of a known generator is not read correctly".to_owned());
        }
        let object = |holder: Object| mapped.read::<usize>(holder as usize + IN_OBJECT).unwrap_or(0);
        let (known_object, default_object) = (object(generator), object(default));
        let class = mapped.read::<usize>(known_object).unwrap_or(0);
        let words = (LEFT..FARTHEST)
            .step_by(4)
            .find(|offset| told.lies_at(&mapped, known_object, *offset))
            .ok_or("where a generator keeps its state was not found")?;
        if class == 0
            || mapped.read::<usize>(default_object) != Some(class)
            || python.type_of(generator) != python.type_of(default)
            || !told_default.lies_at(&mapped, default_object, words)
        {
            return Err("the default generator is not read correctly".to_owned());
        }
        Ok(Stream { default, class, words })
    }
}
