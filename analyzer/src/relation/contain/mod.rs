//! Contain: in every call of P, and in every training iteration, C is called; every step of an optimizer changes a
//! parameter that it holds.
pub mod claim;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind, flags};

use crate::call::Call;
use crate::call::roles::Roles;
use crate::relation::claim as claims;
use crate::relation::needs::{Needs, States};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::accumulation;
use crate::relation::support::by_call::{ByCall, OfCall};
use crate::relation::support::open::OpenCalls;
use crate::relation::support::steps::may_rest;
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Frame, Iteration, Look, Scene, TraceEvent};
use crate::situation::{Fields, NOTHING};
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Contain::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::ALL,
    variables: &[
        States::AROUND_STEPS,
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[],
        },
        States::HOLDERS,
        States::RATES,
    ],
    contexts: Fields::MODULE_CALL.and(Fields::NUMERICS),
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::ALL,
    returns: Roles::of(&[Role::User, Role::ModuleCall, Role::Backward, Role::OptimizerStep]),
    states: &[(Attribute::Data, &[VariableKind::Parameter, VariableKind::Unreached])],
    looks: true,
};

/// Whether calls of this role are windows.
fn is_parent(frame: &Frame) -> bool {
    frame.counts
        && matches!(frame.target.role, Role::User | Role::OptimizerStep | Role::Backward | Role::ModuleCall)
}

/// Whether calls of this role are looked for in windows. Functions of libraries that have no role are not: a claim
/// about them would speak of the library's version.
fn is_child(frame: &Frame) -> bool {
    frame.counts && !matches!(frame.target.role, Role::Other | Role::LoaderNext)
}

/// What has been called in a window so far.
#[derive(Debug, Default)]
struct Seen {
    outcomes: Vec<OutcomeId>,
    /// What a suspended call has called before it was resumed last. Windows around it have heard of it already.
    before: Vec<OutcomeId>,
}

impl Seen {
    fn add(&mut self, outcome: OutcomeId) {
        if let Err(at) = self.outcomes.binary_search(&outcome) {
            self.outcomes.insert(at, outcome);
        }
    }

    fn merge(&mut self, inner: &Seen) {
        for &outcome in &inner.outcomes {
            self.add(outcome);
        }
    }
}

/// The numbers of one call, looked up once.
#[derive(Clone, Copy, Debug)]
struct CallNumbers {
    subject: SubjectId,
    update: SubjectId,
    called: OutcomeId,
    in_training: OutcomeId,
    fields: Fields,
    closings: u32,
}

impl OfCall for CallNumbers {
    fn of(call: Call, numbers: &mut Numbers) -> CallNumbers {
        let subject = Subject::Call { call: call.clone() };
        CallNumbers {
            fields: subject.fields(),
            subject: numbers.subject(subject),
            update: numbers.subject(Subject::Update { call: call.clone() }),
            called: numbers.outcome(Outcome::Called { call: call.clone() }),
            in_training: numbers.outcome(Outcome::CalledInTraining { call }),
            closings: 0,
        }
    }
}

#[derive(Default)]
struct Contain {
    open: OpenCalls<Seen>,
    suspended: FxHashMap<u64, Seen>,
    spare: Vec<Vec<OutcomeId>>,
    /// Of its thread.
    iteration: Option<(u16, Seen)>,
    iterations: u32,
    closures: u32,
    by_call: ByCall<CallNumbers>,
    modes: Modes,
    /// By number of the variable, what was found at the entry of which step.
    entry: Vec<Option<(u64, Digest)>>,
    changed: FxHashMap<u64, Changed>,
}

/// The outcomes that a module is called in training mode, each with the one that it is called at all.
#[derive(Debug, Default)]
struct Modes {
    known: Vec<(OutcomeId, OutcomeId)>,
    /// How many outcomes were looked through for them.
    looked: usize,
}

impl Modes {
    /// Those of modules that a window with these outcomes, in order, does not call: in which mode they would be it does not
    /// say.
    fn not_called<'a>(
        &'a mut self,
        held: &'a [OutcomeId],
        numbers: &mut Numbers,
    ) -> impl Iterator<Item = OutcomeId> + 'a {
        if self.looked < numbers.outcomes().len() {
            let new = numbers.outcomes().iter().skip(self.looked);
            let new: Vec<(OutcomeId, Call)> =
                new.filter_map(|(id, outcome)| Some((id, in_training(outcome)?))).collect();
            for (id, call) in new {
                self.known.push((id, numbers.outcome(Outcome::Called { call })));
            }
            self.looked = numbers.outcomes().len();
        }
        self.known.iter().filter(|(_, called)| held.binary_search(called).is_err()).map(|(id, _)| *id)
    }
}

