//! What is read from libtorch's memory at every look and every call: tensors, and the modes that calls run under.

use super::hook::{Hook, State};
use super::source::{Job, Need, Source};
use crate::base::memory;
use crate::libtorch::history::KnownHistories;
use crate::libtorch::modes;
use crate::libtorch::proven;
use crate::libtorch::tensor::{KnownTensors, Tensors};
use std::sync::OnceLock;

/// Tensors.
pub struct Variables;

/// As they were proven, and what of them was not.
static TENSORS: OnceLock<(Tensors, Vec<(Hook, State)>)> = OnceLock::new();

impl Source for Variables {
    fn hook(&self) -> Hook {
        Hook::Variables
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Libtorch]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        let library = job.library()?;
        // SAFETY: the caller's word; the objects are tensors as `KnownTensors` describes them, alive in the namespace.
        unsafe {
            let known = KnownTensors {
                a: job.get(c"a"),
                b: job.get(c"b"),
                c: job.get(c"c"),
                p: job.get(c"p"),
                deep: job.get(c"deep"),
                meta: job.get(c"meta"),
            };
            let mut tensors = Tensors::prove(library, &known)?;
            let known = KnownHistories {
                three: job.get(c"three"),
                five: job.get(c"five"),
                made: job.get(c"made"),
                leaf: job.get(c"p"),
            };
            let unproven = tensors.prove_history(library, &known).into_iter();
            let mut unproven: Vec<_> = unproven.map(|why| (Hook::Arguments, State::Off { why })).collect();
            if !memory::can_be_copied() {
                let why = "the system gives the process no copy of its own memory".to_owned();
                unproven.push((Hook::OtherMemory, State::Off { why }));
            }
            let _ = TENSORS.set((tensors, unproven));
        }
        Ok(())
    }

    unsafe fn install(&self, _: &Job) -> Result<&'static str, String> {
        if let Some((tensors, _)) = TENSORS.get() {
            proven::read_tensors(*tensors);
        }
        Ok("fields of TensorImpl")
    }

    fn parts(&self) -> Vec<(Hook, State)> {
        TENSORS.get().map(|(_, unproven)| unproven.clone()).unwrap_or_default()
    }
}

/// The modes that calls run under.
pub struct Modes;

/// As they were proven, and what of them was not.
static MODES: OnceLock<(modes::Modes, Vec<(Hook, State)>)> = OnceLock::new();

impl Source for Modes {
    fn hook(&self) -> Hook {
        Hook::Modes
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Libtorch]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        let library = job.library()?;
        // SAFETY: the caller's word; the functions of the namespace set what their names say, and put it back.
        unsafe {
            let switches = job.get(c"known_switches");
            let mut modes = modes::Modes::prove(library, |number| {
                job.call((job.python.list_get)(switches, number as isize));
            })?;
            let set = |on| job.call(job.get(if on { c"known_modes" } else { c"own_modes" }));
            let unproven = modes.prove_contexts(library, set).into_iter();
            let unproven = unproven.map(|(part, why)| (Hook::Context(part), State::Off { why })).collect();
            let _ = MODES.set((modes, unproven));
        }
        Ok(())
    }

    unsafe fn install(&self, _: &Job) -> Result<&'static str, String> {
        if let Some((modes, _)) = MODES.get() {
            proven::read_modes(*modes);
        }
        Ok("getters of libtorch")
    }

    fn parts(&self) -> Vec<(Hook, State)> {
        MODES.get().map(|(_, unproven)| unproven.clone()).unwrap_or_default()
    }
}
