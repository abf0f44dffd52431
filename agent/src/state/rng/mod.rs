//! Streams of random numbers: a fingerprint of the state of each, read where it lies. Nothing is drawn.
//!
//! PyTorch's default generator on the CPU, Python's `random`, numpy's global one, and the generators that loaders were
//! given. Generators of devices are not read: their state is not in host memory in any form that could be proven.

mod collect;
mod numpy;
mod python;
mod torch;
mod workers;

use super::fingerprint::Fingerprint;
use super::known::{Key, Name, with};
use super::objects;
use super::point::Point;
use crate::base::gil::Gil;
use crate::interpreter::api::{Object, Python};
pub use numpy::tell_of_numpy;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use traincheck_schema::record::{Event, VariableKind};
use workers::Twister;
pub use workers::compare as compare_workers;

/// Calls that seed are looked at this often in one iteration: a dataset may seed for every sample.
const SEEDS_PER_ITERATION: u32 = 4;

#[derive(Default)]
struct Streams {
    torch: Option<torch::Stream>,
    python: Option<python::Stream>,
    numpy: numpy::Stream,
}

static STREAMS: Gil<Option<Streams>> = Gil::new(None);

/// Proves how PyTorch's generators are read, and reads them from here on.
///
/// # Errors
/// Says what is not as expected.
///
/// # Safety
/// The GIL is held, no exception is set, torch is imported.
pub unsafe fn prove_torch(python: &Python) -> Result<(), String> {
    // SAFETY: the caller's word. What is run is the agent's own code, on generators of its own.
    unsafe {
        let stream = torch::Stream::prove(python)?;
        STREAMS.with(|streams| streams.get_or_insert_default().torch = Some(stream));
    }
    Ok(())
}

/// The same of Python's stream.
///
/// # Errors
/// See [`prove_torch`].
///
/// # Safety
/// See [`prove_torch`].
pub unsafe fn prove_python(python: &Python) -> Result<(), String> {
    // SAFETY: as in `prove_torch`.
    unsafe {
        let stream = python::Stream::prove(python)?;
        STREAMS.with(|streams| streams.get_or_insert_default().python = Some(stream));
    }
    Ok(())
}

/// A pass over a loader begins: looks at all streams, and at the generator that the loader was given.
///
/// # Safety
/// A live object or null; the GIL is held and no exception is set.
pub unsafe fn pass_begins(python: &Python, call: &Event, loader: Object) {
    // SAFETY: the caller's word.
    unsafe {
        look(python, call);
        if loader.is_null() || call.object == 0 {
            return;
        }
        let generator = python.instance_attribute(loader, c"generator");
        let found = STREAMS.with(|streams| {
            let stream = streams.as_ref()?.torch.as_ref()?;
            if generator.is_null() { None } else { stream.read(python, generator) }
        });
        if let Some(found) = found {
            let text = || format!("{}.generator", objects::name(call.object));
            let name = Name { kind: VariableKind::Rng, owner: call.object, text: &text };
            let key = Key::of(VariableKind::Rng, call.object);
            with(|known| known.contents(&Point::now(call), key, &name, Some(found)));
        }
    }
}

/// A call that seeds has returned.
///
/// # Safety
/// As [`look`].
pub unsafe fn seeded(python: &Python, call: &Event) {
    static LAST: AtomicU64 = AtomicU64::new(u64::MAX);
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if LAST.swap(u64::from(call.iteration), Ordering::Relaxed) != u64::from(call.iteration) {
        COUNT.store(0, Ordering::Relaxed);
    }
    if COUNT.fetch_add(1, Ordering::Relaxed) < SEEDS_PER_ITERATION {
        // SAFETY: the caller's word.
        unsafe { look(python, call) };
    }
}

/// Looks at all streams.
///
/// # Safety
/// The GIL is held, no exception is set, the thread's calls are marked busy.
pub unsafe fn look(python: &Python, call: &Event) {
    // SAFETY: the caller's word.
    unsafe {
        let numpy = numpy(python);
        let found = STREAMS.with(|streams| {
            let streams = streams.as_mut()?;
            let torch = streams.torch.as_ref().and_then(|stream| stream.read_default(python));
            let random = streams.python.as_ref().and_then(|stream| stream.read(python));
            Some([torch, random])
        });
        let Some([torch, random]) = found else { return };
        let point = Point::now(call);
        for (stream, found) in NAMES.into_iter().zip([torch, random, numpy.read(python)]) {
            say(&point, stream, found);
        }
    }
}

/// numpy's stream, if the program has imported it by now.
unsafe fn numpy(python: &Python) -> numpy::Stream {
    // SAFETY: `look`'s contract.
    unsafe {
        let known = STREAMS.with(|streams| Some(streams.get_or_insert_default().numpy));
        let found = known.unwrap_or(numpy::Stream::Off).found(python);
        STREAMS.with(|streams| streams.get_or_insert_default().numpy = found);
        found
    }
}

/// Where the streams lie, in the order of [`NAMES`].
unsafe fn twisters(python: &Python) -> [Option<Twister>; 3] {
    // SAFETY: `look`'s contract.
    unsafe {
        let numpy = numpy(python).twister(python);
        let found = STREAMS.with(|streams| {
            let streams = streams.as_ref()?;
            let torch = streams.torch.as_ref().and_then(|stream| stream.twister(python));
            Some([torch, streams.python.as_ref().map(python::Stream::twister)])
        });
        let [torch, random] = found.unwrap_or_default();
        [torch, random, numpy]
    }
}

/// The streams that everybody draws from.
const NAMES: [&str; 3] = ["torch.default_generator", "random", "numpy.random"];

/// Looks at PyTorch's stream alone, which is what models draw from.
///
/// # Safety
/// As [`look`].
pub unsafe fn look_at_torch(python: &Python, call: &Event) {
    // SAFETY: the caller's word.
    unsafe {
        let found = STREAMS.with(|streams| streams.as_ref()?.torch.as_ref()?.read_default(python));
        say(&Point::now(call), NAMES[0], found);
    }
}

/// Says what was found of the stream of this name; `None`: it is not read.
unsafe fn say(point: &Point, stream: &'static str, found: Option<Fingerprint>) {
    if found.is_some() {
        let text = || stream.to_owned();
        let name = Name { kind: VariableKind::Rng, owner: 0, text: &text };
        let key = Key::of(VariableKind::Rng, 0).named(stream);
        // SAFETY: `look`'s contract: the GIL is held; nothing in here runs Python code.
        unsafe { with(|known| known.contents(point, key, &name, found)) };
    }
}
