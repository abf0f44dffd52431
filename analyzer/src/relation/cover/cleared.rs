//! Cleared: between two steps of an optimizer, the gradients that the first has used are cleared, in whatever way. A part
//! of cover.
//!
//! What is in the gradients decides. If each look since the step finds what the one before it found, which is not zero,
//! and a backward adds to it, it was not cleared, whatever was called. If a backward finds None or zeros at its
//! beginning, it was, whether or not anything was called. Where the looks leave it open the calls decide: those that clear
//! gradients of the optimizer's own parameters.
//!
//! So it makes no difference how many backwards a step has, nor whose they are: only the first finds what a step has
//! used, and what another network's adds to gradients that are cleared later does not stay.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind};

use super::between::concerns;
use super::claim::{Outcome, Subject};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Cut, Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// What was found of gradients, and of the steps that use them. Moments are numbered by a clock of its own.
#[derive(Default)]
pub(super) struct Cleared {
    clock: u64,
    /// By parameter.
    gradients: Vec<Gradient>,
    /// By optimizer (dictionary id), its last step.
    steps: FxHashMap<u32, Step>,
    /// The backward (number of the call) at whose beginning gradients were looked at last.
    begun: u64,
    backwards: u32,
    windows: u32,
    said: Option<(SubjectId, OutcomeId)>,
}

/// The gradient of a parameter.
#[derive(Clone, Copy, Default)]
struct Gradient {
    last: Option<Digest>,
    /// Since then it is not zero, and nothing but backwards that were looked at has changed it.
    kept: u64,
    /// One of those has changed it.
    added: u64,
    /// A backward began with none, or zeros.
    zero: u64,
}

/// A step of an optimizer.
struct Step {
    frame: Frame,
    returned: u64,
    /// Backwards before it returned.
    backwards: u32,
    /// A call has cleared gradients that it used.
    cleared: u64,
    /// The window that it begins has ended.
    ended: bool,
}

impl Cleared {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Grad => {
                self.found(change, look);
            }
            TraceEvent::Enter(frame) if frame.counts => {
                self.clock += 1;
                match frame.target.role {
                    Role::Backward => self.backwards = self.backwards.wrapping_add(1),
                    Role::ZeroGrad => self.clears(frame, cx.scene),
                    // One that runs a closure clears in the step, before the closure's backward.
                    Role::OptimizerStep if !cx.scene.closures.contains(&frame.object) => {
                        self.ends(frame, cx);
                    }
                    _ => {}
                }
            }
            TraceEvent::Leave(frame, _) if frame.counts && frame.target.role == Role::OptimizerStep => {
                self.clock += 1;
                // A closure's backward, in the step, is the first that finds what the step before has used.
                self.ends(frame, cx);
                let (returned, backwards) = (self.clock, self.backwards);
                let step = Step { frame: **frame, returned, backwards, cleared: 0, ended: false };
                self.steps.insert(frame.object, step);
            }
            _ => {}
        }
    }

    /// A look found a gradient.
    fn found(&mut self, change: &Change, look: &Look) {
        let backward = match look.frame.target.role {
            Role::Backward => true,
            Role::OptimizerStep if look.at_entry => false,
            _ => return,
        };
        let Some(now) = change.now else { return };
        let at = change.variable as usize;
        if at >= self.gradients.len() {
            self.gradients.resize(at + 1, Gradient::default());
        }
        let gradient = &mut self.gradients[at];
        let before = gradient.last.replace(now);
        let begins = backward && look.at_entry;
        let adds = backward && !begins && look.call == self.begun;
        if begins {
            self.begun = look.call;
        }
        if is_zero(&now) {
            gradient.kept = self.clock;
            if begins {
                gradient.zero = self.clock;
            }
            return;
        }
        match before.and_then(|before| before.same(&now)) {
            Some(true) => {}
            Some(false) if adds && !before.is_some_and(|before| is_zero(&before)) => {
                gradient.added = self.clock
            }
            _ => gradient.kept = self.clock,
        }
    }

    /// A call clears gradients.
    fn clears(&mut self, frame: &Frame, scene: &Scene) {
        for step in self.steps.values_mut().filter(|step| concerns(frame, &step.frame, scene)) {
            step.cleared = self.clock;
        }
    }

    /// The optimizer steps once more: the window since its last step ends, if a backward came in it.
    fn ends(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(step) = self.steps.get_mut(&frame.object) else { return };
        if step.ended || step.backwards == self.backwards {
            return;
        }
        step.ended = true;
        self.windows = self.windows.saturating_add(1);
        let said =
            |numbers: &mut Numbers| (numbers.subject(Subject::Steps), numbers.outcome(Outcome::Cleared));
        let (subject, outcome) = *self.said.get_or_insert_with(|| said(cx.numbers));
        if !cx.wants(subject) {
            return;
        }
        let step = &self.steps[&frame.object];
        let (left, are_cleared) = self.judged(step, cx.scene);
        let outcome = [outcome];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if left.is_empty() { &outcome } else { &[] };
        let unclear = left.is_empty() && !are_cleared && step.cleared <= step.returned;
        window.cut = cx
            .scene
            .lost_since(step.frame.losses)
            .or(Scene::too_early(frame.iteration, self.windows))
            .or(unclear.then_some(Cut::Unclear));
        window.variables = &left;
        cx.general(&window);
    }

    /// The parameters whose gradients were left as the step has used them, and whether all of them are seen to be cleared.
    fn judged(&self, step: &Step, scene: &Scene) -> (Vec<VarId>, bool) {
        let (mut left, mut zero, mut unsure) = (Vec::new(), false, false);
        for &id in scene.variables.held_by(step.frame.object) {
            let Some(gradient) = self.gradients.get(id as usize) else { continue };
            if !scene.variables.get(id).is_held_by(step.frame.object) {
                continue;
            }
            if gradient.zero > step.returned {
                zero = true;
            } else if gradient.kept > step.returned {
                unsure = true;
            } else if gradient.added > step.returned.max(step.cleared) {
                left.push(id);
            }
        }
        (left, zero && !unsure)
    }
}

/// Whether it adds nothing to what a backward computes.
fn is_zero(gradient: &Digest) -> bool {
    match gradient.kind {
        ValueKind::None => true,
        ValueKind::Tensor => gradient.all_zero(),
        _ => false,
    }
}
