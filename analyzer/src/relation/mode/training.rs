//! The mode of a model when it computes what an optimizer then steps by.
//!
//! What counts is the last call before the backward: an attack, or an evaluation with gradients, comes before it. A step
//! with nothing called and no backward since the one before says nothing.

use std::collections::BTreeMap;

use traincheck_schema::record::{Role, flags};

use super::claim::{Outcome, Subject};
use super::dependent::Dependent;
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// See the module.
#[derive(Default)]
pub(super) struct Training {
    /// By root module (dictionary id).
    last: BTreeMap<u32, Last>,
    said: Option<(SubjectId, OutcomeId)>,
}

/// The last call with gradients of a model.
struct Last {
    call: Frame,
    /// A backward came since, and no step.
    followed: bool,
    /// The mode made a difference to a part of it that was in training mode, as where only a wrapper is in evaluation mode.
    in_training: bool,
    /// Steps that used what the model had computed.
    steps: u32,
}

impl Training {
    pub(super) fn observe(
        &mut self,
        event: &TraceEvent<'_>,
        dependent: &mut Dependent,
        cx: &mut Context<'_>,
    ) {
        let TraceEvent::Enter(frame) = event else { return };
        if !frame.counts {
            let of_training = flags::GRAD | flags::MODULE_TRAIN;
            if frame.target.role == Role::ModuleCall && frame.flags & of_training == of_training {
                self.part(frame, dependent, cx);
            }
            return;
        }
        match frame.target.role {
            Role::ModuleCall if frame.flags & flags::GRAD != 0 => {
                let Some(root) = cx.scene.object(frame.object).map(|object| object.root) else { return };
                let new = Last { call: **frame, followed: false, in_training: false, steps: 0 };
                let last = self.last.entry(root).or_insert(new);
                (last.call, last.followed, last.in_training) = (**frame, false, false);
            }
            Role::Backward => self.last.values_mut().for_each(|last| last.followed = true),
            Role::OptimizerStep => self.stepped(frame, dependent, cx),
            _ => {}
        }
    }

    /// A part of a model is called in training mode.
    fn part(&mut self, frame: &Frame, dependent: &mut Dependent, cx: &Context<'_>) {
        let around = cx.scene.stack(frame.thread, usize::MAX);
        let is_inside = |last: &&mut Last| {
            last.call.flags & flags::MODULE_EVAL != 0
                && !last.in_training
                && around.iter().any(|outer| outer.call == last.call.call)
        };
        for last in self.last.values_mut().filter(is_inside) {
            last.in_training = dependent.has(frame.object, cx);
        }
    }

    fn stepped(&mut self, frame: &Frame, dependent: &mut Dependent, cx: &mut Context<'_>) {
        let said = |numbers: &mut Numbers| {
            (numbers.subject(Subject::Training), numbers.outcome(Outcome::InTraining))
        };
        let (subject, outcome) = *self.said.get_or_insert_with(|| said(cx.numbers));
        if !cx.wants(subject) {
            return;
        }
        for (&root, Last { call, followed, in_training, steps }) in &mut self.last {
            if !*followed || !dependent.is_trained(root, |holder| holder == frame.object, cx) {
                continue;
            }
            *followed = false;
            *steps = steps.saturating_add(1);
            let is_held = call.flags & flags::MODULE_EVAL == 0 || *in_training;
            let in_training = [outcome];
            let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
            window.held = if is_held { &in_training } else { &[] };
            window.cut = cx.scene.lost_since(call.losses).or(Scene::too_early(frame.iteration, *steps));
            window.why = Why::EvaluationMode;
            cx.general(&window);
        }
    }
}
