//! Schedule: what becomes of learning rates.
//!
//! Rates, epochs and steps differ from run to run, so what a rate is after so many steps is worth a notice at most.
//! That a scheduler steps while its optimizer does not, and another one does, is an error. So are rates of exactly zero
//! ([`idle`]), and of next to nothing for most of the run ([`faded`]). [`by_hand`] has those that the script sets itself.
mod by_hand;
pub mod claim;
mod faded;
mod idle;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::numbers::OutcomeId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::{Why, Window};
use crate::scene::variables::VarId;
use crate::scene::{Cut, Frame, Look, TraceEvent};
use crate::situation::NOTHING;
use by_hand::ByHand;
use claim::{Outcome, Subject};
use faded::Faded;
use idle::Idle;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Schedule::default()),
    together: None,
    structural: true,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::Backward, Role::LoadState, Role::OptimizerStep, Role::SchedulerStep]),
    variables: &[States::RATES],
    constructions: true,
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: NEEDS.calls,
    states: &[(Attribute::Value, &[VariableKind::Hyperparameter])],
    looks: true,
    ..Told::NOTHING
};

/// Ratios beyond this many times the first value are not named.
const LARGEST: f64 = 1e6;

#[derive(Default)]
struct Schedule {
    rates: FxHashMap<VarId, Option<Rate>>,
    /// The learning rates of each optimizer.
    of_optimizer: FxHashMap<u32, Vec<VarId>>,
    schedulers: FxHashMap<u32, Scheduler>,
    /// The optimizers that have stepped since the pass began, each once.
    in_pass: Vec<u32>,
    /// Rates that have changed since the last backward.
    changed: Vec<VarId>,
    /// How many losses there had been when the pass began.
    losses: u32,
    backwards: u32,
    /// The root module that was trained last (dictionary id).
    model: Option<u32>,
    idle: Idle,
    faded: Faded,
    by_hand: ByHand,
}

/// A learning rate.
#[derive(Debug)]
struct Rate {
    first: f64,
    value: f64,
    /// Steps of schedulers of its optimizer.
    steps: u32,
    /// Whether what it is after these steps is to be told.
    due: bool,
    /// Whether it has changed since the last backward.
    changed: bool,
    /// Whether it has changed between the first and the last backward of the pass.
    within_pass: bool,
}

#[derive(Debug)]
struct Scheduler {
    class: String,
    /// Dictionary id; 0: not known.
    optimizer: u32,
    steps: u32,
    /// Steps of its optimizer and of all, and losses, at its last step.
    last: (u32, u32, u32),
    /// Backwards by then.
    backwards: u32,
}

impl Observer for Schedule {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Created(id, of, _) => {
                let scheduler = cx.scene.object(*id).filter(|object| object.kind == ObjectKind::Scheduler);
                if let Some(object) = scheduler {
                    let class = object.class.clone();
                    let made = Scheduler { class, optimizer: *of, steps: 0, last: (0, 0, 0), backwards: 0 };
                    self.schedulers.insert(*id, made);
                }
            }
            TraceEvent::Enter(frame) if frame.counts => match frame.target.role {
                Role::Backward => {
                    self.backwards = self.backwards.wrapping_add(1);
                    self.backward(frame, cx);
                }
                // What a scheduler has made of the rates is seen once there has been time to look.
                Role::OptimizerStep => {
                    self.due(frame.object, frame, cx);
                    self.by_hand.stepped(frame);
                }
                Role::SchedulerStep => {
                    if let Some(scheduler) = self.schedulers.get(&frame.object) {
                        self.idle.scheduled(scheduler.optimizer);
                        let by_metric = scheduler.class.ends_with("ReduceLROnPlateau");
                        self.faded.scheduled(scheduler.optimizer, by_metric);
                    }
                    self.scheduler(frame, cx);
                }
                Role::LoadState => {
                    let scheduler = self.schedulers.get(&frame.object);
                    self.idle.resumed(scheduler.map_or(frame.object, |scheduler| scheduler.optimizer));
                }
                _ => {}
            },
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Value => {
                self.value(change.variable, look, cx);
            }
            TraceEvent::Looked(look) if !look.at_entry && look.frame.target.role == Role::OptimizerStep => {
                self.idle.stepped(look, cx);
                self.faded.stepped(look, cx);
                if !self.in_pass.contains(&look.frame.object) {
                    self.in_pass.push(look.frame.object);
                }
            }
            TraceEvent::End => {
                let schedulers = &self.schedulers;
                let scheduled = |id| schedulers.values().any(|scheduler| scheduler.optimizer == id);
                self.idle.end(scheduled, cx);
                self.faded.end(cx);
                self.by_hand.end(cx);
            }
            _ => {}
        }
    }
}

impl Schedule {
    fn value(&mut self, id: VarId, look: &Look, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(id);
        let Some(value) = variable.value else { return };
        let of_optimizer = &mut self.of_optimizer;
        let rate = self.rates.entry(id).or_insert_with(|| {
            let is_rate = variable.kind == VariableKind::Hyperparameter && variable.name.ends_with(".lr");
            is_rate.then(|| {
                of_optimizer.entry(variable.owner).or_default().push(id);
                Rate { first: value, value, steps: 0, due: false, changed: false, within_pass: false }
            })
        });
        let Some(rate) = rate else { return };
        if rate.first == 0.0 {
            // A warm-up that begins at zero.
            rate.first = value;
        }
        if std::mem::replace(&mut rate.value, value).to_bits() == value.to_bits() {
            return;
        }
        self.by_hand.changed(variable.owner, look);
        let by_hand = look.frame.target.role == Role::OptimizerStep;
        // What was set by hand is seen after the next step: of the first in a pass it may have been before the pass.
        let within = !by_hand || self.in_pass.contains(&look.frame.object);
        if within && !std::mem::replace(&mut rate.changed, true) {
            self.changed.push(id);
        }
        let held = [cx.numbers.outcome(Outcome::ByScheduler)];
        let name = variable.name.clone();
        of_rate(Subject::RateChange { name }, if by_hand { &[] } else { &held }, &look.frame, cx);
    }

