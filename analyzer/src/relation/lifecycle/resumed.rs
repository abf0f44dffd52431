//! Resumed: what must have been done with an object before it is used for the first time. A part of lifecycle.
//!
//! Where a model has been given a saved state before the first step of its optimizer, a run goes on, or something else is
//! trained from there: in a program that goes on, the optimizer and the scheduler need theirs too. In any program one of
//! the two says that it does: what the optimizer goes on with, the scheduler has to, and the other way round. A state in which
//! there is nothing, as a wrapper may hand over, says nothing. And a module with spectral norm is called in training mode before it is evaluated,
//! because its singular vectors are random until then.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{ObjectKind, Role, VariableKind, flags};

use super::claim::{Cadence, Outcome, Subject, TrackedKind};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// An object that has not stepped yet.
#[derive(Debug)]
struct Waiting {
    kind: TrackedKind,
    class: String,
    /// The optimizer whose model counts.
    optimizer: u32,
    /// Whether that was given a state before this was constructed: a schedule may be made to begin where it stands.
    made_after: bool,
    losses: u32,
}

/// What is known of the first module of its class that was called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ran {
    InTraining,
    /// It was evaluated, or nothing is to be said of it.
    Decided,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Resumed {
    waiting: FxHashMap<u32, Waiting>,
    /// Root modules, optimizers and schedulers that were given a state.
    loaded: FxHashSet<u32>,
    /// The optimizers of the schedulers among them.
    scheduled: FxHashSet<u32>,
    /// Whether anything was read with `torch.load`, perhaps a whole module.
    read: bool,
    ran: FxHashMap<u32, Ran>,
    classes: BTreeSet<String>,
}

impl Resumed {
    /// Observes one event.
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Created(id, of, _) => self.created(*id, *of, cx),
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::ModuleCall => {
                self.called(frame, cx)
            }
            TraceEvent::Leave(frame, cut) if frame.counts && *cut != Some(Cut::Raised) => {
                match frame.target.role {
                    Role::Load => self.read = true,
                    Role::LoadState => {
                        let module = cx.scene.object(frame.object).filter(|o| o.kind == ObjectKind::Module);
                        self.loaded.insert(module.map_or(frame.object, |module| module.root));
                        if let Some(scheduler) = self.waiting.get(&frame.object)
                            && scheduler.kind == TrackedKind::Scheduler
                        {
                            self.scheduled.insert(scheduler.optimizer);
                        }
                    }
                    Role::OptimizerStep | Role::SchedulerStep => self.stepped(frame, cx),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn created(&mut self, id: u32, of: u32, cx: &Context<'_>) {
        let Some(object) = cx.scene.object(id) else { return };
        let (kind, optimizer) = match object.kind {
            ObjectKind::Optimizer => (TrackedKind::Optimizer, id),
            ObjectKind::Scheduler => (TrackedKind::Scheduler, of),
            _ => return,
        };
        let class = object.class.clone();
        let made_after = self.loaded.contains(&optimizer);
        self.waiting.insert(id, Waiting { kind, class, optimizer, made_after, losses: cx.scene.losses });
    }

    /// Who holds what is known once the first step has returned.
    fn stepped(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(waiting) = self.waiting.remove(&frame.object) else { return };
        let scene = cx.scene;
        let model = scene
            .variables
            .held_by(waiting.optimizer)
            .iter()
            .any(|&id| self.loaded.contains(&scene.variables.get(id).owner));
        let optimizer = self.loaded.contains(&waiting.optimizer);
        let other = match waiting.kind {
            TrackedKind::Scheduler => scene.variables.is_restored(waiting.optimizer),
            _ => self.scheduled.contains(&waiting.optimizer),
        };
        let held = self.loaded.contains(&frame.object).then_some(Outcome::Loaded);
        let cut = scene.lost_since(waiting.losses);
        let of = |class, cadence| Subject::Object { kind: waiting.kind, class, cadence };
        if other && !waiting.made_after {
            window(of(waiting.class.clone(), Cadence::Restored), held, cut, frame, cx);
        }
        if model || optimizer && waiting.kind == TrackedKind::Scheduler {
            window(of(waiting.class, Cadence::Resumed), held, cut, frame, cx);
        }
    }

    fn called(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(object) = cx.scene.object(frame.object) else { return };
        let root = object.root;
        let ran = self.ran.get(&root).copied();
        if ran == Some(Ran::Decided) {
            return;
        }
        let Some(class) = cx.scene.object(root).map(|root| root.class.clone()) else { return };
        if ran.is_none() && !self.classes.insert(class.clone()) {
            // A copy of another one has what that has learned.
            self.ran.insert(root, Ran::Decided);
        } else if frame.flags & flags::MODULE_TRAIN != 0 {
            self.ran.insert(root, Ran::InTraining);
        } else if frame.flags & flags::MODULE_EVAL != 0 {
            self.ran.insert(root, Ran::Decided);
            let in_training = ran == Some(Ran::InTraining);
            let known = in_training || !self.read && !self.loaded.contains(&root);
            if known && has_spectral_norm(root, cx.scene) {
                let subject =
                    Subject::Object { kind: TrackedKind::SpectralNorm, class, cadence: Cadence::Evaluated };
                let held = in_training.then_some(Outcome::RanInTraining);
                window(subject, held, cx.scene.lost_since(0), frame, cx);
            }
        }
    }
}

/// Whether `torch.nn.utils.spectral_norm` has been put on a weight: it keeps `weight_orig`, a parameter, and `weight_u`,
/// a buffer. The parametrization of the same name improves its vectors when it is made, and keeps neither.
fn has_spectral_norm(root: u32, scene: &Scene) -> bool {
    let variables = || scene.variables.of_owner(root).iter().map(|&id| scene.variables.get(id));
    let kinds: BTreeMap<&str, VariableKind> = variables().map(|v| (v.name.as_str(), v.kind)).collect();
    variables().filter(|v| v.kind == VariableKind::Buffer).any(|v| {
        let weight = v.name.strip_suffix("_u").map(|name| format!("{name}_orig"));
        weight.is_some_and(|name| kinds.get(name.as_str()) == Some(&VariableKind::Parameter))
    })
}

fn window(subject: Subject, held: Option<Outcome>, cut: Option<Cut>, frame: &Frame, cx: &mut Context<'_>) {
    let subject = cx.numbers.subject(subject);
    let held: Vec<u32> = held.into_iter().map(|outcome| cx.numbers.outcome(outcome)).collect();
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = &held;
    window.cut = cut;
    cx.window(&window);
}
