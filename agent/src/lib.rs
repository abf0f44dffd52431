//! `libtraincheck.so`: the part of traincheck that is preloaded into a training process.
//!
//! A folder is a layer, and the order is from top to bottom:
//!
//! - [`boot`] gets the agent into a process and out of it;
//! - [`hooks`] sees Python calls and ops;
//! - [`training`] knows what calls mean: the table of functions, roles, iterations and stages;
//! - [`state`] looks at the state of the job: variables, fingerprints, random streams;
//! - [`interpreter`] and [`libtorch`] are bindings that know no training;
//! - [`sink`] writes what was seen into rings, from which one writer thread makes segments;
//! - [`base`] is what all of them rest on.
//!
//! It must never harm the process that it is in: nothing is printed, no panic crosses into foreign code, what cannot
//! be proven at start-up is not used, and whatever fails switches itself off.

pub mod base;
pub mod boot;
pub mod hooks;
pub mod interpreter;
pub mod libtorch;
pub mod sink;
pub mod state;
pub mod training;

/// Runs before `main` in every process that the library is preloaded into.
unsafe extern "C" fn constructor() {
    // No unwinding out of a constructor; there is nothing in here that panics short of a defect.
    let _ = std::panic::catch_unwind(|| {
        boot::process::boot();
        training::calls::boot();
        boot::boot();
    });
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: unsafe extern "C" fn() = constructor;
