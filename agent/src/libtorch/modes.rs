//! The modes that a call runs under: of its thread (gradients, inference, autocast) and of the process (determinism,
//! precision of matrix products, default type, and whether gradients are kept from being reduced over the ranks).
//!
//! Nothing that can throw is asked for them: the flags of the process are read from `at::Context`, where the one
//! without a getter of that kind is found by trying its setter on a context of the agent's own. The others are getters
//! of one word. All are proven at start-up; what is not is left out, with a reason.

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use traincheck_schema::record::flags;

use super::library::{Autocast, ContextFunctions, Libtorch, ModeFunctions, SetMatmulPrecision};
use super::view::Dtype;
use crate::sink;

/// `c10::DeviceType`.
const CPU: i8 = 0;
const CUDA: i8 = 1;
/// `c10::ScalarType` of float16, float32, float64.
const FLOAT16: i8 = 5;
const FLOAT32: i8 = 6;
const FLOAT64: i8 = 7;

/// Reads the modes of the calling thread.
#[derive(Clone, Copy)]
pub struct Modes {
    functions: ModeFunctions,
    contexts: Contexts,
}

/// What makes a context, as far as it was proven.
#[derive(Clone, Copy, Default)]
struct Contexts {
    autocast_dtype: Option<unsafe extern "C-unwind" fn(i8) -> i8>,
    default_dtype: Option<unsafe extern "C-unwind" fn() -> i8>,
    process: Option<Process>,
}

/// A part of a context that is proven for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextPart {
    /// Autocast and its type.
    Autocast,
    /// The default type.
    DefaultType,
    /// The precision of matrix products.
    MatmulPrecision,
    /// All that is of the process: determinism, and that precision.
    OfProcess,
}

/// The flags of the process's `at::Context`.
#[derive(Clone, Copy)]
struct Process {
    /// The context, which lives as long as the process.
    context: usize,
    functions: ContextFunctions,
    /// Where in it the precision of matrix products is, in bytes; none: not known.
    matmul: Option<usize>,
}

/// What a call runs under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// [`flags::GRAD`], [`flags::INFERENCE`] and [`flags::AUTOCAST`] (for the CPU or for CUDA).
    pub flags: u16,
    /// The rest, as [`Context`] packs it; 0: PyTorch's defaults.
    context: u32,
}

/// The fields of a packed context: where they begin, in bits.
mod at {
    pub const CPU: u32 = 0;
    pub const CUDA: u32 = 7;
    pub const DETERMINISTIC: u32 = 14;
    pub const WARN_ONLY: u32 = 15;
    pub const MATMUL: u32 = 16;
    /// Different bits from those of float32.
    pub const DEFAULT_DTYPE: u32 = 18;
    pub const NO_SYNC: u32 = 24;
}

/// How many `no_sync` are open, in any thread: the setting is one of the module.
static NO_SYNC: AtomicU32 = AtomicU32::new(0);

/// A `no_sync` that is open, until this is dropped.
pub struct NoSync(());

impl NoSync {
    /// One begins.
    pub fn begin() -> NoSync {
        NO_SYNC.fetch_add(1, Ordering::Relaxed);
        NoSync(())
    }
}

