//! libtorch, as far as it was proven at start-up. What failed the proof is off, and the trace says so.

use super::history::KnownHistories;
use super::library::Libtorch;
use super::modes::{Modes, Now};
use super::tensor::{KnownTensors, Tensors};
use crate::base::settings;
use crate::hooks::record_function;
use crate::interpreter::api::{Object, Python};
use crate::sink;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use traincheck_settings::Profile;

struct Native {
    tensors: Option<Tensors>,
    modes: Option<Modes>,
}

static NATIVE: OnceLock<Native> = OnceLock::new();
/// Ops are recorded.
static OPS: AtomicBool = AtomicBool::new(false);
/// Every op is recorded, not only in sampled iterations.
static FULL: AtomicBool = AtomicBool::new(false);

/// Finds libtorch, proves what is used of it against the objects in the namespace `known`, and switches it on.
///
/// # Safety
/// The GIL is held, no exception is set, torch is imported.
pub unsafe fn install(python: &Python, known: Object) {
    let library = match Libtorch::find() {
        Ok(library) => library,
        Err(why) => {
            sink::note_hook_off("libtorch", &why);
            return;
        }
    };
    // SAFETY: the caller's word; the objects are tensors as `KnownTensors` describes them, alive in the namespace.
    unsafe {
        let get = |name: &std::ffi::CStr| (python.dict_get_string)(known, name.as_ptr());
        let tensors = KnownTensors {
            a: get(c"a"),
            b: get(c"b"),
            c: get(c"c"),
            p: get(c"p"),
            deep: get(c"deep"),
            meta: get(c"meta"),
        };
        let mut tensors =
            sink::note_hook("variables", "fields of TensorImpl", Tensors::prove(&library, &tensors));
        if let Some(tensors) = &mut tensors {
            let known = KnownHistories {
                three: get(c"three"),
                five: get(c"five"),
                made: get(c"made"),
                leaf: get(c"p"),
            };
            for why in tensors.prove_history(&library, &known) {
                sink::note_hook_off("arguments", &why);
            }
        }
        let call = |function: Object| {
            let result = (python.call_no_args)(function);
            if result.is_null() {
                (python.error_clear)();
            } else {
                (python.dec_ref)(result);
            }
        };
        let switches = get(c"known_switches");
        let modes = Modes::prove(&library, |number| {
            call((python.list_get)(switches, number as isize));
        });
        let mut modes = sink::note_hook("modes", "getters of libtorch", modes);
        if let Some(modes) = &mut modes {
            let set = |on| call(get(if on { c"known_modes" } else { c"own_modes" }));
            for (what, why) in modes.prove_contexts(&library, set) {
                sink::note_hook_off(what, &why);
            }
        }
        let _ = NATIVE.set(Native { tensors, modes });
        let profile = settings::get().profile;
        if profile == Profile::Minimal {
            for hook in record_function::HOOKS {
                sink::note_hook_off(hook, "the profile is minimal");
            }
            return;
        }
        let proven = record_function::prove(&library, || {
            call(get(c"known_op"));
            call(get(c"known_scope"));
        });
        let installed = record_function::install(&library, &proven);
        for (hook, proven) in record_function::HOOKS.into_iter().zip([
            proven.scopes.clone(),
            proven.ops.clone(),
            proven.nodes(),
        ]) {
            sink::note_hook(hook, "callbacks of RecordFunction", proven.and(installed.clone()));
        }
        OPS.store(proven.ops.is_ok() && installed.is_ok(), Ordering::Relaxed);
        FULL.store(profile == Profile::Full, Ordering::Relaxed);
        if profile == Profile::Full {
            record_function::all_ops(true);
        }
    }
}

/// Reads tensors; `None` where that is off.
#[inline]
pub fn tensors() -> Option<&'static Tensors> {
    NATIVE.get().and_then(|native| native.tensors.as_ref())
}

/// The modes of this thread.
#[inline]
pub fn modes() -> Now {
    NATIVE.get().and_then(|native| native.modes.as_ref()).map_or_else(Now::default, |modes| modes.now())
}

/// Records every op from here on, or only user scopes. In the full profile it is always every op.
pub fn record_all_ops(on: bool) {
    if records_ops() && !FULL.load(Ordering::Relaxed) {
        record_function::all_ops(on);
    }
}

/// Whether ops are recorded at all.
pub fn records_ops() -> bool {
    OPS.load(Ordering::Relaxed)
}
