//! Parts of a model, in the mode of the module that calls them.
//!
//! Of a part that was switched by itself only the topmost module is told: what is below it has the mode of its caller. One
//! that is a batch norm or a dropout itself was meant: nobody else switches these one by one.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Role, VariableKind, flags};

use super::claim::{Outcome, Subject};
use super::dependent::{Dependent, depends};
use crate::call::ANY;
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// A module (dictionary id), and whether the one that calls it is in training mode.
type Key = (u32, bool);

#[derive(Default)]
pub(super) struct Parts {
    known: FxHashMap<Key, Part>,
    /// The modules (dictionary ids) that were called since the evaluation, or the iteration, began.
    called: [Vec<u32>; 2],
    in_mode: [Option<OutcomeId>; 2],
    any: [Option<SubjectId>; 2],
}

/// A module whose mode makes a difference.
struct Part {
    subject: SubjectId,
    /// How many windows there were, and in how many at the end the mode was another.
    ordinal: u32,
    streak: Streak,
    called: Option<Called>,
}

/// Its calls since then.
struct Called {
    /// The first such call, and how many calls are around the outermost module call around it.
    frame: Frame,
    depth: usize,
    /// Whether it was in the mode of its caller at least once.
    as_caller: bool,
}

impl Parts {
    pub(super) fn observe(
        &mut self,
        event: &TraceEvent<'_>,
        dependent: &mut Dependent,
        cx: &mut Context<'_>,
    ) {
        match event {
            // What was called with gradients and without a backward was evaluated.
            TraceEvent::IterationBegan(_) => {
                for module in self.called[1].drain(..) {
                    self.known.entry((module, true)).and_modify(|part| part.called = None);
                }
            }
            TraceEvent::Enter(frame)
                if frame.target.role == Role::ModuleCall && dependent.has(frame.object, cx) =>
            {
                self.called(frame, cx);
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::Backward && frame.counts => {
                self.decide(true, None, cx.scene.depth(frame), cx);
            }
            TraceEvent::Leave(frame, cut)
                if frame.target.role == Role::ModuleCall
                    && frame.counts
                    && frame.flags & flags::GRAD == 0 =>
            {
                self.decide(false, *cut, cx.scene.depth(frame), cx);
            }
            _ => {}
        }
    }

    fn called(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let scene = cx.scene;
        let around = scene.stack(frame.thread, scene.depth(frame));
        let is_module = |frame: &&Frame| frame.target.role == Role::ModuleCall;
        let Some(caller) = around.iter().rev().find(is_module) else { return };
        let root = |frame: &Frame| scene.object(frame.object).map(|object| object.root);
        let training = caller.flags & flags::MODULE_TRAIN != 0;
        let computes_gradients = frame.flags & flags::GRAD != 0;
        if root(frame).is_none()
            || root(frame) != root(caller)
            || training != computes_gradients
            || training && scene.inside(frame.thread, Role::Backward)
        {
            return;
        }
        let key = (frame.object, training);
        let part = match self.known.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let Some(subject) = subject(key, cx) else { return };
                unknown.insert(Part { subject, ordinal: 0, streak: Streak::default(), called: None })
            }
        };
        let as_caller = (frame.flags & flags::MODULE_TRAIN != 0) == training;
        if let Some(called) = &mut part.called {
            called.as_caller |= as_caller;
        } else {
            let depth = around.iter().position(|frame| is_module(&frame)).unwrap_or(around.len());
            part.called = Some(Called { frame: *frame, depth, as_caller });
            self.called[usize::from(training)].push(frame.object);
        }
    }

    /// A training or evaluation of what was called has come to its end, with so many calls around it.
    fn decide(&mut self, training: bool, cut: Option<Cut>, depth: usize, cx: &mut Context<'_>) {
        let in_mode = if training { Outcome::InTraining } else { Outcome::InEvaluation };
        let outcome = &mut self.in_mode[usize::from(training)];
        let outcome = [*outcome.get_or_insert_with(|| cx.numbers.outcome(in_mode))];
        let any = &mut self.any[usize::from(training)];
        let any = *any.get_or_insert_with(|| cx.numbers.subject(part_named(ANY, training)));
        for module in self.called[usize::from(training)].drain(..) {
            let Some(part) = self.known.get_mut(&(module, training)) else { continue };
            let Some(called) = part.called.take() else { continue };
            let Part { subject, ordinal, streak, .. } = part;
            *ordinal = ordinal.saturating_add(1);
            streak.add(!called.as_caller, cx.scene.now);
            let on_purpose = !called.as_caller && training && is_frozen(module, cx.scene);
            let mut window = Window::new(*subject, NOTHING, &called.frame, called.depth.min(depth));
            window.held = if called.as_caller { &outcome } else { &[] };
            window.inconclusive = if streak.is_accident() || on_purpose { &outcome } else { &[] };
            window.cut = cut
                .or(cx.scene.lost_since(called.frame.losses))
                .or(Scene::too_early(called.frame.iteration, *ordinal));
            window.now = cx.scene.now;
            window.began = streak.began();
            cx.window(&window);
            let is_meant = || cx.scene.object(module).is_some_and(|object| depends(&object.class));
            if called.as_caller || !is_meant() {
                window.subject = any;
                cx.general(&window);
            }
        }
    }
}

fn subject((module, training): Key, cx: &mut Context<'_>) -> Option<SubjectId> {
    let subject = part_named(&cx.scene.object(module)?.name, training);
    Some(cx.numbers.subject(subject))
}

fn part_named(name: &str, training: bool) -> Subject {
    let name = name.into();
    if training { Subject::TrainedPart { name } } else { Subject::EvaluatedPart { name } }
}

/// Whether none of its parameters is to learn: its mode is part of that.
fn is_frozen(module: u32, scene: &Scene) -> bool {
    let Some(object) = scene.object(module) else { return false };
    let variables = scene.variables.of_owner(object.root).iter().map(|&id| scene.variables.get(id));
    let mut below = variables
        .filter(|variable| variable.kind == VariableKind::Parameter)
        .filter(|variable| variable.name.strip_prefix(&object.name).is_some_and(|rest| rest.starts_with('.')))
        .peekable();
    below.peek().is_some() && below.all(|variable| variable.requires_grad == Some(false))
}
