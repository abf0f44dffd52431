//! Copies of a model: target networks, averages of weights, teachers that follow. No optimizer trains them, and they
//! change all the same.
//!
//! How often is a matter of configuration. What counts against a run is a copy that never changes in all of it, though
//! it went on for a good deal longer than the references' copies took to change.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, Role, VariableKind};

use super::claim::{Cadence, Outcome, Subject, TrackedKind};
use crate::relation::observer::Context;
use crate::relation::support::within::Awaited;
use crate::scene::variables::Change;
use crate::scene::{Frame, Scene, TraceEvent};

/// Root modules (dictionary ids) with parameters.
#[derive(Default)]
pub(super) struct Copies(BTreeMap<u32, Model>);

#[derive(Clone, Copy)]
struct Model {
    /// An optimizer holds, or held, a parameter: it is no copy.
    trained: bool,
    /// That it changes, in the optimizer steps after the one that it was first looked at in.
    change: Awaited,
}

impl Copies {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::State(change, _) if change.attribute == Attribute::Data => {
                self.state(change, cx.scene)
            }
            TraceEvent::End => self.end(cx),
            _ => {}
        }
    }

    fn state(&mut self, change: &Change, scene: &Scene) {
        let variable = scene.variables.get(change.variable);
        if variable.kind != VariableKind::Parameter {
            return;
        }
        if let Some(model) = self.0.get_mut(&variable.owner)
            && model.change.last.call == change.call
        {
            return model.looked(variable.is_held(), variable.changed);
        }
        let is_step = |frame: &&Frame| frame.target.role == Role::OptimizerStep;
        let Some(&frame) = scene.call(change.call).filter(is_step) else { return };
        let new = Model { trained: false, change: Awaited::from(frame) };
        let model = self.0.entry(variable.owner).or_insert(new);
        if model.change.last.call != frame.call {
            model.change.step(&frame);
        }
        model.looked(variable.is_held(), variable.changed);
    }

    fn end(&self, cx: &mut Context<'_>) {
        for (&root, model) in &self.0 {
            let is_copy = !model.trained && model.change.steps > 0;
            let Some(object) = cx.scene.object(root).filter(|_| is_copy) else { continue };
            let class = object.class.clone();
            let within = |steps| Subject::Object {
                kind: TrackedKind::Copy,
                class: class.clone(),
                cadence: Cadence::Within { steps },
            };
            model.change.end(within, Outcome::Changes, cx);
        }
    }
}

impl Model {
    /// One of its parameters was looked at, which was found changed last in this iteration.
    fn looked(&mut self, held: bool, changed: u32) {
        self.trained |= held;
        if changed > self.change.first.iteration {
            self.change.comes();
        }
    }
}
