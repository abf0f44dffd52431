//! What of libtorch was proven at start-up and may be read. What failed the proof is not here.

use super::modes::{Modes, Now};
use super::tensor::Tensors;
use std::sync::OnceLock;

static TENSORS: OnceLock<Tensors> = OnceLock::new();
static MODES: OnceLock<Modes> = OnceLock::new();

/// Tensors are read from here on.
pub fn read_tensors(proven: Tensors) {
    let _ = TENSORS.set(proven);
}

/// Modes are read from here on.
pub fn read_modes(proven: Modes) {
    let _ = MODES.set(proven);
}

/// Reads tensors; `None` where that is off.
#[inline]
pub fn tensors() -> Option<&'static Tensors> {
    TENSORS.get()
}

/// The modes of this thread.
#[inline]
pub fn modes() -> Now {
    MODES.get().map_or_else(Now::default, Modes::now)
}
