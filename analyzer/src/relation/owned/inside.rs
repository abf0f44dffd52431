//! Modules that are called inside another one are part of it. One that is not, because it is kept in a plain list or dict, is
//! trained by no optimizer over the model's parameters, saved with no state and moved to no device.
//!
//! What has no parameters is often made where it is called, a loss for one. In any program a class has some if one of its
//! modules did that is part of a model, or if PyTorch's own class always does.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Role, VariableKind, flags};

use super::claim::{Outcome, Subject};
use crate::call::{ANY, CallId};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::{Cut, Frame, Iteration, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Pairs of an outermost module and a function inside that are told apart in one iteration.
const MOST: usize = 4096;
/// Modules of Python in which the classes of `torch.nn` have parameters.
const WITH_PARAMETERS: [&str; 7] =
    ["linear", "conv", "batchnorm", "normalization", "rnn", "sparse", "transformer"];
/// Classes in these that have none, and those elsewhere that have some.
const WITHOUT: [&str; 3] = ["Identity", "LocalResponseNorm", "CrossMapLRN2d"];
const OTHERS: [&str; 2] =
    ["torch.nn.modules.activation.MultiheadAttention", "torch.nn.modules.activation.PReLU"];

/// What is called inside what.
#[derive(Default)]
pub struct Inside {
    /// The module that was called last by no other, by thread.
    outermost: FxHashMap<u16, u32>,
    /// What was called in this iteration.
    called: FxHashMap<Key, Called>,
    /// By module: how many variables were known when it was looked up, and whether it had parameters.
    modules: FxHashMap<u32, (usize, bool)>,
    /// What windows are about, how many there were, and in how many at the end a module was no part.
    pairs: FxHashMap<Key, (SubjectId, u32, Streak)>,
    part: Option<OutcomeId>,
    any: Option<SubjectId>,
    /// Functions that call modules which have parameters.
    with_parameters: FxHashSet<CallId>,
}

/// A module that is called by no other, and the function that calls one inside.
type Key = (u32, CallId);

/// Which modules a function was called on.
#[derive(Default)]
struct Called {
    /// One that is part of a root.
    part: Option<u32>,
    /// The first call of one that is part of none, and how many calls are around it.
    stray: Option<(Frame, usize)>,
}

impl Inside {
    /// Follows one event.
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.target.role == Role::ModuleCall => self.enter(frame, cx.scene),
            TraceEvent::IterationBegan(_) => self.called.clear(),
            TraceEvent::IterationEnded(iteration, cut) if iteration.backward => {
                self.ended(iteration, *cut, cx);
            }
            _ => {}
        }
    }

    fn enter(&mut self, frame: &Frame, scene: &Scene) {
        if frame.flags & flags::OUTERMOST != 0 {
            self.outermost.insert(frame.thread, frame.object);
            return;
        }
        let outermost = self.outermost.get(&frame.thread).copied().filter(|module| *module != 0);
        let Some(outermost) =
            outermost.filter(|_| frame.flags & (flags::GRAD | flags::IN_INIT) == flags::GRAD)
        else {
            return;
        };
        let key = (outermost, frame.target.plain);
        if self.called.len() >= MOST && !self.called.contains_key(&key) {
            return;
        }
        let called = self.called.entry(key).or_default();
        if frame.object != 0 {
            called.part = Some(frame.object);
        } else if called.stray.is_none() {
            called.stray = Some((*frame, scene.depth(frame)));
        }
    }

    fn ended(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let mut called: Vec<(Key, Called)> = self.called.drain().collect();
        called.sort_unstable_by_key(|(key, _)| *key);
        for (key, called) in called {
            // What has no parameters may be made anew for every call.
            let has_parameters = called.part.is_some_and(|part| self.has_parameters(part, cx.scene));
            if has_parameters {
                self.with_parameters.insert(key.1);
            }
            if called.stray.is_some() || has_parameters {
                self.example(key, &called, iteration, cut, cx);
            }
        }
    }

    fn example(
        &mut self,
        key: Key,
        called: &Called,
        iteration: &Iteration,
        cut: Option<Cut>,
        cx: &mut Context<'_>,
    ) {
        let (subject, ordinal, streak) = match self.pairs.get_mut(&key) {
            Some(known) => known,
            None => {
                let Some(subject) = subject(key, cx) else { return };
                self.pairs.entry(key).or_insert((subject, 0, Streak::default()))
            }
        };
        *ordinal = ordinal.saturating_add(1);
        streak.add(called.stray.is_some(), (iteration.number, iteration.frame.step));
        let part = [*self.part.get_or_insert_with(|| cx.numbers.outcome(Outcome::Part))];
        let stray = called.stray.as_ref().map(|(frame, depth)| (frame, *depth));
        let (frame, depth) = stray.unwrap_or((&iteration.frame, iteration.depth));
        let mut window = Window::new(*subject, NOTHING, frame, depth);
        if stray.is_none() {
            window.held = &part;
        } else if streak.is_accident() {
            window.inconclusive = &part;
        }
        window.began = streak.began();
        window.cut = cut.or(Scene::too_early(iteration.number, *ordinal));
        cx.window(&window);
        if self.with_parameters.contains(&key.1) || always_has_parameters(key.1, cx) {
            let any = || Subject::Inside { root: ANY.into(), class: ANY.into() };
            window.subject = *self.any.get_or_insert_with(|| cx.numbers.subject(any()));
            cx.general(&window);
        }
    }

    fn has_parameters(&mut self, module: u32, scene: &Scene) -> bool {
        let variables = scene.variables.iter().len();
        let known = self.modules.entry(module).or_default();
        if !known.1 && known.0 != variables {
            let name = scene.object(module).map(|object| format!("{}.", object.name)).unwrap_or_default();
            let mut parameters =
                scene.variables.iter().filter(|(_, variable)| variable.kind == VariableKind::Parameter);
            *known = (variables, !name.is_empty() && parameters.any(|(_, one)| one.name.starts_with(&name)));
        }
        known.1
    }
}

/// Whether the function calls modules of PyTorch's that have parameters.
fn always_has_parameters(function: CallId, cx: &Context<'_>) -> bool {
    let Some(class) = cx.numbers.calls.get(function).function.strip_suffix(".__call__") else { return false };
    let Some((module, class_name)) =
        class.strip_prefix("torch.nn.modules.").and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    WITH_PARAMETERS.contains(&module) && !WITHOUT.contains(&class_name) || OTHERS.contains(&class)
}

fn subject((outermost, function): Key, cx: &mut Context<'_>) -> Option<SubjectId> {
    let root = cx.scene.object(outermost)?.class.clone();
    let class = cx.numbers.calls.get(function).function.strip_suffix(".__call__")?.to_owned();
    Some(cx.numbers.subject(Subject::Inside { root, class }))
}
