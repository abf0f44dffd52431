//! Rescaled: gradients that were clipped are used as clipping has left them. A part of cover.
//!
//! Where they are divided by a loss scale, or by a number of batches, between clipping and the step, the bound was applied to
//! numbers of another size. What else changes them in between may be meant: noise that is added, a sum over clipped parts.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Factors that differ by less than this share are one factor: norms are kept in single precision, of gradients that may be
/// in half.
const ROUNDING: f64 = 0.01;

/// See the module.
#[derive(Default)]
pub(super) struct Rescaled {
    /// What clipping has left, since the last backward.
    clipped: FxHashMap<VarId, Digest>,
    /// The factors from that to what the step that begins finds; 1 where it is the same.
    factors: Vec<(VarId, f64)>,
    windows: u32,
}

impl Rescaled {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if matches!(frame.target.role, Role::Backward | Role::ZeroGrad) => {
                self.clipped.clear();
            }
            TraceEvent::Leave(frame, _) if frame.target.role == Role::OptimizerStep => self.clipped.clear(),
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Grad => {
                let Some(now) = change.now.filter(|now| now.kind == ValueKind::Tensor) else { return };
                match look.frame.target.role {
                    Role::ClipGrad if !look.at_entry => {
                        self.clipped.insert(change.variable, now);
                    }
                    Role::OptimizerStep if look.at_entry => self.used(change.variable, &now),
                    _ => {}
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::OptimizerStep && look.at_entry => {
                self.steps(look, cx);
            }
            _ => {}
        }
    }

    fn used(&mut self, id: VarId, now: &Digest) {
        let Some(clipped) = self.clipped.get(&id) else { return };
        let numbers = clipped.l2 > 0.0 && clipped.l2.is_finite() && now.l2.is_finite();
        let factor = match clipped.same(now) {
            Some(true) => 1.0,
            Some(false) if numbers => f64::from(now.l2) / f64::from(clipped.l2),
            _ => return,
        };
        self.factors.push((id, factor));
    }

    fn steps(&mut self, look: &Look, cx: &mut Context<'_>) {
        let factors = std::mem::take(&mut self.factors);
        let Some(&(_, first)) = factors.first() else { return };
        let is_one = |factor: f64| (factor - 1.0).abs() <= ROUNDING;
        let kept = factors.iter().all(|&(_, factor)| is_one(factor));
        let scaled = factors.iter().all(|&(_, factor)| is_one(factor / first)) && first > 0.0;
        if !kept && !scaled {
            return;
        }
        self.windows = self.windows.saturating_add(1);
        let frame: &Frame = &look.frame;
        let subject = cx.numbers.subject(Subject::Clipped);
        let outcome = [cx.numbers.outcome(Outcome::Kept)];
        let variables: Vec<VarId> = factors.iter().map(|(id, _)| *id).collect();
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if kept { &outcome } else { &[] };
        window.cut = Scene::too_early(look.iteration, self.windows);
        window.now = (look.iteration, look.step);
        window.variables = if kept { &[] } else { &variables };
        cx.general(&window);
    }
}
