//! Mode: the modules that a function of the script calls without gradients are in evaluation mode.
//!
//! What calls a module without gradients is learned, not assumed: an agent that acts without gradients while it learns
//! does so in training mode.

use traincheck_schema::record::{Role, flags};

use super::{Cx, Kind, Relation};
use crate::claim::{Outcome, RelationName, Subject};
use crate::names::{CallId, FastMap, OutcomeId, SubjectId};
use crate::scene::{Frame, Moment, Scene};
use crate::sink::Window;
use crate::situation::{Fields, NOTHING};

/// See the module.
pub const KIND: Kind = Kind {
    name: RelationName::Mode,
    new: || Box::new(Mode::default()),
    structural: false,
    fields: |_| Fields::NONE,
    critical: |_, _| true,
};

#[derive(Default)]
struct Mode {
    /// By the function that calls and the module: what windows are about, and how many there were.
    known: FastMap<(Option<CallId>, u32), (SubjectId, u32)>,
    in_evaluation: Option<OutcomeId>,
}

impl Relation for Mode {
    fn hear(&mut self, moment: &Moment<'_>, cx: &mut Cx<'_>) {
        if let Moment::Enter(frame) = moment
            && frame.counts
            && frame.target.role == Role::ModuleCall
            && frame.flags & flags::GRAD == 0
        {
            self.called(frame, cx);
        }
    }
}

impl Mode {
    fn called(&mut self, frame: &Frame, cx: &mut Cx<'_>) {
        let depth = cx.scene.depth(frame);
        let stack = cx.scene.stack(frame.thread, depth);
        let caller = stack.iter().rev().find(|outer| outer.target.role == Role::User);
        let key = (caller.map(|caller| caller.target.plain), frame.object);
        let (subject, ordinal) = match self.known.get_mut(&key) {
            Some(known) => known,
            None => {
                let Some(object) = cx.scene.object(frame.object) else { return };
                let caller = key.0.map(|id| cx.names.calls.get(id).clone());
                let subject = Subject::Inference { caller, class: object.class.clone() };
                let subject = cx.names.subject(RelationName::Mode, subject);
                self.known.entry(key).or_insert((subject, 0))
            }
        };
        *ordinal = ordinal.saturating_add(1);
        let in_evaluation =
            [*self.in_evaluation.get_or_insert_with(|| cx.names.outcome(Outcome::InEvaluation))];
        let mut window = Window::new(*subject, NOTHING, frame, depth);
        window.held = if frame.flags & flags::MODULE_EVAL != 0 { &in_evaluation } else { &[] };
        window.cut = Scene::too_early(frame.iteration, *ordinal);
        cx.window(&window);
    }
}
