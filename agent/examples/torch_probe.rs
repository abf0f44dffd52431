//! What `tests/torch.rs` loads into a Python with PyTorch, to drive parts of the agent by hand.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use traincheck::hooks::record_function;
use traincheck::libtorch::library::Libtorch;
use traincheck::libtorch::modes::Modes;
use traincheck::libtorch::tensor::{KnownTensors, TensorRef, Tensors};
use traincheck::sink::{self, StartInfo};
use traincheck::state::fingerprint;

static TENSORS: OnceLock<Tensors> = OnceLock::new();
static MODES: OnceLock<Modes> = OnceLock::new();

/// What a look at a tensor gives, for ctypes.
#[repr(C)]
pub struct Found {
    hash_low: u64,
    hash_high: u64,
    zeros: u64,
    elements: u64,
    storage: u64,
    nan: u32,
    inf: u32,
    min: f32,
    max: f32,
    l2: f32,
    requires_grad: u32,
}

/// Null for success, else a C string that lives for ever.
fn answer(result: Result<(), String>) -> *const c_char {
    match result {
        Ok(()) => ptr::null(),
        Err(why) => CString::new(why).unwrap_or_default().into_raw(),
    }
}

/// Proves the getters of modes.
///
/// # Safety
/// `switch` makes the switches that [`Modes::prove`] asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_prove_modes(switch: unsafe extern "C-unwind" fn(usize)) -> *const c_char {
    // SAFETY: the caller's guarantee.
    let prove = || Modes::prove(&Libtorch::find()?, |number| unsafe { switch(number) });
    answer(prove().map(|modes| {
        let _ = MODES.set(modes);
    }))
}

/// Proves the layout of tensors.
///
/// # Safety
/// As for [`Tensors::prove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_prove_tensors(known: &KnownTensors) -> *const c_char {
    answer((|| {
        let library = Libtorch::find()?;
        // SAFETY: the caller's guarantee.
        let _ = TENSORS.set(unsafe { Tensors::prove(&library, known)? });
        Ok(())
    })())
}

/// The mode flags of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn probe_modes() -> u32 {
    MODES.get().map_or(u32::MAX, |modes| u32::from(modes.flags()))
}

/// Looks at a tensor.
///
/// # Safety
/// `object` is a tensor, `found` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_look(object: *mut c_void, found: &mut Found) -> *const c_char {
    answer((|| {
        let tensors = TENSORS.get().ok_or("nothing was proven")?;
        // SAFETY: the caller's guarantee.
        unsafe { look(tensors, tensors.from_python(object).ok_or("undefined")?, found) }
    })())
}

/// Looks at the gradient of a tensor.
///
/// # Safety
/// As for [`probe_look`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_look_grad(object: *mut c_void, found: &mut Found) -> *const c_char {
    answer((|| {
        let tensors = TENSORS.get().ok_or("nothing was proven")?;
        // SAFETY: the caller's guarantee.
        unsafe {
            let tensor = tensors.from_python(object).ok_or("undefined")?;
            look(tensors, tensors.grad(tensor).ok_or("no gradient")?, found)
        }
    })())
}

unsafe fn look(tensors: &Tensors, tensor: TensorRef, found: &mut Found) -> Result<(), String> {
    // SAFETY: the tensor lives and nothing else runs.
    unsafe {
        found.storage = tensors.storage_id(tensor) as u64;
        found.requires_grad = u32::from(tensors.requires_grad(tensor));
        let view = tensors.view(tensor).map_err(|why| why.to_string())?;
        let fingerprint = fingerprint::fingerprint_of(&view);
        let (storage, requires_grad) = (found.storage, found.requires_grad);
        *found = Found {
            hash_low: fingerprint.hash_low,
            hash_high: fingerprint.hash_high,
            zeros: fingerprint.zeros,
            elements: fingerprint.elements,
            storage,
            nan: fingerprint.nan,
            inf: fingerprint.inf,
            min: fingerprint.min,
            max: fingerprint.max,
            l2: fingerprint.l2,
            requires_grad,
        };
        Ok(())
    }
}

/// Nanoseconds that a view, a view with its fingerprint, and a gradient with requires_grad take, each the mean of many.
///
/// # Safety
/// `object` is a tensor that can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_time(object: *mut c_void, nanoseconds: &mut [f64; 3]) {
    const TIMES: u32 = 1_000_000;
    let Some(tensors) = TENSORS.get() else { return };
    // SAFETY: the caller's guarantee.
    unsafe {
        let time = |work: &dyn Fn()| {
            let begin = sink::now();
            for _ in 0..TIMES {
                work();
            }
            (sink::now() - begin) as f64 / f64::from(TIMES)
        };
        let view = || {
            let tensor = tensors.from_python(std::hint::black_box(object));
            tensor.map(|tensor| tensors.view(tensor))
        };
        nanoseconds[0] = time(&|| {
            std::hint::black_box(view());
        });
        nanoseconds[1] = time(&|| {
            std::hint::black_box(view().map(|view| view.map(|view| fingerprint::fingerprint_of(&view))));
        });
        nanoseconds[2] = time(&|| {
            let tensor = tensors.from_python(std::hint::black_box(object));
            std::hint::black_box(tensor.map(|tensor| (tensors.grad(tensor), tensors.requires_grad(tensor))));
        });
    }
}

/// Proves the callbacks of ops, installs them and starts a run.
///
/// # Safety
/// `known` runs `torch.arange(4) + 1` and the known scope.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_start_ops(known: unsafe extern "C-unwind" fn()) -> *const c_char {
    answer((|| {
        let library = Libtorch::find()?;
        // SAFETY: the caller's guarantee.
        unsafe {
            let proven = record_function::prove(&library, "2", || known());
            record_function::install(&library, &proven)?;
            proven.nodes()?;
        }
        sink::choose_folder();
        if sink::start(StartInfo::default()) { Ok(()) } else { Err(format!("{:?}", sink::trouble())) }
    })())
}

/// Proves the callbacks alone.
///
/// # Safety
/// `known` may be anything.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_prove_ops(known: unsafe extern "C-unwind" fn()) -> *const c_char {
    // SAFETY: the caller's guarantee.
    answer((|| unsafe { record_function::prove(&Libtorch::find()?, "2", || known()).nodes() })())
}

/// Switches recording of all ops.
#[unsafe(no_mangle)]
pub extern "C" fn probe_all_ops(on: bool) {
    record_function::all_ops(on);
}

/// Ends the run.
///
/// # Safety
/// `why` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probe_seal(why: *const c_char) {
    // SAFETY: the caller's guarantee.
    sink::seal(&unsafe { CStr::from_ptr(why) }.to_string_lossy());
}
