//! The gradients that a step uses are within the bounds that they were clipped by. A part of threshold.
//!
//! A script may clip part by part, each in a call of its own: two networks, each with its optimizer; the parameters of one
//! in groups, or one by one. So what is judged is the step, by the gradients of its own optimizer: what several parts are
//! together is no more than the root of the sum of their bounds' squares. Only where all calls since the backward bound the
//! Euclidean norm, and all were looked at.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Argument, Attribute, Role, ValueKind};

use super::claim::{Outcome, Subject};
use super::{ROUNDING, name_of, number};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// See the module.
#[derive(Default)]
pub(super) struct Clipped {
    /// Calls since the last backward, and how many of them have a known bound and were looked at.
    calls: u32,
    bounded: u32,
    looked: u32,
    /// The sum of the squares of their bounds.
    bounds: f64,
    /// What the look that is going on finds: by optimizer, the square of the norm of the gradients that it holds.
    norms: FxHashMap<u32, f64>,
    /// The gradients in it, each with the storage of its parameter: what has two names has one gradient.
    summed: FxHashSet<(i64, (u64, u64), u64)>,
    /// Something in it is no number.
    unknown: bool,
    windows: u32,
}

impl Clipped {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::Backward => *self = Clipped { windows: self.windows, ..Clipped::default() },
                Role::ClipGrad => {
                    self.calls = self.calls.saturating_add(1);
                    self.norms.clear();
                    self.summed.clear();
                    self.unknown = false;
                }
                Role::OptimizerStep => self.steps(frame, cx),
                _ => {}
            },
            TraceEvent::Given(frame, arguments) if frame.target.role == Role::ClipGrad => {
                if let Some(bound) = euclidean_bound(arguments, cx) {
                    self.bounded = self.bounded.saturating_add(1);
                    self.bounds += bound * bound;
                }
            }
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.frame.target.role == Role::ClipGrad
                    && !look.at_entry =>
            {
                if let Some(now) = change.now.filter(|now| now.kind != ValueKind::None) {
                    self.found(change.variable, &now, cx.scene);
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::ClipGrad && !look.at_entry => {
                self.looked = self.looked.saturating_add(1);
            }
            _ => {}
        }
    }

    fn found(&mut self, id: VarId, now: &Digest, scene: &Scene) {
        let variable = scene.variables.get(id);
        if variable.storage != 0 && !self.summed.insert((variable.storage, now.hash, now.elements)) {
            return;
        }
        self.unknown |= now.kind != ValueKind::Tensor || now.non_finite > 0;
        let square = f64::from(now.l2) * f64::from(now.l2);
        for &holder in variable.held_by.iter().flatten() {
            *self.norms.entry(holder).or_default() += square;
        }
    }

    fn steps(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(square) = self.norms.get(&frame.object) else { return };
        let complete = self.bounded == self.calls && self.looked == self.calls;
        if self.calls == 0 || !complete || self.unknown {
            return;
        }
        let within = square.sqrt() <= self.bounds.sqrt() * ROUNDING;
        self.windows = self.windows.saturating_add(1);
        let subject = cx.numbers.subject(Subject::Clipped);
        let outcome = [cx.numbers.outcome(Outcome::Within)];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if within { &outcome } else { &[] };
        window.cut = Scene::too_early(frame.iteration, self.windows);
        cx.general(&window);
    }
}

/// The bound of the Euclidean norm that clipping was given.
pub(super) fn euclidean_bound(arguments: &[Argument], cx: &Context<'_>) -> Option<f64> {
    let of = |name: &str| arguments.iter().find(|argument| name_of(argument, cx) == Some(name));
    // A kind of norm that is no finite number is another one.
    let euclidean = of("norm_type").is_none_or(|kind| number(kind) == Some(2.0));
    of("max_norm").filter(|_| euclidean).and_then(number)
}
