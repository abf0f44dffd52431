//! How often a call comes in an iteration, between two steps, in a call of a function of the script.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Role, VariableKind};

use super::claim::{Outcome, Stretch, Subject};
use super::times::Times;
use crate::call::CallId;
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::open::OpenCalls;
use crate::relation::support::sequence::CRITICAL;
use crate::scene::variables::Variable;
use crate::scene::{Cut, Frame, Iteration, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Numbers that nothing explains are named up to here.
const MOST: u32 = 16;
/// Optimizers whose steps are followed at a time: those that stepped last.
const MOST_OPTIMIZERS: usize = 8;

/// What came in a stretch that is open.
#[derive(Debug, Default)]
struct Tally {
    /// In the order of the calls' numbers.
    calls: Vec<(CallId, u32)>,
    batches: u32,
    iterations: u32,
    last_iteration: u32,
    /// The optimizers that stepped (dictionary ids), and how often; as many as are followed.
    stepped: Vec<(u32, u32)>,
    losses: u32,
}

impl Tally {
    fn called(&mut self, call: CallId, times: u32) {
        match self.calls.binary_search_by_key(&call, |(call, _)| *call) {
            Ok(at) => self.calls[at].1 = self.calls[at].1.saturating_add(times),
            Err(at) => self.calls.insert(at, (call, times)),
        }
    }

    fn add(&mut self, frame: &Frame) {
        self.called(frame.target.plain, 1);
        match frame.target.role {
            Role::Backward if self.last_iteration != frame.iteration => {
                self.last_iteration = frame.iteration;
                self.iterations = self.iterations.saturating_add(1);
            }
            Role::OptimizerStep => self.steps(frame.object, 1),
            _ => {}
        }
    }

    fn steps(&mut self, optimizer: u32, times: u32) {
        match self.stepped.iter().position(|(other, _)| *other == optimizer) {
            Some(at) => self.stepped[at].1 = self.stepped[at].1.saturating_add(times),
            None if self.stepped.len() < MOST_OPTIMIZERS => self.stepped.push((optimizer, times)),
            None => {}
        }
    }

    fn merge(&mut self, inner: &Tally) {
        for &(call, times) in &inner.calls {
            self.called(call, times);
        }
        self.batches = self.batches.saturating_add(inner.batches);
        // Two calls within one iteration: it counts once.
        let again = inner.iterations > 0 && self.last_iteration == inner.first_iteration();
        self.iterations = self.iterations.saturating_add(inner.iterations - u32::from(again));
        self.last_iteration = self.last_iteration.max(inner.last_iteration);
        for &(optimizer, times) in &inner.stepped {
            self.steps(optimizer, times);
        }
    }

    /// Iterations within a call follow on each other.
    fn first_iteration(&self) -> u32 {
        self.last_iteration.saturating_add(1).saturating_sub(self.iterations)
    }

    fn count(&self, call: CallId) -> u32 {
        let at = self.calls.binary_search_by_key(&call, |(call, _)| *call);
        at.map_or(0, |at| self.calls[at].1)
    }

    /// Tells what explains that a call with this role came `count` times.
    fn explain(&self, count: u32, role: Role, per: &Stretch, scene: &Scene, mut tell: impl FnMut(Times)) {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut explains = |what: Times, value: u32| {
            if value == count {
                tell(what);
            }
        };
        explains(Times::Never, 0);
        explains(Times::Once, 1);
        explains(Times::Optimizers, number(self.stepped.len()));
        explains(Times::Iterations, self.iterations);
        explains(Times::Batches, self.batches);
        // That there are as many steps as steps says nothing.
        if role != Role::OptimizerStep {
            explains(Times::Steps, self.stepped.iter().map(|(_, steps)| *steps).max().unwrap_or_default());
        }
        if count > 1 {
            let sum = |of: &dyn Fn(u32) -> usize| {
                self.stepped.iter().map(|(optimizer, _)| number(of(*optimizer))).fold(0, u32::saturating_add)
            };
            let variables = &scene.variables;
            let is_rate = |v: &Variable| v.kind == VariableKind::Hyperparameter && v.name.ends_with(".lr");
            let rates =
                |optimizer| variables.of_owner(optimizer).iter().filter(|&&id| is_rate(variables.get(id)));
            explains(Times::Groups, sum(&|optimizer| rates(optimizer).count()));
            explains(Times::Parameters, sum(&|optimizer| variables.held_by(optimizer).len()));
            // How often it comes in a function that loops depends on how much data there is.
            if count <= MOST && !matches!(per, Stretch::Call { .. }) {
                explains(Times::Number(count), count);
            }
        }
    }
}

/// What came since the last step of an optimizer.
#[derive(Debug)]
struct Since {
    thread: u16,
    optimizer: u32,
    tally: Tally,
}

/// A kind of stretch: the calls that it has contained, and the numbers of what is claimed of them.
#[derive(Debug, Default)]
struct Known {
    calls: Vec<(CallId, SubjectId)>,
    closings: u32,
}

#[derive(Debug, Default)]
pub struct Calls {
    /// Of functions of the script.
    open: OpenCalls<Tally>,
    iteration: Option<(u16, Tally)>,
    /// Since the last step of each optimizer, the most recent last.
    steps: Vec<Since>,
    in_iterations: Known,
    between_steps: Known,
    in_calls: FxHashMap<CallId, Known>,
    happens: FxHashMap<Times, OutcomeId>,
    held: Vec<OutcomeId>,
}

impl Calls {
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts => {
                if CRITICAL.has(frame.target.role) {
                    self.called(frame, cx);
                }
                if frame.target.role == Role::User {
                    self.open.open(frame.call, frame.thread, Tally::default());
                }
            }
            TraceEvent::Leave(frame, cut) if frame.counts => match frame.target.role {
                Role::LoaderNext if cut.is_none() => {
                    self.tell(frame.thread, |tally| tally.batches = tally.batches.saturating_add(1));
                }
                Role::User => self.leave(frame, *cut, cx),
                _ => {}
            },
            // What a generator calls between two values is the business of who asks for them.
            TraceEvent::Suspend(frame) if frame.target.role == Role::User => {
                self.open.close(frame.call, Tally::merge);
            }
            TraceEvent::IterationBegan(iteration) => {
                self.iteration = Some((iteration.frame.thread, Tally::default()));
            }
            TraceEvent::IterationEnded(iteration, cut) => self.iteration_ended(iteration, *cut, cx),
            _ => {}
        }
    }

    fn tell(&mut self, thread: u16, mut change: impl FnMut(&mut Tally)) {
        if let Some(tally) = self.open.innermost(thread) {
            change(tally);
        }
        if let Some((_, tally)) = self.iteration.as_mut().filter(|(of, _)| *of == thread) {
            change(tally);
        }
        for since in self.steps.iter_mut().filter(|since| since.thread == thread) {
            change(&mut since.tally);
        }
    }

    fn called(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        // The step that ends a stretch is part of it, and not of the next.
        self.tell(frame.thread, |tally| tally.add(frame));
        if frame.target.role != Role::OptimizerStep {
            return;
        }
        let own = |since: &Since| since.thread == frame.thread && since.optimizer == frame.object;
        if let Some(at) = self.steps.iter().position(own) {
            let Since { tally, .. } = self.steps.remove(at);
            let cut = cx.scene.lost_since(tally.losses);
            let mut known = std::mem::take(&mut self.between_steps);
            self.windows(&mut known, &Stretch::Step, &tally, cut, frame, cx);
            self.between_steps = known;
        } else if self.steps.len() >= MOST_OPTIMIZERS {
            self.steps.remove(0);
        }
        let tally = Tally { losses: cx.scene.losses, ..Tally::default() };
        self.steps.push(Since { thread: frame.thread, optimizer: frame.object, tally });
    }

    fn leave(&mut self, frame: &Frame, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some(tally) = self.open.close(frame.call, Tally::merge) else { return };
        if tally.calls.is_empty() && !self.in_calls.contains_key(&frame.target.plain) {
            return;
        }
        let call = cx.numbers.calls.get(frame.target.plain).clone();
        let mut known = self.in_calls.remove(&frame.target.plain).unwrap_or_default();
        self.windows(&mut known, &Stretch::Call { call }, &tally, cut, frame, cx);
        self.in_calls.insert(frame.target.plain, known);
    }

    fn iteration_ended(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some((_, tally)) = self.iteration.take() else { return };
        if iteration.backward {
            let mut known = std::mem::take(&mut self.in_iterations);
            self.windows(&mut known, &Stretch::Iteration, &tally, cut, &iteration.frame, cx);
            self.in_iterations = known;
        }
    }

    /// One window for each call that stretches of this kind have contained so far.
    fn windows(
        &mut self,
        known: &mut Known,
        per: &Stretch,
        tally: &Tally,
        cut: Option<Cut>,
        at: &Frame,
        cx: &mut Context<'_>,
    ) {
        for (call, _) in &tally.calls {
            if known.calls.iter().all(|(other, _)| other != call) {
                let subject = Subject::Calls { call: cx.numbers.calls.get(*call).clone(), per: per.clone() };
                known.calls.push((*call, cx.numbers.subject(subject)));
            }
        }
        known.closings = known.closings.saturating_add(1);
        let iteration = if *per == Stretch::Iteration { at.iteration } else { cx.scene.now.0 };
        let cut = cut.or(Scene::too_early(iteration, known.closings));
        let depth = cx.scene.depth(at);
        for &(call, subject) in &known.calls {
            // What ends a stretch comes once in it.
            let ends_it = *per == Stretch::Step && call == at.target.plain;
            if ends_it || !cx.wants(subject) {
                continue;
            }
            self.held.clear();
            let role = cx.numbers.calls.get(call).role;
            tally.explain(tally.count(call), role, per, cx.scene, |times| {
                let outcome = || cx.numbers.outcome(Outcome::Happens { times });
                self.held.push(*self.happens.entry(times).or_insert_with(outcome));
            });
            let mut window = Window::new(subject, NOTHING, at, depth);
            window.held = &self.held;
            window.cut = cut;
            window.now = (iteration, window.now.1);
            cx.window(&window);
        }
    }
}
