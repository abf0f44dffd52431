//! Parameters that are trained and never change: what an optimizer computes goes elsewhere, or is lost in rounding.

use std::collections::BTreeMap;

use traincheck_schema::record::ValueKind;

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::steps::{Change, may_rest};
use crate::relation::support::streak::PERSISTENT;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Frame, Scene};
use crate::situation::NOTHING;

/// An update smaller than this share of the largest element is lost in rounding of single precision (2^-24).
const ROUNDING: f64 = 5.96e-8;

/// What became of each parameter so far.
#[derive(Default)]
pub(super) struct Trained {
    /// By number of the variable: whether it has changed, and is done with.
    changed: Vec<bool>,
    /// Those that should have changed and did not.
    standing: BTreeMap<VarId, Standing>,
}

/// A parameter that stands still.
#[derive(Clone, Copy)]
struct Standing {
    /// Steps in which it should have changed.
    steps: u32,
    began: (u32, u32),
    last: (Frame, u32, u32),
    contents: Digest,
}

impl Trained {
    pub(super) fn step(&mut self, change: &Change<'_>, cx: &mut Context<'_>) {
        let at = change.id as usize;
        if self.changed.get(at) == Some(&true) {
            return;
        }
        let look = change.look;
        let now = (look.iteration, look.step);
        let trained = should_change(change, cx.scene);
        if !change.same {
            self.changed.resize(self.changed.len().max(at + 1), false);
            self.changed[at] = true;
            self.standing.remove(&change.id);
            if trained {
                window(change.id, true, &look.frame, now, now, change.before, cx);
            }
        } else if trained {
            let last = (look.frame, now.0, now.1);
            let contents = change.before;
            let standing =
                self.standing.entry(change.id).or_insert(Standing { steps: 0, began: now, last, contents });
            standing.steps = standing.steps.saturating_add(1);
            standing.last = last;
        }
    }

    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for (id, standing) in std::mem::take(&mut self.standing) {
            let Standing { steps, began, last: (frame, iteration, step), contents } = standing;
            if steps >= PERSISTENT {
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
        && !may_rest(optimizer, scene)
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
