//! Mode: the modules that a function of the script calls without gradients are in evaluation mode.
//!
//! What calls a module without gradients is learned, not assumed: an agent that acts without gradients while it learns
//! does so in training mode.
pub mod claim;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Role, flags};

use crate::call::CallId;
use crate::call::roles::Roles;
use crate::relation::needs::Needs;
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer};
use crate::relation::sink::Window;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind =
    Kind { observer: || Box::new(Mode::default()), structural: false, values_needed: 0, needs: NEEDS };

const NEEDS: Needs = Needs { calls: Roles::of(&[Role::ModuleCall, Role::User]), ..Needs::NOTHING };

#[derive(Default)]
struct Mode {
    /// By the function that calls and the module: what windows are about, and how many there were.
    known: FxHashMap<(Option<CallId>, u32), (SubjectId, u32)>,
    in_evaluation: Option<OutcomeId>,
}

impl Observer for Mode {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        if let TraceEvent::Enter(frame) = event
            && frame.counts
            && frame.target.role == Role::ModuleCall
            && frame.flags & flags::GRAD == 0
        {
            self.called(frame, cx);
        }
    }
}

impl Mode {
    fn called(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let depth = cx.scene.depth(frame);
        let stack = cx.scene.stack(frame.thread, depth);
        let caller = stack.iter().rev().find(|outer| outer.target.role == Role::User);
        let key = (caller.map(|caller| caller.target.plain), frame.object);
        let (subject, ordinal) = match self.known.get_mut(&key) {
            Some(known) => known,
            None => {
                let Some(object) = cx.scene.object(frame.object) else { return };
                let caller = key.0.map(|id| cx.numbers.calls.get(id).clone());
                let subject = Subject::Inference { caller, class: object.class.clone() };
                let subject = cx.numbers.subject(subject);
                self.known.entry(key).or_insert((subject, 0))
            }
        };
        *ordinal = ordinal.saturating_add(1);
        let in_evaluation =
            [*self.in_evaluation.get_or_insert_with(|| cx.numbers.outcome(Outcome::InEvaluation))];
        let mut window = Window::new(*subject, NOTHING, frame, depth);
        window.held = if frame.flags & flags::MODULE_EVAL != 0 { &in_evaluation } else { &[] };
        window.cut = Scene::too_early(frame.iteration, *ordinal);
        cx.window(&window);
    }
}
