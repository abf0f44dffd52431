//! Learning rates that the script sets by itself, in `param_groups`: its schedule, which is no scheduler of PyTorch's.
//!
//! When and how far is a matter of configuration. What counts against a run are rates that stay what they are in all of it,
//! though it went on for a good deal longer than the references took to set one three times. Fewer may be the end of a
//! training that stalls.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

use super::LONGEST;
use super::claim::{Cadence, Outcome, Subject, TrackedKind};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::{Change, VarId};
use crate::scene::{Cut, Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// So many settings are a schedule.
const A_SCHEDULE: u32 = 3;

#[derive(Default)]
pub(super) struct Rates {
    /// By dictionary id.
    optimizers: BTreeMap<u32, Rated>,
    values: BTreeMap<VarId, f64>,
}

/// An optimizer that has stepped, and what became of its rates.
struct Rated {
    first: Frame,
    last: Frame,
    steps: u32,
    /// In how many steps a rate was another than in the one before, the call that was the last of them, and after how many
    /// steps there were enough of them.
    settings: u32,
    set_in: u64,
    scheduled_after: Option<u32>,
    /// A scheduler sets its rates, or a state that is loaded.
    by_another: bool,
}

impl Rates {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::OptimizerStep => {
                let new = || Rated {
                    first: **frame,
                    last: **frame,
                    steps: 0,
                    settings: 0,
                    set_in: 0,
                    scheduled_after: None,
                    by_another: false,
                };
                let optimizer = self.optimizers.entry(frame.object).or_insert_with(new);
                optimizer.last = **frame;
                optimizer.steps = optimizer.steps.saturating_add(1);
            }
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Value => {
                self.told(change, look, cx.scene);
            }
            TraceEvent::End => self.end(cx),
            _ => {}
        }
    }

    fn told(&mut self, change: &Change, look: &Look, scene: &Scene) {
        let variable = scene.variables.get(change.variable);
        if variable.kind != VariableKind::Hyperparameter || !variable.name.ends_with(".lr") {
            return;
        }
        let Some(value) = variable.value else { return };
        let before = self.values.insert(change.variable, value);
        let changed = before.is_some_and(|before| before.to_bits() != value.to_bits());
        let Some(optimizer) = self.optimizers.get_mut(&variable.owner).filter(|_| changed) else { return };
        // What the script sets itself is seen at the step that follows.
        if look.frame.target.role != Role::OptimizerStep {
            optimizer.by_another = true;
        } else if std::mem::replace(&mut optimizer.set_in, look.frame.call) != look.frame.call {
            optimizer.settings = optimizer.settings.saturating_add(1);
            if optimizer.settings == A_SCHEDULE {
                optimizer.scheduled_after = Some(optimizer.steps);
            }
        }
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let end = cx.source.end();
        let broken_off = end.torn.is_some() || end.stopped.is_some();
        for (&id, optimizer) in &self.optimizers {
            let object = cx.scene.object(id).filter(|object| object.kind == ObjectKind::Optimizer);
            let Some(object) = object.filter(|_| !optimizer.by_another) else { continue };
            let class = object.class.clone();
            let outcome = [cx.numbers.outcome(Outcome::IsSet)];
            for power in 0..=LONGEST {
                let within = 1 << power;
                let cadence = Cadence::Within { steps: within };
                let subject = Subject::Object { kind: TrackedKind::Rate, class: class.clone(), cadence };
                let subject = cx.numbers.subject(subject);
                let mut window = Window::new(subject, NOTHING, &optimizer.last, 0);
                match optimizer.scheduled_after {
                    Some(steps) if steps <= within => window.held = &outcome,
                    None if optimizer.settings == 0 && optimizer.steps > within => {
                        let lost = cx.scene.lost_since(optimizer.first.losses);
                        window.cut = lost.or(broken_off.then_some(Cut::End));
                    }
                    // It was set later, or there was no time for it.
                    _ => window.inconclusive = &outcome,
                }
                window.began = Some((optimizer.first.iteration, optimizer.first.step));
                cx.window(&window);
            }
        }
    }
}
