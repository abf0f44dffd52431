//! Used: what a step finds in the gradients. A part of cover.
//!
//! An optimizer that steps has gradients to use, in some step at least: they are not cleared between backward and step, and
//! its parameters are not detached from all that is trained. And what a step finds another step has not used before: a
//! backward ran since, or the script has put other gradients there.
//!
//! Contents decide, so whoever gives gradients by hand is right, whatever was called. Looks at the entry of steps are those
//! at the first steps and in sampled iterations.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, Role, ValueKind};

use super::between::concerns;
use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::relation::support::streak::PERSISTENT;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Gradients of a step that are remembered, and compared with those of the next.
const MOST: usize = 64;

/// Gradients, each with its parameter.
type Found = Vec<(VarId, Digest)>;

/// See the module.
#[derive(Default)]
pub(super) struct Used {
    /// What the look at the step that begins has found so far, of what its optimizer holds.
    found: Found,
    /// Whether some gradient of all was not zero, and whether there was one that was.
    any: bool,
    zero: bool,
    optimizers: BTreeMap<u32, Steps>,
    backwards: u32,
}

/// The steps of an optimizer.
#[derive(Default)]
struct Steps {
    /// How many there were, and how many of them were looked at.
    count: u32,
    looked: u32,
    /// Whether one of the latter had a gradient to use, and whether one had nothing but zeros.
    supplied: bool,
    zero: bool,
    /// Backwards at the first one that was looked at.
    first: u32,
    /// Backwards, when gradients of it were cleared last, and whether that is so of the last one that was looked at.
    cleared: u32,
    cleared_late: bool,
    /// The last one that was looked at: its number, what it found, and how many backwards there had been.
    last: Option<(u32, Found, u32)>,
    at: Option<(Frame, u32, u32)>,
    windows: u32,
}

impl Used {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::Backward => {
                self.backwards = self.backwards.wrapping_add(1);
            }
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::ZeroGrad => {
                for (&optimizer, steps) in &mut self.optimizers {
                    if concerns(frame, &Frame { object: optimizer, ..**frame }, cx.scene) {
                        steps.cleared = self.backwards;
                    }
                }
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::OptimizerStep => {
                let steps = self.optimizers.entry(frame.object).or_default();
                steps.count = steps.count.saturating_add(1);
            }
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.at_entry
                    && look.frame.target.role == Role::OptimizerStep =>
            {
                let Some(now) = change.now else { return };
                if cx.scene.variables.get(change.variable).is_held_by(look.frame.object) {
                    let zero = now.kind == ValueKind::Tensor && now.all_zero();
                    self.zero |= zero;
                    self.any |= now.kind != ValueKind::None && !zero;
                    if self.found.len() < MOST {
                        self.found.push((change.variable, now));
                    }
                }
            }
            TraceEvent::Looked(look) if look.at_entry && look.frame.target.role == Role::OptimizerStep => {
                self.steps(look, cx);
            }
            TraceEvent::End => self.ended(cx),
            _ => {}
        }
    }

    fn steps(&mut self, look: &Look, cx: &mut Context<'_>) {
        let (found, any) = (std::mem::take(&mut self.found), std::mem::take(&mut self.any));
        let zero = std::mem::take(&mut self.zero) && !any;
        let Some(steps) = self.optimizers.get_mut(&look.frame.object).filter(|_| !found.is_empty()) else {
            return;
        };
        if steps.looked == 0 {
            steps.first = self.backwards;
        }
        steps.looked = steps.looked.saturating_add(1);
        steps.supplied |= any;
        steps.zero |= zero;
        let since = steps.last.as_ref().map_or(0, |(_, _, backwards)| *backwards);
        steps.cleared_late = steps.cleared == self.backwards && steps.cleared != since;
        steps.at = Some((look.frame, look.iteration, look.step));
        let last = steps.last.replace((steps.count, found, self.backwards));
        let (Some((number, before, backwards)), Some((_, found, _))) = (last, &steps.last) else { return };
        if number + 1 != steps.count || !any || cx.scene.closures.contains(&look.frame.object) {
            return;
        }
        let same = before.len() == found.len()
            && before.iter().zip(found).all(|((one, before), (other, now))| {
                one == other
                    && (before.same(now) == Some(true)
                        || before.kind == now.kind && before.kind == ValueKind::None)
            });
        steps.windows = steps.windows.saturating_add(1);
        let subject = cx.numbers.subject(Subject::NextStep);
        let outcome = [cx.numbers.outcome(Outcome::Anew)];
        let mut window = Window::new(subject, NOTHING, &look.frame, cx.scene.depth(&look.frame));
        window.held = if same && backwards == self.backwards { &[] } else { &outcome };
        window.cut =
            cx.scene.lost_since(look.frame.losses).or(Scene::too_early(look.iteration, steps.windows));
        window.now = (look.iteration, look.step);
        cx.general(&window);
    }

    /// Nothing more will come: what has had no gradient so far gets none.
    fn ended(&mut self, cx: &mut Context<'_>) {
        for (optimizer, steps) in std::mem::take(&mut self.optimizers) {
            let Some((frame, iteration, step)) = steps.at else { continue };
            // Steps with no backward between them train nothing: a schedule is drawn.
            let backwards = steps.last.as_ref().map_or(0, |(_, _, last)| last.wrapping_sub(steps.first));
            let has_closure = cx.scene.closures.contains(&optimizer);
            if steps.looked < PERSISTENT || has_closure || backwards < PERSISTENT - 1 {
                continue;
            }
            let subject = cx.numbers.subject(Subject::AllSteps);
            let outcome = [cx.numbers.outcome(Outcome::Supplied)];
            let mut window = Window::new(subject, NOTHING, &frame, 0);
            window.held = if steps.supplied { &outcome } else { &[] };
            window.now = (iteration, step);
            if steps.cleared_late {
                window.why = Why::CalledTooEarly;
            } else if !steps.supplied && steps.zero {
                // What there is to use is zero: nothing is left to learn, or it is for others to say.
                window.cut = Some(Cut::Unclear);
            }
            cx.general(&window);
        }
    }
}
