//! Thrown away: where a step comes after several batches, it uses the gradients of all of them. A part of cover.
//!
//! Gradients are cleared before a step for many reasons: they were those of an input, or of another loss, they were kept
//! elsewhere, the step was left out. So it counts only where batches of a loader have each their own backward, where the
//! gradients that the step finds are those that the last one left, and where it happens step after step.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind};

use super::between::concerns;
use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Steps of an optimizer that are followed: gradients are looked at where the first ones begin.
const FIRST: u32 = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Thrown {
    optimizers: FxHashMap<u32, Stretch>,
    /// What the last backward has left, while some optimizer has taken few steps.
    left: FxHashMap<VarId, Digest>,
    /// Whether all have taken more.
    done: bool,
    /// Whether the step that begins finds something else.
    by_hand: bool,
    compared: bool,
    /// A loader gave a batch, and no backward has come since.
    new_batch: bool,
    /// Since the last step of each: batches with a backward.
    batches: u32,
    windows: u32,
}

/// What came since the last step of an optimizer.
#[derive(Default)]
struct Stretch {
    steps: u32,
    /// Batches when it stepped last.
    since: u32,
    /// A backward came since gradients of it were cleared.
    dirty: bool,
    /// How often these were cleared.
    clears: u32,
    /// Calls that clip gradients: one for all that the step uses, or one for each batch, whose gradients are kept elsewhere.
    clips: u32,
    /// A pass over data began, or another optimizer stepped.
    broken: bool,
    streak: Streak,
}

impl Thrown {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Leave(frame, cut) if frame.target.role == Role::LoaderNext => {
                self.new_batch |= cut.is_none();
            }
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::LoaderIter => self.optimizers.values_mut().for_each(|one| one.broken = true),
                Role::Backward => {
                    self.batches = self.batches.wrapping_add(u32::from(std::mem::take(&mut self.new_batch)));
                    self.optimizers.values_mut().for_each(|one| one.dirty = true);
                }
                Role::ClipGrad => self.optimizers.values_mut().for_each(|one| one.clips += 1),
                Role::ZeroGrad => {
                    for (&optimizer, one) in &mut self.optimizers {
                        let step = Frame { object: optimizer, ..**frame };
                        if one.dirty && concerns(frame, &step, cx.scene) {
                            one.dirty = false;
                            one.clears = one.clears.saturating_add(1);
                        }
                    }
                }
                _ => {}
            },
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Grad => {
                self.found(change.variable, change.now, look);
            }
            TraceEvent::Looked(look) if look.at_entry && look.frame.target.role == Role::OptimizerStep => {
                self.steps(look, cx);
            }
            // What wraps an optimizer holds nothing.
            TraceEvent::Leave(frame, _)
                if frame.target.role == Role::OptimizerStep
                    && !cx.scene.variables.held_by(frame.object).is_empty() =>
            {
                self.stepped(frame.object);
            }
            _ => {}
        }
    }

    fn found(&mut self, id: VarId, now: Option<Digest>, look: &Look) {
        let Some(now) = now.filter(|now| now.kind == ValueKind::Tensor) else { return };
        match look.frame.target.role {
            Role::Backward if !look.at_entry && !self.done => {
                self.left.insert(id, now);
            }
            Role::OptimizerStep if look.at_entry && !self.done => {
                let same = self.left.get(&id).and_then(|left| left.same(&now));
                self.compared |= same == Some(true);
                self.by_hand |= same != Some(true) && !now.all_zero();
            }
            _ => {}
        }
    }

    fn steps(&mut self, look: &Look, cx: &mut Context<'_>) {
        let (by_hand, compared) = (std::mem::take(&mut self.by_hand), std::mem::take(&mut self.compared));
        let batches = self.batches;
        let Some(one) = self.optimizers.get_mut(&look.frame.object) else { return };
        let several = batches.wrapping_sub(one.since) > 1;
        if one.steps == 0 || one.steps >= FIRST || one.broken || !several {
            return;
        }
        if one.clips != 1 && (by_hand || !compared) {
            return;
        }
        let thrown = one.clears > 0;
        one.streak.add(thrown, (look.iteration, look.step));
        self.windows = self.windows.saturating_add(1);
        let subject = cx.numbers.subject(Subject::Batches);
        let outcome = [cx.numbers.outcome(Outcome::AllUsed)];
        let frame = &look.frame;
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if thrown { &[] } else { &outcome };
        window.cut = cx
            .scene
            .lost_since(frame.losses)
            .or(Scene::too_early(look.iteration, self.windows))
            .or((thrown && one.streak.is_accident()).then_some(Cut::Unclear));
        window.now = (look.iteration, look.step);
        window.began = one.streak.began();
        cx.general(&window);
    }

    fn stepped(&mut self, optimizer: u32) {
        let batches = self.batches;
        for (&other, one) in &mut self.optimizers {
            one.broken |= other != optimizer;
        }
        let one = self.optimizers.entry(optimizer).or_default();
        *one = Stretch {
            steps: one.steps.saturating_add(1),
            since: batches,
            streak: one.streak,
            ..Stretch::default()
        };
        self.done = self.optimizers.values().all(|one| one.steps >= FIRST);
        if self.done {
            self.left.clear();
        }
    }
}
