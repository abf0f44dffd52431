//! Moving: a parameter or buffer changes in every training step.
//!
//! One step without a change says little (a dead unit, a gradient of zero, a learning rate of zero). What counts
//! against a run are three in a row that are explained: no gradient, none required, held by no optimizer, or, for a
//! buffer, a module in evaluation mode. A model that no optimizer trains is judged at the end: see [`untrained`].
pub mod claim;
mod trained;
mod untrained;

use rustc_hash::FxHashSet;
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::{Why, Window};
use crate::relation::support::steps::{Change, Steps};
use crate::relation::support::streak::Streak;
use crate::scene::variables::VarId;
use crate::scene::{Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};
use trained::Trained;
use untrained::Untrained;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Moving::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ModuleCall, Role::OptimizerStep]),
    variables: &[
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter, VariableKind::Buffer, VariableKind::Unreached],
            at: &[Point::Return(Role::OptimizerStep)],
        },
        States::GRADIENTS,
        States { attribute: Attribute::RequiresGrad, of: &[VariableKind::Parameter], at: &[] },
        States::HOLDERS,
        States {
            attribute: Attribute::Value,
            of: &[VariableKind::Hyperparameter],
            at: &[
                Point::Entry(Role::OptimizerStep),
                Point::Return(Role::OptimizerStep),
                Point::Return(Role::SchedulerStep),
                Point::Return(Role::LoadState),
            ],
        },
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    states: &[(Attribute::Data, &[VariableKind::Parameter, VariableKind::Buffer, VariableKind::Unreached])],
    ..Told::NOTHING
};

/// A variable, as far as it is asked whether it moves.
#[derive(Clone, Copy)]
struct Known {
    /// What windows are about: itself, or the variable of the first model of its class.
    own: SubjectId,
    first: Option<SubjectId>,
    streak: Streak,
}

#[derive(Default)]
struct Moving {
    steps: Steps,
    /// By number of the variable.
    known: Vec<Option<Known>>,
    /// Root modules of which parameters change that no optimizer holds: the script updates them itself.
    by_hand: FxHashSet<u32>,
    moves: Option<OutcomeId>,
    trained: Trained,
    untrained: Untrained,
}

impl Observer for Moving {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        if let Some(change) = self.steps.observe(event, cx.scene) {
            self.trained.step(&change, cx);
            self.example(&change, cx);
        }
        if let TraceEvent::End = event {
            self.trained.end(cx);
            self.untrained.end(&self.by_hand, cx);
        }
    }
}

impl Moving {
    fn example(&mut self, change: &Change<'_>, cx: &mut Context<'_>) {
        let mut why = if change.same { self.explain(change, cx.scene) } else { Why::Nothing };
        let variable = cx.scene.variables.get(change.id);
        if variable.kind == VariableKind::Parameter && !variable.is_held() {
            if !change.same {
                self.by_hand.insert(variable.owner);
            } else if self.by_hand.contains(&variable.owner) {
                why = Why::Nothing;
            }
        }
        let known = self.known(change.id, cx);
        // What was learned of `Net.weight` is asked of `Net#2.weight` too where that is trained and nobody holds it.
        let subject = match known.first {
            _ if cx.wants(known.own) => known.own,
            Some(first) if why == Why::HeldByNone && cx.wants(first) => first,
            _ => return,
        };
        known.streak.add(change.same, (change.look.iteration, change.look.step));
        let streak = known.streak;
        let moves = [*self.moves.get_or_insert_with(|| cx.numbers.outcome(Outcome::Moves))];
        let frame = &change.look.frame;
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if change.same { &[] } else { &moves };
        let accident = streak.is_accident();
        if why == Why::Untrained && !accident {
            self.untrained.stays(change, subject, streak.began());
        }
        let explained = !matches!(why, Why::Nothing | Why::Untrained);
        window.inconclusive = if accident || !explained { &moves } else { &[] };
        window.cut = Scene::too_early(change.look.iteration, change.ordinal);
        window.now = (change.look.iteration, change.look.step);
        window.began = streak.began();
        window.why = why;
        window.variables = std::slice::from_ref(&change.id);
        let before = [Some(change.before)];
        window.before = &before;
        cx.window(&window);
    }

    fn known(&mut self, id: VarId, cx: &mut Context<'_>) -> &mut Known {
        let at = id as usize;
        if at >= self.known.len() {
            self.known.resize(at + 1, None);
        }
        self.known[at].get_or_insert_with(|| {
            let name = cx.scene.variables.get(id).name.clone();
            let first = first_of_its_class(&name).map(|name| cx.numbers.subject(Subject::Variable { name }));
            Known { own: cx.numbers.subject(Subject::Variable { name }), first, streak: Streak::default() }
        })
    }

    fn explain(&mut self, change: &Change<'_>, scene: &Scene) -> Why {
        let variable = scene.variables.get(change.id);
        if variable.kind == VariableKind::Buffer {
            let evaluating = scene.iteration.as_ref().is_some_and(|iteration| iteration.evaluation_mode);
            return if evaluating { Why::EvaluationMode } else { Why::Nothing };
        }
        // A copy of a parameter that is updated in its place needs none.
        if variable.requires_grad == Some(false) && variable.kind != VariableKind::Unreached {
            return if self.untrained.is_model(change, scene) { Why::Untrained } else { Why::RequiresNoGrad };
        }
        match variable.grad.filter(|_| variable.grad_iteration == change.look.iteration) {
            // What no optimizer holds, an average of the weights, moves without one, and at times too little to be seen.
            Some(grad) if grad.kind == ValueKind::None && variable.is_held() => Why::NoGradient,
            Some(grad) if grad.kind == ValueKind::Tensor && !grad.all_zero() => match &variable.held_by {
                Some(holders) if holders.is_empty() => Why::HeldByNone,
                _ => Why::Nothing,
            },
            _ => Why::Nothing,
        }
    }
}

/// `Net.weight` for `Net#2.weight`.
fn first_of_its_class(name: &str) -> Option<String> {
    let (root, rest) = name.split_once('.')?;
    let (class, number) = root.rsplit_once('#')?;
    number.parse::<u32>().ok()?;
    Some(format!("{class}.{rest}"))
}
