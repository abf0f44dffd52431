//! Copies of a model: target networks, averages of weights, teachers that follow. No optimizer trains them, and they
//! change all the same.
//!
//! How often is a matter of configuration. What counts against a run is a copy that never changes in all of it, though
//! it went on for a good deal longer than the references' copies took to change.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, Role, VariableKind};

use super::LONGEST;
use super::claim::{Cadence, Outcome, Subject, TrackedKind};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::Change;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Root modules (dictionary ids) with parameters.
#[derive(Default)]
pub(super) struct Copies(BTreeMap<u32, Model>);

#[derive(Clone, Copy)]
struct Model {
    /// An optimizer holds, or held, a parameter: it is no copy.
    trained: bool,
    /// The optimizer step that it was first looked at in, and the last one.
    first: Frame,
    last: Frame,
    /// How many there were after the first.
    steps: u32,
    /// After how many of them it had changed.
    changed: Option<u32>,
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
            && model.last.call == change.call
        {
            return model.looked(variable.is_held(), variable.changed);
        }
        let is_step = |frame: &&Frame| frame.target.role == Role::OptimizerStep;
        let Some(&frame) = scene.call(change.call).filter(is_step) else { return };
        let new = Model { trained: false, first: frame, last: frame, steps: 0, changed: None };
        let model = self.0.entry(variable.owner).or_insert(new);
        if model.last.call != frame.call {
            model.last = frame;
            model.steps = model.steps.saturating_add(1);
        }
        model.looked(variable.is_held(), variable.changed);
    }

    fn end(&mut self, cx: &mut Context<'_>) {
        let end = cx.source.end();
        let broken_off = end.torn.is_some() || end.stopped.is_some();
        for (&root, model) in &self.0 {
            let Some(object) = cx.scene.object(root).filter(|_| !model.trained && model.steps > 0) else {
                continue;
            };
            let class = object.class.clone();
            let outcome = [cx.numbers.outcome(Outcome::Changes)];
            for power in 0..=LONGEST {
                let within = 1 << power;
                let cadence = Cadence::Within { steps: within };
                let subject = Subject::Object { kind: TrackedKind::Copy, class: class.clone(), cadence };
                let subject = cx.numbers.subject(subject);
                let mut window = Window::new(subject, NOTHING, &model.last, 0);
                match model.changed {
                    Some(steps) if steps <= within => window.held = &outcome,
                    None if model.steps > within => {
                        window.cut =
                            cx.scene.lost_since(model.first.losses).or(broken_off.then_some(Cut::End));
                    }
                    // It changed later, or there was no time for it.
                    _ => window.inconclusive = &outcome,
                }
                window.began = Some((model.first.iteration, model.first.step));
                cx.window(&window);
            }
        }
    }
}

impl Model {
    /// One of its parameters was looked at, which was found changed last in this iteration.
    fn looked(&mut self, held: bool, changed: u32) {
        self.trained |= held;
        if changed > self.first.iteration {
            self.changed.get_or_insert(self.steps);
        }
    }
}
