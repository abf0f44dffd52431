//! Clipped: gradients are clipped before a step uses them. A part of cover.
//!
//! What is clipped after all optimizers have stepped, with no backward since, limits nothing. Where there are several, one
//! may have stepped by other gradients of the same backward. A bound that is not finite limits nothing anyhow: that is how
//! the norm is measured, which can be done at any time.

use rustc_hash::FxHashSet;
use traincheck_schema::record::{Argument, ArgumentKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// See the module.
#[derive(Default)]
pub(super) struct Clipped {
    /// Optimizers (dictionary ids) that have stepped since the last backward; `None`: none came so far.
    stepped: Option<FxHashSet<u32>>,
    windows: u32,
}

impl Clipped {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.target.role == Role::Backward => {
                self.stepped.get_or_insert_default().clear();
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::OptimizerStep => {
                if let Some(stepped) = &mut self.stepped {
                    stepped.insert(frame.object);
                }
            }
            TraceEvent::Given(frame, arguments) if frame.target.role == Role::ClipGrad && frame.counts => {
                self.clips(frame, arguments, cx);
            }
            _ => {}
        }
    }

    fn clips(&mut self, frame: &Frame, arguments: &[Argument], cx: &mut Context<'_>) {
        let is_infinite = |argument: &Argument| {
            argument.value_kind == ArgumentKind::Float as u8 && f64::from_bits(argument.value).is_infinite()
        };
        // What an optimizer does with gradients in its own step is its own affair.
        let within_a_step = cx.scene.inside(frame.thread, Role::OptimizerStep);
        let Some(stepped) = &self.stepped else { return };
        if within_a_step || arguments.iter().any(is_infinite) {
            return;
        }
        let used = !stepped.is_empty() && cx.scene.stepped.iter().all(|one| stepped.contains(one));
        self.windows = self.windows.saturating_add(1);
        let subject = cx.numbers.subject(Subject::Clipping);
        let outcome = [cx.numbers.outcome(Outcome::Unused)];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if used { &[] } else { &outcome };
        window.cut = cx.scene.lost_since(frame.losses).or(Scene::too_early(frame.iteration, self.windows));
        cx.general(&window);
    }
}
