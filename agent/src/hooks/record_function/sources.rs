//! The hooks of libtorch's callbacks: user scopes, ops and autograd nodes. They are proven and put in together.

use super::{Proven, all_ops, install, prove, switch_off};
use crate::base::settings;
use crate::hooks::hook::Hook;
use crate::hooks::source::{Job, Need, Source};
use crate::interpreter::api::Python;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use traincheck_settings::Profile;

/// One kind of functions that libtorch calls back for.
pub struct Callbacks {
    hook: Hook,
    /// Whether it was proven.
    proven: fn(&Proven) -> Result<(), String>,
}

/// User scopes.
pub static USER_SCOPES: Callbacks =
    Callbacks { hook: Hook::UserScopes, proven: |proven| proven.scopes.clone() };
/// Ops.
pub static OPS: Callbacks = Callbacks { hook: Hook::Ops, proven: |proven| proven.ops.clone() };
/// Autograd nodes.
pub static AUTOGRAD_NODES: Callbacks = Callbacks { hook: Hook::AutogradNodes, proven: Proven::nodes };

static PROVEN: OnceLock<Proven> = OnceLock::new();
static INSTALLED: OnceLock<Result<(), String>> = OnceLock::new();
/// Ops are recorded.
static RECORDS_OPS: AtomicBool = AtomicBool::new(false);

impl Source for Callbacks {
    fn hook(&self) -> Hook {
        self.hook.clone()
    }

    fn needs(&self) -> &'static [Need] {
        &[Need::Libtorch, Need::Ops]
    }

    unsafe fn prove(&self, job: &Job) -> Result<(), String> {
        let library = job.library()?;
        // SAFETY: the caller's word; the namespace has the version as a text, and functions that run the known ops and the
        // known scope.
        let proven = PROVEN.get_or_init(|| unsafe {
            prove(library, job.python.text(job.get(c"version")), || {
                job.call(job.get(c"known_op"));
                job.call(job.get(c"known_scope"));
            })
        });
        (self.proven)(proven)
    }

    unsafe fn install(&self, job: &Job) -> Result<&'static str, String> {
        let library = job.library()?;
        let Some(proven) = PROVEN.get() else { return Err("ops were not proven".to_owned()) };
        // SAFETY: the caller's word.
        INSTALLED.get_or_init(|| unsafe { install(library, proven) }).clone()?;
        if self.hook == Hook::Ops {
            RECORDS_OPS.store(true, Ordering::Relaxed);
        }
        if is_full() {
            all_ops(true);
        }
        Ok("callbacks of RecordFunction")
    }

    unsafe fn suspend(&self, _: &Python) {
        if self.hook == Hook::Ops {
            record_all_ops(false);
        }
    }

    unsafe fn remove(&self, _: &Python) {
        switch_off();
    }
}

fn is_full() -> bool {
    settings::get().profile == Profile::Full
}

/// Records every op from here on, or only user scopes. In the full profile it is always every op.
pub fn record_all_ops(on: bool) {
    if records_ops() && !is_full() {
        all_ops(on);
    }
}

/// Whether ops are recorded at all.
pub fn records_ops() -> bool {
    RECORDS_OPS.load(Ordering::Relaxed)
}
