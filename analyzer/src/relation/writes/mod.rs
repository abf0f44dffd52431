//! Writes: between two steps, with calls of functions in between that are given a model, a parameter changes.
//!
//! For functions that write to parameters themselves: that prune, clamp or normalise weights. Nothing looks at
//! parameters when such a function returns, but they were looked at when the step before it returned and are looked at
//! when the next one begins, and nothing else changes them in between. Which of several functions writes cannot be told,
//! so a claim is about all of them. What counts against a run is that none of them ever changed anything in it.
pub mod claim;

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Argument, ArgumentKind, Attribute, ObjectKind, Role, VariableKind, tensor};

use crate::call::Call;
use crate::call::CallId;
use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::streak::PERSISTENT;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Writes::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::User, Role::ModuleCall, Role::Backward, Role::OptimizerStep, Role::LoadState]),
    arguments: Roles::of(&[Role::User]),
    variables: &[States::AROUND_STEPS, States::HOLDERS],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: NEEDS.calls,
    returns: Roles::of(&[Role::User]),
    states: &[(Attribute::Data, &[VariableKind::Parameter, VariableKind::Unreached])],
    looks: true,
};

/// Functions between two steps beyond these are left alone.
const MOST: usize = 64;

#[derive(Default)]
struct Writes {
    /// Classes of modules that were called: their methods are given a model.
    classes: BTreeSet<String>,
    modules: FxHashSet<u32>,
    /// Functions that were given a module or a parameter.
    given: FxHashSet<CallId>,
    /// Open calls of functions in which no module was called and nothing stepped so far: number and thread.
    open: Vec<(u64, u16)>,
    /// Those that have returned since the last step.
    returned: Vec<(Frame, usize)>,
    poisoned: bool,
    /// Parameters as the last step left them, and whether it changed them.
    left: FxHashMap<VarId, (Digest, bool)>,
    losses: u32,
    changed: bool,
    compared: bool,
    moving: bool,
    histories: FxHashMap<SubjectId, History>,
}

/// What is known of some functions together.
#[derive(Debug, Default)]
struct History {
    windows: u32,
    ever: bool,
}

impl Observer for Writes {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) => self.enter(frame, cx),
            TraceEvent::Leave(frame, cut) if frame.target.role == Role::User => self.leave(frame, *cut, cx),
            TraceEvent::Suspend(frame) if frame.target.role == Role::User => {
                self.open.retain(|(call, _)| *call != frame.call);
            }
            TraceEvent::Given(frame, arguments)
                if frame.target.role == Role::User
                    && arguments.iter().any(|argument| is_model(argument, cx.scene)) =>
            {
                self.given.insert(frame.target.plain);
            }
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Data && look.frame.target.role == Role::OptimizerStep =>
            {
                if let Some(now) = change.now {
                    self.state(change.variable, now, look, cx.scene);
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::OptimizerStep => {
                if look.at_entry {
                    self.decide(look, cx);
                } else {
                    self.returned.clear();
                    self.poisoned = false;
                    self.losses = cx.scene.losses;
                }
            }
            _ => {}
        }
    }
}

impl Writes {
    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        match frame.target.role {
            Role::User if frame.counts => {
                let inside = cx.scene.inside(frame.thread, Role::ModuleCall)
                    || cx.scene.inside(frame.thread, Role::OptimizerStep);
                if !inside {
                    self.open.push((frame.call, frame.thread));
                }
            }
            Role::ModuleCall | Role::Backward | Role::OptimizerStep => {
                self.open.retain(|(_, thread)| *thread != frame.thread);
                if frame.target.role == Role::ModuleCall
                    && self.modules.insert(frame.object)
                    && let Some(object) = cx.scene.object(frame.object)
                {
                    self.classes.insert(object.class.clone());
                }
            }
            Role::LoadState => self.poisoned = true,
            _ => {}
        }
    }

    fn leave(&mut self, frame: &Frame, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some(at) = self.open.iter().rposition(|(call, _)| *call == frame.call) else { return };
        self.open.remove(at);
        let id = frame.target.plain;
        if cut.is_none()
            && self.returned.len() < MOST
            && self.returned.iter().all(|(other, _)| other.target.plain != id)
        {
            self.returned.push((*frame, cx.scene.depth(frame)));
        }
    }

    fn state(&mut self, variable: VarId, now: Digest, look: &Look, scene: &Scene) {
        if !scene.variables.get(variable).is_held() {
            return;
        }
        match self.left.get_mut(&variable) {
            Some((left, moved)) => {
                let Some(same) = now.same(left) else { return };
                if look.at_entry {
                    self.compared = true;
                    self.changed |= !same;
                    self.moving |= *moved;
                } else {
                    *left = now;
                    *moved = !same;
                }
            }
            None if !look.at_entry => {
                self.left.insert(variable, (now, false));
            }
            None => {}
        }
    }

    fn decide(&mut self, look: &Look, cx: &mut Context<'_>) {
        let changed = std::mem::take(&mut self.changed);
        let moving = std::mem::take(&mut self.moving);
        if !std::mem::take(&mut self.compared) {
            return;
        }
        let cut = if self.poisoned { Some(Cut::Unclear) } else { cx.scene.lost_since(self.losses) };
        let mut writers = std::mem::take(&mut self.returned);
        writers.retain(|(frame, _)| {
            let id = frame.target.plain;
            let function = &cx.numbers.calls.get(id).function;
            let is_method =
                || function.rsplit_once('.').is_some_and(|(class, _)| self.classes.contains(class));
            self.given.contains(&id) || is_method()
        });
        let Some((frame, depth)) = writers.last() else { return };
        let mut calls: Vec<Call> =
            writers.iter().map(|(frame, _)| cx.numbers.calls.get(frame.target.plain).clone()).collect();
        calls.sort();
        let subject = cx.numbers.subject(Subject::Around { calls });
        if !cx.wants(subject) {
            return;
        }
        let history = self.histories.entry(subject).or_default();
        history.windows = history.windows.saturating_add(1);
        history.ever |= changed;
        let written = [cx.numbers.outcome(Outcome::Written)];
        let mut window = Window::new(subject, NOTHING, frame, *depth);
        window.held = if changed { &written } else { &[] };
        let blamed = !history.ever && history.windows >= PERSISTENT && moving;
        window.inconclusive = if blamed { &[] } else { &written };
        window.cut = cut.or(Scene::too_early(look.iteration, history.windows));
        window.now = (look.iteration, look.step);
        cx.window(&window);
    }
}

/// Whether a module is passed, or a parameter.
fn is_model(argument: &Argument, scene: &Scene) -> bool {
    match ArgumentKind::try_from(argument.value_kind) {
        Ok(ArgumentKind::Object) => {
            scene.object(argument.object).is_some_and(|object| object.kind == ObjectKind::Module)
        }
        Ok(ArgumentKind::Tensor) => {
            argument.flags & tensor::REQUIRES_GRAD != 0 && argument.flags & tensor::LEAF != 0
        }
        _ => false,
    }
}
