//! What is recorded of a Python call, however it is seen: which code is wanted, its entry and return, what it is given
//! and gives back, and how it is suspended and resumed.

mod arguments;
pub mod call;
pub mod code;
pub mod functions;
pub mod generators;
pub mod guard;
mod sites;
mod values;

use super::hook::{Hook, State};
use crate::interpreter::api::Python;
use crate::interpreter::frame;

/// Proves what is read of calls.
///
/// # Errors
/// Says what is not as expected.
///
/// # Safety
/// The GIL is held and no exception is set.
pub unsafe fn prove(python: &Python) -> Result<(), String> {
    if code::extra() < 0 {
        return Err("no slot for extra data of code objects".to_owned());
    }
    // SAFETY: the caller's word.
    unsafe { frame::prove(python) }
}

/// What is on or off where calls are seen.
pub fn parts() -> Vec<(Hook, State)> {
    let workers = State::On { how: "not recorded: the hooks are removed in them" };
    let mut parts = vec![(Hook::LoaderWorkers, workers)];
    if !frame::generators_are_proven() {
        let why = "the layout of generators is not the expected one: each resumption is recorded as a call of its own";
        parts.push((Hook::SuspendedCalls, State::Off { why: why.to_owned() }));
    }
    parts
}
