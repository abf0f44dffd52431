//! Range: numbers stay numbers, and gradients stay alive.
//!
//! In every step of an optimizer the loss and the gradients that led to it were finite, and so are the parameters it
//! leaves; the gradient of a parameter is not exactly zero, or at least not from the start of the run to its end. What is
//! judged is the step and not the backward: a script, or a gradient scaler, that leaves out the step where a gradient is no
//! number does what it should.
pub mod claim;

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Digest, VarId, Variable};
use crate::scene::{Frame, Look, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Range::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::Backward, Role::OptimizerStep, Role::ScalerStep]),
    variables: &[States::LOSSES, States::GRADIENTS, States::AFTER_STEPS, States::HOLDERS],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::Backward, Role::OptimizerStep]),
    states: &[
        (Attribute::Value, &[VariableKind::Loss]),
        (Attribute::Grad, &[VariableKind::Parameter, VariableKind::Unreached]),
        (Attribute::Data, &[VariableKind::Parameter, VariableKind::Unreached]),
    ],
    looks: true,
    ..Told::NOTHING
};

/// A parameter with so many gradients, all of them zero, has none to learn from: a gate that starts at zero opens sooner.
const A_RUN: u32 = 16;
/// Gradients that are not zero are examples this often in the beginning, and then at each power of two.
const EVERY: u32 = 8;

#[derive(Default)]
struct Range {
    /// Losses at which a backward began, since the last step, that were no numbers.
    losses: FxHashSet<VarId>,
    /// The last loss.
    loss: Option<f64>,
    /// Parameters whose gradient was no number when the last backward through them returned.
    gradients: FxHashSet<VarId>,
    /// The same of parameters, as the look that is going on finds them.
    parameters: Vec<VarId>,
    /// How many times a backward ran in the step that is open.
    backwards: u32,
    steps: FxHashMap<u32, Steps>,
    gradients_so_far: FxHashMap<VarId, History>,
    /// That losses, gradients and parameters are finite.
    finite: Option<[OutcomeId; 3]>,
}

/// The steps of an optimizer so far.
#[derive(Clone, Copy, Debug)]
struct Steps {
    subject: SubjectId,
    ordinal: u32,
    /// How many losses of records there had been at the last one.
    lost: u32,
}

/// The gradients of a parameter so far.
#[derive(Clone, Copy, Debug)]
struct History {
    subject: SubjectId,
    observations: u32,
    zeros: Streak,
    /// Whether one was not zero.
    lived: bool,
    /// The last look that found one, with iteration and step.
    last: (Frame, u32, u32),
    /// How many losses of records there had been at the last one.
    lost: u32,
}

impl Observer for Range {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::OptimizerStep => self.backwards = 0,
                Role::Backward => self.backwards = self.backwards.saturating_add(1),
                _ => {}
            },
            TraceEvent::State(change, look) => {
                let variable = cx.scene.variables.get(change.variable);
                match (change.attribute, change.now, look) {
                    (Attribute::Value, _, _) if variable.kind == VariableKind::Loss => {
                        self.loss(change.variable, variable);
                    }
                    (Attribute::Grad, Some(now), Some(look))
                        if look.frame.target.role == Role::Backward
                            && !look.at_entry
                            && now.kind == ValueKind::Tensor =>
                    {
                        self.gradient(change.variable, now, look, cx);
                    }
                    (Attribute::Data, Some(now), Some(look))
                        if look.frame.target.role == Role::OptimizerStep
                            && !look.at_entry
                            && now.non_finite > 0
                            && variable.is_held_by(look.frame.object) =>
                    {
                        self.parameters.push(change.variable);
                    }
                    _ => {}
                }
            }
            TraceEvent::Looked(look) if look.frame.target.role == Role::OptimizerStep && !look.at_entry => {
                self.stepped(look, cx);
            }
            TraceEvent::End => self.ended(cx),
            _ => {}
        }
    }
}

impl Range {
    fn loss(&mut self, id: VarId, variable: &Variable) {
        self.loss = variable.value;
        if variable.value.is_some_and(|loss| !loss.is_finite()) {
            self.losses.insert(id);
        } else {
            self.losses.remove(&id);
        }
    }

