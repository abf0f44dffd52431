//! The mode of a model that is evaluated, where it is one that the run trains.
//!
//! Not every call without gradients is an evaluation. One in training mode is none where it belongs to most steps (pseudo-labels,
//! a first look for the examples that are hard), where the script has just switched the model to training mode (samples
//! of dropout, statistics of batch norm that are computed anew), and where nothing is compared with anything: one of several
//! models that are trained makes samples. How often a model is asked shows only later, and so does whether a loss follows.

use std::collections::BTreeMap;

use traincheck_schema::record::{Role, Stage, VariableKind, flags};

use super::claim::{Outcome, Subject};
use super::dependent::Dependent;
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::loss::is_loss;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Steps from the first such call on after which it is clear whether such calls are part of them.
const ENOUGH: u32 = 64;
/// A run with fewer steps behind the first such call is judged by all that it had.
const LEAST: u32 = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Evaluation {
    /// By root module (dictionary id).
    models: BTreeMap<u32, Model>,
    /// Since the last backward: whether a loader gave a batch, and whether a loss was computed without gradients.
    batch: bool,
    loss: bool,
    said: Option<(SubjectId, OutcomeId)>,
}

#[derive(Default)]
struct Model {
    /// Its mode was switched, and no backward has come since that could have been through it.
    switched: bool,
    /// It was called with gradients since it was switched, and since its last step.
    called: [bool; 2],
    /// Steps of an optimizer that trains it.
    steps: u32,
    /// How many there were at the first call in training mode that may be an evaluation, and how many had such a call since.
    first: Option<u32>,
    asked: u32,
    /// There was one since the last step.
    since: bool,
    /// The first of those since the last backward.
    last: Option<Call>,
    /// The first of which nothing is known yet.
    waits: Option<Call>,
}

/// A call without gradients in training mode.
#[derive(Clone)]
struct Call {
    frame: Frame,
    /// The numbers of the calls around it.
    around: Vec<u64>,
    /// Nothing says so far that it is an evaluation.
    alone: bool,
}

/// Whether calls without gradients in training mode belong to the steps.
enum Belongs {
    Yes,
    No,
    Unknown,
}

impl Evaluation {
    /// A call without gradients.
    pub(super) fn called(&mut self, window: &Window<'_>, dependent: &mut Dependent, cx: &mut Context<'_>) {
        let frame = window.at;
        let said = |numbers: &mut Numbers| {
            (numbers.subject(Subject::Evaluation), numbers.outcome(Outcome::InEvaluation))
        };
        let (subject, _) = *self.said.get_or_insert_with(|| said(cx.numbers));
        let scene = cx.scene;
        if !cx.wants(subject) || frame.stage != Stage::Evaluation as u8 {
            return;
        }
        let Some(root) = scene.object(frame.object).map(|object| object.root) else { return };
        if !dependent.is_trained(root, |holder| scene.stepped.contains(&holder), cx) {
            return;
        }
        if frame.flags & flags::MODULE_EVAL != 0 || window.cut.is_some() {
            cx.general(&Window { subject, ..*window });
            return;
        }
        let model = self.models.entry(root).or_default();
        if !model.switched && model.last.is_none() {
            let around = scene.stack(frame.thread, window.depth).iter().map(|frame| frame.call).collect();
            let alone = !self.batch && trains_several(scene);
            model.last = Some(Call { frame: *frame, around, alone });
        }
    }

    pub(super) fn observe(
        &mut self,
        event: &TraceEvent<'_>,
        dependent: &mut Dependent,
        cx: &mut Context<'_>,
    ) {
        match event {
            TraceEvent::Enter(frame) => {
                let computes = matches!(frame.target.role, Role::Other | Role::ModuleCall);
                if computes && !self.loss && frame.flags & flags::GRAD == 0 {
                    self.loss = is_loss(frame, cx.numbers);
                }
                if frame.counts {
                    self.enter(frame, dependent, cx);
                }
            }
            TraceEvent::Leave(frame, None) if frame.target.role == Role::LoaderNext => self.batch = true,
            TraceEvent::End => {
                self.looked_back();
                self.decide(true, cx);
            }
            _ => {}
        }
    }

    fn enter(&mut self, frame: &Frame, dependent: &mut Dependent, cx: &mut Context<'_>) {
        let root = || cx.scene.object(frame.object).map(|object| object.root);
        match frame.target.role {
            Role::ModeChange => {
                if let Some(root) = root().filter(|root| *root == frame.object) {
                    let model = self.models.entry(root).or_default();
                    (model.switched, model.called[0]) = (true, false);
                }
            }
            Role::ModuleCall if frame.flags & flags::GRAD != 0 => {
                if let Some(root) = root() {
                    self.models.entry(root).or_default().called = [true, true];
                }
            }
            Role::Backward => {
                self.looked_back();
                (self.batch, self.loss) = (false, false);
                for model in self.models.values_mut() {
                    model.switched &= !model.called[0];
                }
            }
            Role::OptimizerStep => {
                for (&root, model) in &mut self.models {
                    if model.called[1] && dependent.is_trained(root, |holder| holder == frame.object, cx) {
                        model.called[1] = false;
                        model.steps = model.steps.saturating_add(1);
                        model.asked += u32::from(std::mem::take(&mut model.since));
                    }
                }
                self.decide(false, cx);
            }
            _ => {}
        }
    }

    /// What was computed behind the calls since the last backward has been seen.
    fn looked_back(&mut self) {
        for model in self.models.values_mut() {
            let Some(call) = model.last.take().filter(|call| !call.alone || self.loss) else { continue };
            model.first.get_or_insert(model.steps);
            model.since = true;
            model.waits.get_or_insert(call);
        }
    }

    fn decide(&mut self, ended: bool, cx: &mut Context<'_>) {
        let Some((subject, _)) = self.said else { return };
        for model in self.models.values_mut() {
            let Some(call) = &model.waits else { continue };
            match model.belongs(ended) {
                Belongs::Unknown => {}
                Belongs::Yes => model.waits = None,
                Belongs::No => {
                    let open = cx.scene.stack(call.frame.thread, usize::MAX).iter();
                    let depth = open.zip(&call.around).take_while(|(open, call)| open.call == **call).count();
                    let mut window = Window::new(subject, NOTHING, &call.frame, depth);
                    window.cut = cx.scene.lost_since(call.frame.losses);
                    cx.general(&window);
                    model.waits = None;
                }
            }
        }
    }
}

impl Model {
    fn belongs(&self, ended: bool) -> Belongs {
        let of = self.steps - self.first.unwrap_or_default();
        // A third: what is decided by the toss of a coin is less than half by chance.
        let yes = |of: u32| if self.asked > of / 3 { Belongs::Yes } else { Belongs::No };
        match of {
            ENOUGH.. => yes(of),
            LEAST.. if ended => yes(of),
            _ if ended => yes(self.steps),
            _ => Belongs::Unknown,
        }
    }
}

/// Whether optimizers that have stepped hold parameters of more than one root module.
fn trains_several(scene: &Scene) -> bool {
    let mut trained = scene.variables.iter().filter(|(_, variable)| {
        let mut holders = variable.held_by.iter().flatten();
        variable.kind == VariableKind::Parameter && holders.any(|holder| scene.stepped.contains(holder))
    });
    let first = trained.next().map(|(_, variable)| variable.owner);
    trained.any(|(_, variable)| Some(variable.owner) != first)
}
