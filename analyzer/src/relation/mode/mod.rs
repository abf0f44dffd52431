//! Mode: the modules that a function of the script calls without gradients are in evaluation mode, and the parts of a
//! model in the mode of the module that calls them. [`copies`]: where a copy of a model is called, it is none that is trained.
//!
//! What calls a module without gradients is learned, not assumed: an agent that acts without gradients while it learns
//! does so in training mode. In any program a model that is evaluated is in evaluation mode ([`evaluation`]), and one that is
//! trained in training mode ([`training`]), where the mode makes a difference.
pub mod claim;
mod copies;
mod dependent;
mod evaluation;
mod parts;
mod training;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, VariableKind, flags};

use crate::call::CallId;
use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::{Feature, Fields, NOTHING};
use claim::{Outcome, Subject};
use copies::Copies;
use dependent::Dependent;
use evaluation::Evaluation;
use parts::Parts;
use training::Training;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Mode::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[
        Role::ModuleCall,
        Role::Backward,
        Role::ModeChange,
        Role::OptimizerStep,
        Role::User,
        Role::Other,
        Role::LoaderNext,
    ]),
    variables: &[
        States { attribute: Attribute::HeldBy, of: &[VariableKind::Parameter], at: &[] },
        States { attribute: Attribute::RequiresGrad, of: &[VariableKind::Parameter], at: &[] },
    ],
    contexts: Fields::of(&[Feature::Stage]),
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[
        Role::ModuleCall,
        Role::Backward,
        Role::ModeChange,
        Role::OptimizerStep,
        Role::Other,
    ]),
    returns: Roles::of(&[Role::ModuleCall, Role::LoaderNext]),
    ..Told::NOTHING
};

#[derive(Default)]
struct Mode {
    /// By the function that calls and the module: what windows are about, and how many there were.
    known: FxHashMap<(Option<CallId>, u32), (SubjectId, u32)>,
    in_evaluation: Option<OutcomeId>,
    dependent: Dependent,
    parts: Parts,
    copies: Copies,
    evaluation: Evaluation,
    training: Training,
}

impl Observer for Mode {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.parts.observe(event, &mut self.dependent, cx);
        if let TraceEvent::Enter(frame) = event
            && frame.counts
            && frame.target.role == Role::ModuleCall
            && frame.flags & flags::GRAD == 0
        {
            self.called(frame, cx);
        }
        self.dependent.observe(event, cx.scene);
        self.evaluation.observe(event, &mut self.dependent, cx);
        self.training.observe(event, &mut self.dependent, cx);
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
        self.copies.called(&window, cx);
        self.evaluation.called(&window, &mut self.dependent, cx);
    }
}
