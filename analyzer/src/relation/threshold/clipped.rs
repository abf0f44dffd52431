//! The gradients that a step uses are within the bounds that they were clipped by. A part of threshold.
//!
//! A script may clip part by part, each in a call of its own: two networks, each with its optimizer; the parameters of one
//! in groups, or one by one. So what is judged is the step, by the gradients of its own optimizer: what several parts are
//! together is no more than the root of the sum of their bounds' squares. Only where all calls since the backward bound the
//! Euclidean norm, and all were looked at.

use traincheck_schema::record::{Argument, Role};

use super::claim::{Outcome, Subject};
use super::{ROUNDING, name_of, number};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::norm::Norm;
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
    windows: u32,
}

impl Clipped {
    /// `norm`: of the gradients after the last call.
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, norm: &Norm, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::Backward => *self = Clipped { windows: self.windows, ..Clipped::default() },
                Role::ClipGrad => self.calls = self.calls.saturating_add(1),
                Role::OptimizerStep => self.steps(frame, norm, cx),
                _ => {}
            },
            TraceEvent::Given(frame, arguments) if frame.target.role == Role::ClipGrad => {
                if let Some(bound) = euclidean_bound(arguments, cx) {
                    self.bounded = self.bounded.saturating_add(1);
                    self.bounds += bound * bound;
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::ClipGrad && !look.at_entry => {
                self.looked = self.looked.saturating_add(1);
            }
            _ => {}
        }
    }

    fn steps(&mut self, frame: &Frame, norm: &Norm, cx: &mut Context<'_>) {
        let complete = self.bounded == self.calls && self.looked == self.calls;
        let Some(norm) = norm.held_by(frame.object).filter(|_| self.calls > 0 && complete) else { return };
        let within = norm <= self.bounds.sqrt() * ROUNDING;
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