impl Drop for NoSync {
    fn drop(&mut self) {
        NO_SYNC.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The number of a type fits in six bits.
const DTYPE: u32 = 0x3f;

/// What the modes have to be after each of the switches that a proof is made with: no gradients and back, inference
/// and back, autocast for the CPU and back. Before the first of them they are as at the start of a thread.
pub const SWITCHES: [u16; 6] =
    [0, flags::GRAD, flags::INFERENCE, flags::GRAD, flags::GRAD | flags::AUTOCAST, flags::GRAD];

impl Modes {
    /// The getters, after each of [`SWITCHES`] was seen through them; the reason where this version does not export
    /// them, or one was not seen. Contexts come with [`Modes::prove_contexts`].
    pub fn prove(library: &Libtorch, mut switch: impl FnMut(usize)) -> Result<Modes, String> {
        let modes = Modes { functions: library.modes.clone()?, contexts: Contexts::default() };
        if modes.flags() != flags::GRAD {
            return Err("the modes of a new thread are not the defaults".to_owned());
        }
        let mut proven = true;
        for (number, expected) in SWITCHES.into_iter().enumerate() {
            // All of them, even after one that was not seen: every second undoes the one before.
            switch(number);
            proven &= modes.flags() == expected;
        }
        if proven { Ok(modes) } else { Err("known modes are not read correctly".to_owned()) }
    }

    /// Finds what makes contexts, and proves it: while `set(true)` has run, autocast is on for the CPU in float16 and
    /// the default type is float64; `set(false)` puts back what was. Gives back what could not be proven, and why.
    ///
    /// # Safety
    /// The library's symbols are what their names say. `set` may run Python code; no other thread uses libtorch.
    pub unsafe fn prove_contexts(
        &mut self,
        library: &Libtorch,
        set: impl Fn(bool),
    ) -> Vec<(ContextPart, String)> {
        let mut off = Vec::new();
        let mut note = |what, why| off.push((what, why));
        // SAFETY: the caller's guarantee. The getters take devices that they know and throw nothing.
        unsafe {
            let look = |contexts: &Contexts| {
                (contexts.autocast_dtype.map(|get| get(CPU)), contexts.default_dtype.map(|get| get()))
            };
            match &library.contexts.autocast_dtype {
                Ok(get) => self.contexts.autocast_dtype = Some(*get),
                Err(why) => note(ContextPart::Autocast, why.clone()),
            }
            match &library.contexts.default_dtype {
                Ok(get) => self.contexts.default_dtype = Some(*get),
                Err(why) => note(ContextPart::DefaultType, why.clone()),
            }
            let before = (self.flags(), look(&self.contexts));
            set(true);
            let (flags, (autocast, default)) = (self.flags(), look(&self.contexts));
            set(false);
            let restored = before == (self.flags(), look(&self.contexts));
            let why = "a known setting is not read correctly";
            if self.contexts.autocast_dtype.is_some()
                && !(restored && flags & flags::AUTOCAST != 0 && autocast == Some(FLOAT16))
            {
                self.contexts.autocast_dtype = None;
                note(ContextPart::Autocast, why.to_owned());
            }
            if self.contexts.default_dtype.is_some() && !(restored && default == Some(FLOAT64)) {
                self.contexts.default_dtype = None;
                note(ContextPart::DefaultType, why.to_owned());
            }
            match library.contexts.process.clone().and_then(|functions| Process::prove(functions)) {
                Ok((process, matmul)) => {
                    self.contexts.process = Some(process);
                    if let Err(why) = matmul {
                        note(ContextPart::MatmulPrecision, why);
                    }
                }
                Err(why) => note(ContextPart::OfProcess, why),
            }
        }
        off
    }

    /// The modes that are flags of an event.
    #[inline]
    pub fn flags(&self) -> u16 {
        self.now().flags
    }

    /// The modes of this thread.
    #[inline]
    pub fn now(&self) -> Now {
        // SAFETY: getters of thread-local flags and of the process's; those that take a device know these two.
        unsafe {
            let (on_cpu, on_cuda) = match self.functions.autocast {
                Autocast::ByDevice(is_enabled) => (is_enabled(CPU), is_enabled(CUDA)),
                Autocast::Apart(on_cpu, on_cuda) => (on_cpu(), on_cuda()),
            };
            let bit = |on: bool, flag: u16| if on { flag } else { 0 };
            let flags = bit((self.functions.grad)(), flags::GRAD)
                | bit((self.functions.inference)(), flags::INFERENCE)
                | bit(on_cpu || on_cuda, flags::AUTOCAST);
            let mut context = u32::from(NO_SYNC.load(Ordering::Relaxed) != 0) << at::NO_SYNC;
            if let Some(dtype) = self.contexts.autocast_dtype {
                if on_cpu {
                    context |= packed_device(dtype(CPU)) << at::CPU;
                }
                if on_cuda {
                    context |= packed_device(dtype(CUDA)) << at::CUDA;
                }
            }
            if let Some(dtype) = self.contexts.default_dtype {
                context |= (dtype() as u32 & DTYPE ^ FLOAT32 as u32) << at::DEFAULT_DTYPE;
            }
            if let Some(process) = &self.contexts.process {
                context |= process.packed();
            }
            Now { flags, context }
        }
    }
}

/// Autocast that is on for a device, in this type.
fn packed_device(dtype: i8) -> u32 {
    1 | (dtype as u32 & DTYPE) << 1
}

impl Process {
    #[inline]
    fn packed(&self) -> u32 {
        let context = self.context as *const c_void;
        // SAFETY: the context lives as long as the process; the getters read one byte each, and the offset was proven
        // to be that of an aligned word in it.
        unsafe {
            let deterministic = (self.functions.deterministic)(context);
            let warn_only = deterministic && (self.functions.warn_only)(context);
            let matmul =
                self.matmul.map_or(0, |offset| ((self.context + offset) as *const u32).read_volatile());
            u32::from(deterministic) << at::DETERMINISTIC
                | u32::from(warn_only) << at::WARN_ONLY
                | (matmul & 3) << at::MATMUL
        }
    }

    /// Tries getters and setters on a context of the agent's own; that of the process is not touched. The offset of
    /// the precision may be unknown where the rest is not.
    ///
    /// # Safety
    /// The functions are libtorch's.
    unsafe fn prove(functions: ContextFunctions) -> Result<(Process, Result<(), String>), String> {
        /// Bytes for a context, which takes 1,500 or so.
        const ROOM: usize = 1 << 14;
        // Its constructor reads these, and would complain on stderr of a value that is none, as it has done before.
        let complains = std::env::vars_os().any(|(name, value)| {
            let name = name.to_string_lossy();
            name.starts_with("TORCH_")
                && (name.contains("PREFER") || name.contains("TF32"))
                && value != "0"
                && value != "1"
        });
        if complains {
            return Err("a variable of the environment has a value that PyTorch warns of".to_owned());
        }
        let scratch: &'static mut [u64] = vec![0; ROOM / 8].leak();
        let place = scratch.as_mut_ptr().cast::<c_void>();
        // SAFETY: the memory is large enough, aligned, and never freed; the constructor and the setters touch nothing
        // but the object and the heap.
        unsafe {
            (functions.construct)(place);
            for (on, warn_only) in [(true, false), (true, true), (false, false)] {
                (functions.set_deterministic)(place, on, warn_only);
                if (functions.deterministic)(place) != on || (functions.warn_only)(place) != warn_only {
                    return Err("a known setting is not read correctly".to_owned());
                }
            }
            let context = (functions.global)() as usize;
            if context == 0 {
                return Err("the process has no context".to_owned());
            }
            let found = match functions.set_matmul_precision {
                Ok(set) => find_matmul(place, ROOM, set),
                Err(why) => Err(why.to_owned()),
            };
            let matmul = found.as_ref().ok().copied();
            Ok((Process { context, functions, matmul }, found.map(|_| ())))
        }
    }
}

/// Where in a context the precision of matrix products is: the one word that follows the setter.
///
/// # Safety
/// `place` is a constructed context in `room` bytes of memory, and `set` its setter.
unsafe fn find_matmul(place: *mut c_void, room: usize, set: SetMatmulPrecision) -> Result<usize, String> {
    let mut candidates: Vec<usize> = (0..room).step_by(4).collect();
    for precision in [1, 2, 0, 2, 1, 0] {
        // SAFETY: the caller's guarantee.
        unsafe {
            set.call(place, precision);
            candidates.retain(|offset| place.byte_add(*offset).cast::<u32>().read_volatile() == precision);
        }
    }
    match candidates[..] {
        [offset] => Ok(offset),
        _ => Err("where it is kept was not found".to_owned()),
    }
}

impl Now {
    /// The dictionary id of the context; 0 for PyTorch's defaults.
    #[inline]
    pub fn context(self) -> u32 {
        /// Contexts that were used last, by content: the packed form above, the id below.
        static CACHE: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
        if self.context == 0 {
            return 0;
        }
        let hash = self.context.wrapping_mul(0x9e37_79b9) >> 28;
        let Some(slot) = CACHE.get(hash as usize) else { return define(self.context) };
        let cached = slot.load(Ordering::Relaxed);
        if (cached >> 32) as u32 == self.context {
            return cached as u32;
        }
        let id = define(self.context);
        slot.store(u64::from(self.context) << 32 | u64::from(id), Ordering::Relaxed);
        id
    }
}

#[cold]
fn define(context: u32) -> u32 {
    /// Packed forms and their ids: a handful in any job.
    static DEFINED: Mutex<Vec<(u32, u32)>> = Mutex::new(Vec::new());
    let mut defined = DEFINED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, id)) = defined.iter().find(|(known, _)| *known == context) {
        return *id;
    }
    let id = sink::context(text(context));
    defined.push((context, id));
    id
}