    fn backward(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let begins = cx.scene.passes.begins_with(frame).is_some();
        let iteration = cx.scene.iteration.as_ref();
        self.model = iteration.and_then(|iteration| iteration.begun_by).or(self.model);
        if begins {
            let cut = cx.scene.lost_since(std::mem::replace(&mut self.losses, cx.scene.losses));
            for optimizer in std::mem::take(&mut self.in_pass) {
                self.faded.passed(optimizer);
                for &id in self.of_optimizer.get(&optimizer).map_or(&[][..], Vec::as_slice) {
                    let Some(Some(rate)) = self.rates.get_mut(&id) else { continue };
                    let within = std::mem::take(&mut rate.within_pass);
                    if rate.steps > 0 && cut.is_none() {
                        let held = [cx.numbers.outcome(Outcome::Stays)];
                        let name = cx.scene.variables.get(id).name.clone();
                        let held = if within { &[][..] } else { &held };
                        of_rate(Subject::RateInPass { name }, held, frame, cx);
                    }
                }
            }
        }
        for id in self.changed.drain(..) {
            if let Some(Some(rate)) = self.rates.get_mut(&id) {
                rate.changed = false;
                rate.within_pass |= !begins;
            }
        }
    }

    /// Says what a scheduler has made of the rates of an optimizer, once there has been time to see it.
    fn due(&mut self, optimizer: u32, frame: &Frame, cx: &mut Context<'_>) {
        for &id in self.of_optimizer.get(&optimizer).map_or(&[][..], Vec::as_slice) {
            let Some(Some(rate)) =
                self.rates.get_mut(&id).filter(|rate| rate.as_ref().is_some_and(|r| r.due))
            else {
                continue;
            };
            rate.due = false;
            let ratio = rate.value / rate.first;
            if !(0.0..LARGEST).contains(&ratio) {
                continue;
            }
            let name = cx.scene.variables.get(id).name.clone();
            let subject = Subject::Scheduled { name, steps: rate.steps };
            let of_first = (ratio * 1000.0).round() as u32;
            let held = [cx.numbers.outcome(Outcome::Thousandths { of_first })];
            of_rate(subject, &held, frame, cx);
        }
    }

    fn scheduler(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let Some(optimizer) = self.schedulers.get(&frame.object).map(|scheduler| scheduler.optimizer) else {
            return;
        };
        self.due(optimizer, frame, cx);
        for id in self.of_optimizer.get(&optimizer).map_or(&[][..], Vec::as_slice) {
            if let Some(Some(rate)) = self.rates.get_mut(id) {
                rate.steps = rate.steps.saturating_add(1);
                rate.due = rate.steps.is_power_of_two();
            }
        }
        let now = (cx.scene.steps_of(optimizer), cx.scene.steps_of(0), cx.scene.losses);
        let Some(scheduler) = self.schedulers.get_mut(&frame.object) else { return };
        scheduler.steps = scheduler.steps.saturating_add(1);
        let last = std::mem::replace(&mut scheduler.last, now);
        let backward = std::mem::replace(&mut scheduler.backwards, self.backwards) != self.backwards;
        if optimizer == 0 || scheduler.steps < 2 {
            return;
        }
        in_a_row(now.1 > last.1 || backward, now.0 > 0, cx.scene.lost_since(last.2), frame, cx);
        let Some(model) =
            self.model.and_then(|root| cx.scene.object(root)).map(|object| object.class.clone())
        else {
            return;
        };
        let subject = Subject::Scheduler { class: scheduler.class.clone(), model };
        let subject = cx.numbers.subject(subject);
        let held = [cx.numbers.outcome(Outcome::WorksOnWhatSteps)];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if now.0 > last.0 { &held } else { &[] };
        window.why = if now.0 == 0 { Why::OptimizerNeverStepped } else { Why::Nothing };
        // Where no optimizer has stepped, that is what is wrong.
        window.cut = cx.scene.lost_since(last.2).or((now.1 == last.1).then_some(Cut::Unclear));
        cx.window(&window);
    }
}

/// A schedule may be wound forward before the first step, and may count batches of which several make a step: there a
/// backward runs between two steps of it.
fn in_a_row(between: bool, begun: bool, cut: Option<Cut>, frame: &Frame, cx: &mut Context<'_>) {
    let subject = cx.numbers.subject(Subject::InARow);
    let outcome = [cx.numbers.outcome(Outcome::Stepped)];
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = if between { &outcome } else { &[] };
    window.cut = cut.or((!begun).then_some(Cut::Unclear));
    cx.general(&window);
}

fn of_rate(subject: Subject, held: &[OutcomeId], frame: &Frame, cx: &mut Context<'_>) {
    let subject = cx.numbers.subject(subject);
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = held;
    cx.window(&window);
}
