//! `libtraincheck.so`: the part of traincheck that is preloaded into a training process.
//!
//! It sees Python calls ([`python`]), ops ([`torch::dispatcher`]) and the state of the job's variables ([`state`]),
//! keeps account of where the job stands ([`progress`]), and writes what it saw into rings from which one writer
//! thread makes segments ([`sink`]). What is recorded is a table ([`plan`]).
//!
//! It must never harm the process that it is in: nothing is printed, no panic crosses into foreign code, what cannot
//! be proven at start-up is not used, and whatever fails switches itself off.

mod budget;
mod calls;
mod cost;
mod gil;
mod hash;
mod native;
pub mod plan;
pub mod process;
pub mod progress;
pub mod python;
mod reserve;
pub mod settings;
pub mod sink;
pub mod state;
pub mod torch;

use std::sync::OnceLock;
use traincheck_schema::run::SettingInfo;

/// What the start of a run says about the job. Known once torch is imported.
static JOB: OnceLock<sink::StartInfo> = OnceLock::new();

/// Runs before `main` in every process that the library is preloaded into.
unsafe extern "C" fn constructor() {
    // No unwinding out of a constructor; there is nothing in here that panics short of a defect.
    let _ = std::panic::catch_unwind(|| {
        process::boot();
        calls::boot();
        python::boot::boot();
    });
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: unsafe extern "C" fn() = constructor;

/// Remembers what the start of the run will say.
fn describe_job(python_version: String, torch_version: String, settings: Vec<SettingInfo>) {
    let profile = settings::get().profile.name().to_owned();
    let _ = JOB.set(sink::StartInfo { python_version, torch_version, profile, settings });
}

/// The first training event: from here on there is a run folder.
fn start_recording() {
    if !sink::is_started()
        && !sink::is_inert()
        && let Some(job) = JOB.get()
    {
        sink::start(job.clone());
    }
}
