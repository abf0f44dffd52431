//! Learning rates that the script sets by itself, in `param_groups`: its schedule, which is no scheduler of PyTorch's.
//!
//! When and how far is a matter of configuration. What counts against a run are rates that stay what they are in all of it,
//! though it went on for a good deal longer than the references took to set one three times. Fewer may be the end of a
//! training that stalls.

use std::collections::BTreeMap;

use traincheck_schema::record::{ObjectKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::support::within::Awaited;
use crate::scene::{Frame, Look};

/// So many settings are a schedule.
const A_SCHEDULE: u32 = 3;

/// Optimizers that have stepped (dictionary ids).
#[derive(Default)]
pub(super) struct ByHand(BTreeMap<u32, Rated>);

/// What became of the rates of one.
struct Rated {
    schedule: Awaited,
    /// In how many steps a rate was another than in the one before, and the call that was the last of them.
    settings: u32,
    set_in: u64,
    /// A scheduler sets its rates, or a state that is loaded.
    by_another: bool,
}

impl ByHand {
    /// An optimizer steps.
    pub(super) fn stepped(&mut self, frame: &Frame) {
        let new = || Rated { schedule: Awaited::from(*frame), settings: 0, set_in: 0, by_another: false };
        self.0.entry(frame.object).or_insert_with(new).schedule.step(frame);
    }

    /// A look finds another rate of the optimizer than the one before it did.
    pub(super) fn changed(&mut self, optimizer: u32, look: &Look) {
        let Some(optimizer) = self.0.get_mut(&optimizer) else { return };
        // What the script sets itself is seen at the step that follows.
        if look.frame.target.role != Role::OptimizerStep {
            optimizer.by_another = true;
        } else if std::mem::replace(&mut optimizer.set_in, look.frame.call) != look.frame.call {
            optimizer.settings = optimizer.settings.saturating_add(1);
            optimizer.schedule.begun = true;
            if optimizer.settings >= A_SCHEDULE {
                optimizer.schedule.comes();
            }
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&self, cx: &mut Context<'_>) {
        for (&id, optimizer) in &self.0 {
            let object = cx.scene.object(id).filter(|object| object.kind == ObjectKind::Optimizer);
            let Some(object) = object.filter(|_| !optimizer.by_another) else { continue };
            let class = object.class.clone();
            let within = |steps| Subject::SetWithin { class: class.clone(), steps };
            optimizer.schedule.end(within, Outcome::IsSet, cx);
        }
    }
}