/// The text of a packed context.
fn text(context: u32) -> String {
    let name = |number: u32| {
        let dtype = Dtype::from_scalar_type(number as u16);
        dtype.map_or_else(|| format!("type {number}"), |dtype| dtype.name().to_owned())
    };
    let bits = |at: u32, mask: u32| context >> at & mask;
    let mut parts = Vec::new();
    for (device, at) in [("cpu", at::CPU), ("cuda", at::CUDA)] {
        if bits(at, 1) != 0 {
            parts.push(format!("autocast({device}, {})", name(bits(at + 1, DTYPE))));
        }
    }
    if bits(at::DETERMINISTIC, 1) != 0 {
        parts.push(
            if bits(at::WARN_ONLY, 1) != 0 { "deterministic(warn)" } else { "deterministic" }.to_owned(),
        );
    }
    match bits(at::MATMUL, 3) {
        0 => {}
        1 => parts.push("matmul=high".to_owned()),
        2 => parts.push("matmul=medium".to_owned()),
        _ => parts.push("matmul=unknown".to_owned()),
    }
    if bits(at::DEFAULT_DTYPE, DTYPE) != 0 {
        parts.push(format!("default_dtype={}", name(bits(at::DEFAULT_DTYPE, DTYPE) ^ FLOAT32 as u32)));
    }
    if bits(at::NO_SYNC, 1) != 0 {
        parts.push("no_sync".to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_context_lists_what_is_set_in_a_fixed_order() {
        let bf16 = packed_device(15);
        assert_eq!(text(0), "");
        assert_eq!(text(bf16 << at::CPU), "autocast(cpu, bfloat16)");
        let all = bf16 << at::CPU
            | packed_device(FLOAT16) << at::CUDA
            | 1 << at::DETERMINISTIC
            | 1 << at::MATMUL
            | ((FLOAT64 ^ FLOAT32) as u32) << at::DEFAULT_DTYPE
            | 1 << at::NO_SYNC;
        assert_eq!(
            text(all),
            "autocast(cpu, bfloat16) autocast(cuda, float16) deterministic matmul=high default_dtype=float64 no_sync"
        );
        assert_eq!(text(3 << at::DETERMINISTIC | 2 << at::MATMUL), "deterministic(warn) matmul=medium");
    }

    #[test]
    fn a_context_is_defined_once() {
        let now = Now { flags: 0, context: 1 << at::DETERMINISTIC };
        let id = now.context();
        assert_ne!(id, 0);
        assert_eq!(now.context(), id);
        assert_eq!(define(now.context), id);
        assert_eq!(Now::default().context(), 0);
    }

    thread_local! {
        static NOW: Cell<u16> = const { Cell::new(flags::GRAD) };
    }

    unsafe extern "C-unwind" fn grad() -> bool {
        NOW.get() & flags::GRAD != 0
    }

    unsafe extern "C-unwind" fn inference() -> bool {
        NOW.get() & flags::INFERENCE != 0
    }

    unsafe extern "C-unwind" fn autocast(device: i8) -> bool {
        device == 0 && NOW.get() & flags::AUTOCAST != 0
    }

    fn library(grad: unsafe extern "C-unwind" fn() -> bool) -> Libtorch {
        let autocast = Autocast::ByDevice(autocast);
        Libtorch {
            modes: Ok(ModeFunctions { grad, inference, autocast }),
            ..Libtorch::empty("not used here")
        }
    }

    #[test]
    fn getters_are_believed_once_they_have_shown_every_switch() {
        NOW.set(flags::GRAD);
        let modes = Modes::prove(&library(grad), |number| NOW.set(SWITCHES[number])).expect("proven");
        NOW.set(flags::INFERENCE);
        assert_eq!(modes.flags(), flags::INFERENCE);
    }

    #[test]
    fn a_getter_that_says_something_else_is_not_believed_and_everything_is_switched_back() {
        NOW.set(flags::GRAD);
        // Gradients are not seen to be off.
        let lying = library(autocast_on_cuda_as_grad);
        let why = Modes::prove(&lying, |number| NOW.set(SWITCHES[number])).err().expect("a reason");
        assert_eq!(why, "known modes are not read correctly");
        assert_eq!(NOW.get(), flags::GRAD);
    }

    unsafe extern "C-unwind" fn autocast_on_cuda_as_grad() -> bool {
        true
    }

    #[test]
    fn nothing_is_switched_in_a_thread_that_has_modes_of_its_own() {
        NOW.set(flags::GRAD | flags::AUTOCAST);
        let why = Modes::prove(&library(grad), |_| panic!("switched")).err().expect("a reason");
        assert_eq!(why, "the modes of a new thread are not the defaults");
    }
}