    fn gradient(&mut self, id: VarId, now: Digest, look: &Look, cx: &mut Context<'_>) {
        if now.non_finite > 0 {
            self.gradients.insert(id);
        } else {
            self.gradients.remove(&id);
        }
        if now.elements == 0 {
            return;
        }
        let last = (look.frame, look.iteration, look.step);
        let history = self.gradients_so_far.entry(id).or_insert_with(|| {
            let name = cx.scene.variables.get(id).name.clone();
            let subject = cx.numbers.subject(Subject::Gradient { name });
            let (zeros, lost) = (Streak::default(), cx.scene.losses);
            History { subject, observations: 0, zeros, lived: false, last, lost }
        });
        history.last = last;
        history.observations = history.observations.saturating_add(1);
        // A backward in between may have gone unseen, which left a gradient that was not zero.
        if cx.scene.lost_since(history.lost).is_some() {
            history.zeros = Streak::default();
        }
        history.lost = cx.scene.losses;
        let alive = now.non_finite > 0 || !now.all_zero();
        history.zeros.add(!alive, (look.iteration, look.step));
        // Where nothing is left to learn every gradient is zero.
        history.lived |= alive || self.loss == Some(0.0);
        // One in so many says as much as all of them, and costs next to nothing.
        if alive && history.observations > EVERY && !history.observations.is_power_of_two() {
            return;
        }
        let history = *history;
        if !cx.wants(history.subject) {
            return;
        }
        let outcome = [cx.numbers.outcome(Outcome::GradientLives)];
        let frame = &look.frame;
        let mut window = Window::new(history.subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if alive { &outcome } else { &[] };
        let blamed = !history.zeros.is_accident() && self.loss != Some(0.0);
        window.inconclusive = if blamed { &[] } else { &outcome };
        window.cut = Scene::too_early(look.iteration, history.observations);
        window.now = (look.iteration, look.step);
        window.began = history.zeros.began();
        window.variables = std::slice::from_ref(&id);
        cx.window(&window);
    }

    /// Nothing more will come: what a parameter had so far are all its gradients.
    fn ended(&mut self, cx: &mut Context<'_>) {
        let subject = cx.numbers.subject(Subject::Gradients);
        let outcome = [cx.numbers.outcome(Outcome::GradientLives)];
        if !cx.wants(subject) {
            return;
        }
        let module = |id| {
            let name = cx.scene.variables.get(id).name.as_str();
            name.rsplit_once('.').map_or(name, |(module, _)| module)
        };
        let mut ids: Vec<VarId> = self.gradients_so_far.keys().copied().collect();
        ids.sort_unstable();
        // What only shifts a result that is compared with itself has none: the last bias of a critic. Its weight has.
        let lives = |id: &&VarId| self.gradients_so_far[*id].lived;
        let living: FxHashSet<String> = ids.iter().filter(lives).map(|&id| module(id).to_owned()).collect();
        let is_bias = |id: &VarId| cx.scene.variables.get(*id).name.ends_with("bias");
        // What no step has used yet may have its turn later, with another weight of its loss.
        let is_trained = |id: &VarId| {
            let mut holders = cx.scene.variables.get(*id).held_by.iter().flatten();
            holders.any(|holder| cx.scene.stepped.contains(holder))
        };
        let judged = |id: &VarId| {
            let history = &self.gradients_so_far[id];
            history.observations >= A_RUN
                && is_trained(id)
                && (history.lived || !is_bias(id) || !living.contains(module(*id)))
        };
        let judged: Vec<VarId> = ids.iter().copied().filter(judged).collect();
        for id in judged {
            let history = &self.gradients_so_far[&id];
            let (frame, iteration, step) = &history.last;
            let mut window = Window::new(subject, NOTHING, frame, 0);
            window.held = if history.lived { &outcome } else { &[] };
            window.now = (*iteration, *step);
            window.began = history.zeros.began();
            window.variables = std::slice::from_ref(&id);
            cx.general(&window);
        }
    }

    fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let frame = &look.frame;
        let parameters = std::mem::take(&mut self.parameters);
        let losses = std::mem::take(&mut self.losses);
        if !frame.counts {
            return;
        }
        let steps = match self.steps.get_mut(&frame.object) {
            Some(known) => known,
            None => {
                let Some(object) = cx.scene.object(frame.object) else { return };
                let subject = Subject::Optimizer { class: object.class.clone() };
                let subject = cx.numbers.subject(subject);
                self.steps.entry(frame.object).or_insert(Steps { subject, ordinal: 0, lost: 0 })
            }
        };
        steps.ordinal = steps.ordinal.saturating_add(1);
        let Steps { subject, ordinal, lost } = *steps;
        steps.lost = cx.scene.losses;
        // A search along a line may come to where the loss is no number, and goes back.
        let searches = self.backwards > 1;
        let used = |id: &VarId| {
            let held_by = &cx.scene.variables.get(*id).held_by;
            held_by.as_ref().is_none_or(|held| held.is_empty() || held.contains(&frame.object))
        };
        let mut gradients: Vec<VarId> = self.gradients.iter().copied().filter(used).collect();
        if searches {
            gradients.clear();
        }
        let mut bad: Vec<VarId> = if searches { Vec::new() } else { losses.into_iter().collect() };
        let all = [Outcome::LossFinite, Outcome::GradientsFinite, Outcome::ParametersFinite];
        let all = *self.finite.get_or_insert_with(|| all.map(|outcome| cx.numbers.outcome(outcome)));
        let fine = [bad.is_empty(), gradients.is_empty(), parameters.is_empty()];
        let held: Vec<_> = all.into_iter().zip(fine).filter_map(|(id, fine)| fine.then_some(id)).collect();
        bad.extend(gradients);
        bad.extend(parameters);
        bad.sort_unstable();
        bad.dedup();
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = &held;
        // Fused optimizers leave the step out themselves where the scaler tells them to.
        window.inconclusive = if cx.scene.inside(frame.thread, Role::ScalerStep) { &all } else { &[] };
        // What is known of the gradients may be that of a backward before the one that led to this step.
        window.cut = Scene::too_early(look.iteration, ordinal).or(cx.scene.lost_since(lost));
        window.now = (look.iteration, look.step);
        window.variables = &bad;
        cx.window(&window);
    }
}