fn in_training(outcome: &claims::Outcome) -> Option<Call> {
    match outcome {
        claims::Outcome::Contain(Outcome::CalledInTraining { call }) => Some(call.clone()),
        _ => None,
    }
}

/// What two looks around one step have found.
#[derive(Debug, Default)]
struct Changed {
    any: bool,
    compared: Vec<VarId>,
    before: Vec<Option<Digest>>,
}

impl Observer for Contain {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) => self.enter(frame, cx),
            TraceEvent::Leave(frame, cut) if is_parent(frame) => self.leave(frame, *cut, cx),
            TraceEvent::Suspend(frame) if is_parent(frame) => self.suspend(frame),
            TraceEvent::Resume(frame) if is_parent(frame) => {
                if let Some(seen) = self.suspended.remove(&frame.call) {
                    self.open.open(frame.call, frame.thread, seen);
                }
            }
            TraceEvent::IterationBegan(iteration) => {
                self.iteration = Some((iteration.frame.thread, Seen::default()));
            }
            TraceEvent::IterationEnded(iteration, cut) => self.iteration_ended(iteration, *cut, cx),
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Data && look.frame.target.role == Role::OptimizerStep =>
            {
                if let Some(now) = change.now {
                    self.step_state(change.variable, now, look, cx.scene);
                }
            }
            TraceEvent::Looked(look) if !look.at_entry => self.stepped(look, cx),
            _ => {}
        }
    }
}

