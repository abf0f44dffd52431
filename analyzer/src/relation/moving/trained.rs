//! Parameters that are trained and never change: what an optimizer computes goes elsewhere, or is lost in rounding.

use std::collections::BTreeMap;

use traincheck_schema::record::ValueKind;

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::steps::Change;
use crate::relation::support::streak::PERSISTENT;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Frame, Scene};
use crate::situation::NOTHING;

/// An update smaller than this share of the largest element is lost in rounding of single precision (2^-24).
const ROUNDING: f64 = 5.96e-8;

/// What became of each parameter so far; one that has changed is done with.
#[derive(Default)]
pub(super) struct Trained {
    parameters: BTreeMap<VarId, Parameter>,
}

#[derive(Clone, Copy)]
enum Parameter {
    Changed,
    /// Steps in which it should have changed and did not.
    Stands {
        steps: u32,
        began: (u32, u32),
        last: (Frame, u32, u32),
        contents: Digest,
    },
}

impl Trained {
    pub(super) fn step(&mut self, change: &Change<'_>, cx: &mut Context<'_>) {
        if let Some(Parameter::Changed) = self.parameters.get(&change.id) {
            return;
        }
        let look = change.look;
        let now = (look.iteration, look.step);
        let trained = should_change(change, cx.scene);
        if !change.same {
            self.parameters.insert(change.id, Parameter::Changed);
            if trained {
                window(change.id, true, &look.frame, now, now, change.before, cx);
            }
            return;
        }
        if !trained {
            return;
        }
        let stands = self.parameters.entry(change.id).or_insert(Parameter::Stands {
            steps: 0,
            began: now,
            last: (look.frame, now.0, now.1),
            contents: change.before,
        });
        if let Parameter::Stands { steps, last, .. } = stands {
            *steps = steps.saturating_add(1);
            *last = (look.frame, now.0, now.1);
        }
    }

    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for (id, parameter) in std::mem::take(&mut self.parameters) {
            if let Parameter::Stands { steps, began, last: (frame, iteration, step), contents } = parameter
                && steps >= PERSISTENT
            {
                window(id, false, &frame, (iteration, step), began, contents, cx);
            }
        }
    }
}

/// Whether the optimizer that stepped had something to change it by.
fn should_change(change: &Change<'_>, scene: &Scene) -> bool {
    let variable = scene.variables.get(change.id);
    let optimizer = change.look.frame.object;
    let gradient = variable.grad.filter(|_| variable.grad_iteration == change.look.iteration);
    let Some(gradient) = gradient.filter(|grad| grad.kind == ValueKind::Tensor) else { return false };
    let Some(rate) = scene.variables.learning_rate(optimizer) else { return false };
    let largest = |digest: &Digest| f64::from(digest.min.abs().max(digest.max.abs()));
    variable.is_held_by(optimizer)
        && variable.requires_grad != Some(false)
        && gradient.non_finite == 0
        && rate * largest(&gradient) > ROUNDING * largest(&change.before)
}

fn window(
    id: VarId,
    changes: bool,
    frame: &Frame,
    now: (u32, u32),
    began: (u32, u32),
    before: Digest,
    cx: &mut Context<'_>,
) {
    let subject = cx.numbers.subject(Subject::Trained);
    if !cx.wants(subject) {
        return;
    }
    let moves = [cx.numbers.outcome(Outcome::Moves)];
    let mut window = Window::new(subject, NOTHING, frame, 0);
    window.held = if changes { &moves } else { &[] };
    window.now = now;
    window.began = Some(began);
    window.variables = std::slice::from_ref(&id);
    let before = [Some(before)];
    window.before = &before;
    cx.general(&window);
}
