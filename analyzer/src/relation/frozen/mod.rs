//! Frozen: what does not change over training steps, and that nothing changes during evaluation, streams of random numbers
//! included.
//!
//! A variable that never changed in the references may only have had no time to: what counts against a run is one
//! that changes from its first steps on.
pub mod claim;
mod draws;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::steps::{Change, Steps};
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Look, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};
use draws::Draws;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Frozen::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[
        Role::Backward,
        Role::OptimizerStep,
        Role::LoadState,
        Role::ModeChange,
        Role::ModuleCall,
    ]),
    collectives: true,
    variables: &[
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter, VariableKind::Buffer, VariableKind::Unreached],
            at: &[Point::Return(Role::OptimizerStep), Point::Return(Role::ModeChange)],
        },
        States {
            attribute: Attribute::RequiresGrad,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[],
        },
        States { attribute: Attribute::Training, of: &[VariableKind::Mode], at: &[] },
        States { attribute: Attribute::Data, of: &[VariableKind::Rng], at: &[] },
        States::HOLDERS,
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::Backward, Role::OptimizerStep, Role::LoadState]),
    states: &[(
        Attribute::Data,
        &[VariableKind::Parameter, VariableKind::Buffer, VariableKind::Unreached, VariableKind::Rng],
    )],
    looks: true,
    ..Told::NOTHING
};

/// How many changes in a row, from the first step on, show that a variable is not frozen at all.
const FROM_THE_START: u32 = 3;

#[derive(Default)]
struct Frozen {
    steps: Steps,
    changed: FxHashMap<VarId, u32>,
    subjects: FxHashMap<VarId, SubjectId>,
    constant: Option<OutcomeId>,
    frozen: Option<OutcomeId>,
    evaluations: FxHashMap<u32, Evaluation>,
    ended: FxHashMap<u32, u32>,
    draws: Draws,
}

/// What was found when a root module was put into evaluation mode.
struct Evaluation {
    found: Vec<(VarId, Digest)>,
    losses: u32,
    /// The most elements that came out of a collective since: wrappers send buffers to all ranks in evaluations, too, as
    /// `DistributedDataParallel` does, and models may be averaged there. A count of what was right has fewer.
    most_got: u64,
}

impl Observer for Frozen {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        if let Some(change) = self.steps.observe(event, cx.scene) {
            self.example(&change, cx);
        }
        self.draws.observe(event, cx);
        match event {
            // Whoever trains or loads while in evaluation mode does change variables.
            TraceEvent::Enter(frame)
                if matches!(frame.target.role, Role::OptimizerStep | Role::LoadState | Role::Backward) =>
            {
                self.evaluations.clear();
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::ModeChange && !look.at_entry => {
                self.mode_changed(look, cx);
            }
            TraceEvent::Collective(came) => {
                for evaluation in self.evaluations.values_mut() {
                    evaluation.most_got = evaluation.most_got.max(came.record.elements_out);
                }
            }
            _ => {}
        }
    }
}

impl Frozen {
    fn example(&mut self, change: &Change<'_>, cx: &mut Context<'_>) {
        let subject = *self.subjects.entry(change.id).or_insert_with(|| {
            let name = cx.scene.variables.get(change.id).name.clone();
            cx.numbers.subject(Subject::Variable { name })
        });
        if !cx.wants(subject) {
            return;
        }
        let changed = self.changed.entry(change.id).or_default();
        if !change.same {
            *changed = changed.saturating_add(1);
        }
        let variable = cx.scene.variables.get(change.id);
        let (known, outcome, structural) = match variable.kind {
            VariableKind::Buffer => (&mut self.constant, Outcome::StaysConstant, true),
            _ => (&mut self.frozen, Outcome::StaysFrozen, variable.requires_grad == Some(false)),
        };
        let outcome = [*known.get_or_insert_with(|| cx.numbers.outcome(outcome))];
        let from_the_start = *changed >= FROM_THE_START && *changed == change.ordinal;
        let frame = &change.look.frame;
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if change.same && structural { &outcome } else { &[] };
        window.inconclusive = if from_the_start { &[] } else { &outcome };
        window.cut = Scene::too_early(change.look.iteration, change.ordinal);
        window.now = (change.look.iteration, change.look.step);
        window.variables = std::slice::from_ref(&change.id);
        let before = [Some(change.before)];
        window.before = &before;
        cx.window(&window);
    }

    fn mode_changed(&mut self, look: &Look, cx: &mut Context<'_>) {
        let root = look.frame.object;
        let scene = cx.scene;
        let Some(object) = scene.object(root).filter(|o| o.kind == ObjectKind::Module && o.root == root)
        else {
            return;
        };
        match scene.variables.mode(root) {
            Some(false) => {
                let found = scene.variables.of_owner(root).iter();
                let found =
                    found.filter_map(|&id| Some((id, scene.variables.get(id).data?))).collect::<Vec<_>>();
                // A second `eval()` does not begin anything.
                self.evaluations.entry(root).or_insert(Evaluation {
                    found,
                    losses: scene.losses,
                    most_got: 0,
                });
            }
            Some(true) => {
                if let Some(evaluation) = self.evaluations.remove(&root) {
                    let subject = Subject::Root { class: object.class.clone() };
                    let subject = cx.numbers.subject(subject);
                    self.evaluated(root, subject, &evaluation, look, cx);
                }
            }
            None => {}
        }
    }

    fn evaluated(
        &mut self,
        root: u32,
        subject: SubjectId,
        evaluation: &Evaluation,
        look: &Look,
        cx: &mut Context<'_>,
    ) {
        let (mut changed, mut before) = (Vec::new(), Vec::new());
        let (mut parameters, mut buffers) = (false, false);
        for (id, digest) in &evaluation.found {
            let variable = cx.scene.variables.get(*id);
            if variable.data.and_then(|now| now.same(digest)) == Some(false) {
                match variable.kind {
                    VariableKind::Buffer => buffers = true,
                    _ => parameters = true,
                }
                changed.push(*id);
                before.push(Some(*digest));
            }
        }
        let mut held = Vec::new();
        if !parameters {
            held.push(cx.numbers.outcome(Outcome::ParametersStay));
        }
        if !buffers {
            held.push(cx.numbers.outcome(Outcome::BuffersStay));
        }
        let ended = self.ended.entry(root).or_default();
        *ended = ended.saturating_add(1);
        let frame = &look.frame;
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = &held;
        let elements = |id: &VarId| cx.scene.variables.get(*id).data.map_or(0, |data| data.elements);
        let is_sent = !changed.is_empty() && changed.iter().all(|id| elements(id) <= evaluation.most_got);
        window.cut = cx
            .scene
            .lost_since(evaluation.losses)
            .or(is_sent.then_some(Cut::Unclear))
            .or(Scene::too_early(look.iteration, *ended));
        window.now = (look.iteration, look.step);
        window.variables = &changed;
        window.before = &before;
        cx.window(&window);
    }
}