impl Contain {
    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        if is_child(frame) {
            let numbers = *self.by_call.of(frame.target.plain, cx.numbers);
            self.note(frame.thread, numbers.called);
            if let Some(specific) = frame.target.specific {
                let specific = self.by_call.of(specific, cx.numbers).called;
                self.note(frame.thread, specific);
            }
            if frame.target.role == Role::ModuleCall && frame.flags & flags::MODULE_TRAIN != 0 {
                self.note(frame.thread, numbers.in_training);
            }
        }
        if is_parent(frame) {
            let outcomes = self.spare.pop().unwrap_or_default();
            self.open.open(frame.call, frame.thread, Seen { outcomes, before: Vec::new() });
        }
    }

    fn note(&mut self, thread: u16, outcome: OutcomeId) {
        if let Some(seen) = self.open.innermost(thread) {
            seen.add(outcome);
        }
        if let Some((_, seen)) = self.iteration.as_mut().filter(|(of, _)| *of == thread) {
            seen.add(outcome);
        }
    }

    fn suspend(&mut self, frame: &Frame) {
        let Some(mut seen) = self.open.close(frame.call, Seen::merge) else { return };
        let stretch = std::mem::take(&mut seen.outcomes);
        std::mem::swap(&mut seen.outcomes, &mut seen.before);
        for outcome in stretch {
            seen.add(outcome);
        }
        std::mem::swap(&mut seen.outcomes, &mut seen.before);
        self.suspended.insert(frame.call, seen);
    }

    fn leave(&mut self, frame: &Frame, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some(mut seen) = self.open.close(frame.call, Seen::merge) else { return };
        for outcome in std::mem::take(&mut seen.before) {
            seen.add(outcome);
        }
        // A step that calls nothing was given no closure. LBFGS takes no step without one.
        let no_closure = frame.target.role == Role::OptimizerStep
            && seen.outcomes.is_empty()
            && !cx.numbers.calls.get(frame.target.plain).function.ends_with("LBFGS.step");
        let unclear = no_closure.then_some(Cut::Unclear);
        if frame.target.role == Role::OptimizerStep && !no_closure {
            self.closure(frame, &seen, cut, cx);
        }
        let trains = frame.target.role == Role::User
            && seen.outcomes.iter().any(|&outcome| cx.numbers.is_call(outcome, &[Role::Backward]));
        let inconclusive =
            if trains { accumulation::excused(&seen.outcomes, cx.numbers) } else { Vec::new() };
        let depth = cx.scene.depth(frame);
        let (iteration, step) = cx.scene.now;
        for id in [Some(frame.target.plain), frame.target.specific].into_iter().flatten() {
            let numbers = self.by_call.of(id, cx.numbers);
            let (subject, fields) = (numbers.subject, numbers.fields);
            numbers.closings = numbers.closings.saturating_add(1);
            let early = Scene::too_early(iteration, numbers.closings);
            if !cx.wants(subject) {
                continue;
            }
            let situation = cx.situation(frame, fields);
            let mut window = Window::new(subject, situation, frame, depth);
            window.held = &seen.outcomes;
            window.inconclusive = &inconclusive;
            window.cut = cut.or(early).or(unclear);
            window.now = (iteration, step);
            cx.window(&window);
        }
        seen.outcomes.clear();
        self.spare.push(seen.outcomes);
    }

    /// What a step has called is known of its closure, unless the optimizer wraps another one and has called that.
    fn closure(&mut self, frame: &Frame, seen: &Seen, cut: Option<Cut>, cx: &mut Context<'_>) {
        let has = |roles: &[Role]| seen.outcomes.iter().any(|&outcome| cx.numbers.is_call(outcome, roles));
        let evaluates = seen.outcomes.is_empty() || has(&[Role::Backward, Role::ZeroGrad, Role::ModuleCall]);
        if !evaluates || has(&[Role::AutogradGrad]) {
            return;
        }
        let computes = has(&[Role::Backward]);
        self.closures = self.closures.saturating_add(1);
        let subject = cx.numbers.subject(Subject::Closure);
        let outcome = [cx.numbers.outcome(Outcome::Called { call: Call::any(Role::Backward) })];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if computes { &outcome } else { &[] };
        window.cut = cut.or(Scene::too_early(frame.iteration, self.closures));
        cx.general(&window);
    }

    fn iteration_ended(&mut self, iteration: &Iteration, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some((_, mut seen)) = self.iteration.take() else { return };
        if !iteration.backward {
            return;
        }
        self.iterations = self.iterations.saturating_add(1);
        let subject = cx.numbers.subject(Subject::Iteration);
        let mut inconclusive = if iteration.scaler && iteration.stepped.is_empty() {
            // A gradient scaler leaves out the optimizer's step where a gradient overflowed.
            cx.numbers.called_or_any(Role::OptimizerStep, |call| Outcome::Called { call })
        } else {
            accumulation::excused(&seen.outcomes, cx.numbers)
        };
        inconclusive.extend(self.modes.not_called(&seen.outcomes, cx.numbers));
        let begins_in_training = cx.numbers.outcome(Outcome::BeginsInTraining);
        match iteration.training_mode {
            Some(true) => seen.add(begins_in_training),
            Some(false) => {}
            None => inconclusive.push(begins_in_training),
        }
        let mut window = Window::new(subject, NOTHING, &iteration.frame, iteration.depth);
        window.held = &seen.outcomes;
        window.inconclusive = &inconclusive;
        window.cut = cut.or(Scene::too_early(iteration.number, self.iterations));
        cx.window(&window);
    }

    fn step_state(&mut self, variable: VarId, now: Digest, look: &Look, scene: &Scene) {
        if look.at_entry {
            let at = variable as usize;
            if at >= self.entry.len() {
                self.entry.resize(at + 1, None);
            }
            self.entry[at] = Some((look.call, now));
            return;
        }
        let Some(Some((call, before))) = self.entry.get(variable as usize) else { return };
        let of_it = scene.variables.get(variable).kind != VariableKind::Buffer
            && scene.variables.get(variable).is_held_by(look.frame.object);
        if *call != look.call || !of_it {
            return;
        }
        if let Some(same) = now.same(before) {
            let changed = self.changed.entry(look.call).or_default();
            changed.any |= !same;
            changed.compared.push(variable);
            changed.before.push(Some(*before));
        }
    }

    fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let Some(changed) = self.changed.remove(&look.call) else { return };
        let frame = &look.frame;
        if !frame.counts {
            return;
        }
        let holds = cx.numbers.outcome(Outcome::ParameterChanges);
        let outcome = [holds];
        let clear = may_be_blamed(&changed, look, cx.scene);
        let depth = cx.scene.depth(frame);
        for id in [Some(frame.target.plain), frame.target.specific].into_iter().flatten() {
            let numbers = self.by_call.of(id, cx.numbers);
            let subject = numbers.update;
            let early = Scene::too_early(look.iteration, numbers.closings);
            let mut window = Window::new(subject, NOTHING, frame, depth);
            window.held = if changed.any { &outcome } else { &[] };
            window.inconclusive = if clear { &[] } else { &outcome };
            window.cut = cx.scene.lost_since(frame.losses).or(early);
            window.variables = &changed.compared;
            window.before = &changed.before;
            cx.window(&window);
        }
    }
}

/// Whether a step that changed nothing is an error: not where its learning rate is (next to) zero, as at the ends of
/// many schedules, nor where every gradient is exactly zero, nor where the optimizer judges by itself whether it has
/// arrived.
fn may_be_blamed(changed: &Changed, look: &Look, scene: &Scene) -> bool {
    if may_rest(look.frame.object, scene) {
        return false;
    }
    let rate = scene.variables.learning_rate(look.frame.object);
    if rate.is_some_and(|rate| rate < 1e-10) {
        return false;
    }
    let variables = || changed.compared.iter().map(|&id| scene.variables.get(id));
    let with_gradient = || variables().filter_map(|v| v.grad).filter(|grad| grad.kind == ValueKind::Tensor);
    with_gradient().next().is_none() || with_gradient().any(|grad| !grad.all_zero())
}
