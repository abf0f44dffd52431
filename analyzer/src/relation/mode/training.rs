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
            return;
        }
        match frame.target.role {
            Role::ModuleCall if frame.flags & flags::GRAD != 0 => {
                let Some(root) = cx.scene.object(frame.object).map(|object| object.root) else { return };
                let new = Last { call: **frame, followed: false, steps: 0 };
                let last = self.last.entry(root).or_insert(new);
                (last.call, last.followed) = (**frame, false);
            }
            Role::Backward => self.last.values_mut().for_each(|last| last.followed = true),
            Role::OptimizerStep => self.stepped(frame, dependent, cx),
            _ => {}
        }
    }

    fn stepped(&mut self, frame: &Frame, dependent: &mut Dependent, cx: &mut Context<'_>) {
        let said = |numbers: &mut Numbers| {
            (numbers.subject(Subject::Training), numbers.outcome(Outcome::InTraining))
        };
        let (subject, in_training) = *self.said.get_or_insert_with(|| said(cx.numbers));
        if !cx.wants(subject) {
            return;
        }
        for (&root, Last { call, followed, steps }) in &mut self.last {
            if !*followed || !dependent.is_trained(root, |holder| holder == frame.object, cx) {
                continue;
            }
            *followed = false;
            *steps = steps.saturating_add(1);
            let is_held = call.flags & flags::MODULE_EVAL == 0;
            let in_training = [in_training];
            let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
            window.held = if is_held { &in_training } else { &[] };
            window.cut = cx.scene.lost_since(call.losses).or(Scene::too_early(frame.iteration, *steps));
            window.why = Why::EvaluationMode;
            cx.general(&window);
        }
    }
}
