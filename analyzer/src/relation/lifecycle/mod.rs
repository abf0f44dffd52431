//! Lifecycle: an object, once constructed, gets its method with its cadence.
//!
//! A scheduler steps between any two steps of its optimizer, or in every pass over the training data, or at least
//! once before the second pass. The strongest cadence that holds in all references is kept. What counts against a run
//! is an object that never got its method; one that got it and then stopped may have been meant to. See
//! [`resumed`] for what comes before a first use.
//!
//! What holds in any program is less: a learning rate that a scheduler was made for is scheduled by the end of the run, if
//! the training was not given up before, some optimizer steps, and none is [`forgotten`] beside it.
//!
//! Within a number of iterations an optimizer counts against a run only while none at all has stepped: one that is
//! constructed and put aside for another is no error. This says what no other relation can where gradients are accumulated
//! in a loop without a function around it: there most iterations lack a step.
//!
//! [`copies`] has the models that change though no optimizer trains them, and [`loading`] what is loaded into models.
pub mod claim;
mod copies;
mod forgotten;
mod loading;
mod resumed;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::within::LONGEST;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Cadence, Outcome, Subject, TrackedKind};
use copies::Copies;
use forgotten::Forgotten;
use loading::Loading;
use resumed::Resumed;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Lifecycle::default()),
    together: None,
    structural: true,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[
        Role::ModuleCall,
        Role::Backward,
        Role::OptimizerStep,
        Role::ZeroGrad,
        Role::SchedulerStep,
        Role::ScalerStep,
        Role::Load,
        Role::LoadState,
    ]),
    arguments: Roles::of(&[Role::LoadState]),
    results: Roles::of(&[Role::LoadState]),
    variables: &[
        States { attribute: Attribute::Data, of: &[VariableKind::Parameter, VariableKind::Buffer], at: &[] },
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter],
            at: &[Point::Return(Role::Backward)],
        },
        States::HOLDERS,
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::OptimizerState],
            at: &[Point::Return(Role::LoadState)],
        },
        States {
            attribute: Attribute::Storage,
            of: &[VariableKind::Parameter, VariableKind::Buffer],
            at: &[],
        },
    ],
    constructions: true,
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: NEEDS.calls,
    returns: Roles::of(&[Role::OptimizerStep, Role::SchedulerStep, Role::Load, Role::LoadState]),
    states: &[(Attribute::Data, &[VariableKind::Parameter])],
    ..Told::NOTHING
};

/// The shortest stretch of steps, as a power of two, within which a first call is looked for.
const SHORTEST: u32 = 2;
/// Steps of its optimizer after which a scheduler is to have stepped by the end of the run; of an optimizer itself,
/// iterations with a backward.
const A_RUN: u32 = 20;
/// The same where the run ended in the first pass over the data, which a scheduler may wait for the end of.
const A_LONG_PASS: u32 = 256;
/// The shortest stretch of iterations for a first step of an optimizer: a run may accumulate over more batches than
/// the references.
const SHORTEST_OF_OPTIMIZERS: u32 = 4;

/// An object that is to get its method.
#[derive(Debug)]
struct TrackedObject {
    id: u32,
    kind: TrackedKind,
    class: String,
    /// The optimizer whose steps count, 0: any.
    optimizer: u32,
    created: Mark,
    last_call: Option<u64>,
    /// Steps of its optimizer; of an optimizer itself, iterations that had a backward.
    steps: u32,
    last_step: Option<Mark>,
    /// The last of them.
    at: Option<Frame>,
    first_pass: Option<u32>,
    once_decided: bool,
    undecided_within: u32,
}

/// A moment from which on a call is looked for.
#[derive(Clone, Copy, Debug)]
struct Mark {
    time: u64,
    losses: u32,
}

#[derive(Default)]
struct Lifecycle {
    objects: Vec<TrackedObject>,
    resumed: Resumed,
    copies: Copies,
    forgotten: Forgotten,
    loading: Loading,
    /// When the last training pass that came from a place in the code began.
    begun: FxHashMap<u32, Mark>,
}

impl Observer for Lifecycle {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.resumed.observe(event, cx);
        self.copies.observe(event, cx);
        self.loading.observe(event, cx);
        self.forgotten.observe(event, cx);
        match event {
            TraceEvent::Created(object, of, time) => self.created(*object, *of, *time, cx),
            TraceEvent::Enter(frame) => self.enter(frame, cx),
            TraceEvent::IterationEnded(iteration, _) if iteration.backward => {
                self.iterated(&iteration.frame, cx)
            }
            TraceEvent::End => self.ended(cx),
            _ => {}
        }
    }
}

impl Lifecycle {
    fn created(&mut self, id: u32, of: u32, time: u64, cx: &mut Context<'_>) {
        let Some(object) = cx.scene.object(id) else { return };
        let (kind, optimizer) = match object.kind {
            ObjectKind::Scheduler => (TrackedKind::Scheduler, of),
            ObjectKind::Optimizer => (TrackedKind::Optimizer, id),
            ObjectKind::Scaler => (TrackedKind::Scaler, 0),
            ObjectKind::Module | ObjectKind::Loader => return,
        };
        self.objects.push(TrackedObject {
            id,
            kind,
            class: object.class.clone(),
            optimizer,
            created: Mark { time, losses: cx.scene.losses },
            last_call: None,
            steps: 0,
            last_step: None,
            at: None,
            first_pass: None,
            once_decided: false,
            undecided_within: if kind == TrackedKind::Optimizer { SHORTEST_OF_OPTIMIZERS } else { SHORTEST },
        });
    }

    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        match frame.target.role {
            Role::Backward => {
                if let Some(over) = cx.scene.passes.begins_with(frame) {
                    self.trained(over, frame, cx);
                }
            }
            // What a scheduler does to those it is made of is no step of theirs: they wait for their turn.
            Role::SchedulerStep if frame.counts => self.called(TrackedKind::Scheduler, frame, cx),
            Role::ScalerStep if frame.counts => self.called(TrackedKind::Scaler, frame, cx),
            Role::OptimizerStep => {
                self.called(TrackedKind::Optimizer, frame, cx);
                let depth = cx.scene.depth(frame);
                let outer = cx.scene.stack(frame.thread, depth).last();
                if outer.is_none_or(|outer| outer.object != frame.object) {
                    self.stepped(frame, cx);
                }
            }
            _ => {}
        }
    }

    /// Nothing more will come. Of a run that broke off it is not known what would have.
    fn ended(&mut self, cx: &mut Context<'_>) {
        let broken_off = cx.source.end().is_broken_off();
        for object in &self.objects {
            let mut forgotten = None;
            let (stepped, due) = match object.kind {
                TrackedKind::Optimizer if cx.scene.stepped.is_empty() => (false, true),
                TrackedKind::Optimizer => {
                    forgotten = self.forgotten.held(object.id, cx.scene);
                    // One that has its turn in every other pass has it in the second.
                    let waits = object.first_pass.is_some() && !object.once_decided;
                    (forgotten.is_none(), !waits || object.steps >= A_LONG_PASS)
                }
                TrackedKind::Scheduler => self.schedule(object, cx.scene),
                TrackedKind::Scaler | TrackedKind::SpectralNorm | TrackedKind::Copy => continue,
            };
            let Some(frame) = object.at.filter(|_| object.steps >= A_RUN) else { continue };
            let cut = cx.scene.lost_since(object.created.losses).or(broken_off.then_some(Cut::End));
            let subject =
                Subject::Object { kind: object.kind, class: object.class.clone(), cadence: Cadence::Ever };
            let subject = cx.numbers.subject(subject);
            let outcome = [cx.numbers.outcome(Outcome::Stepped)];
            let mut window = Window::new(subject, NOTHING, &frame, 0);
            window.held = if stepped { &outcome } else { &[] };
            window.cut = cut.or((!stepped && !due).then_some(Cut::Unclear));
            if let Some((variables, began)) = &forgotten {
                window.variables = variables;
                window.began = Some(*began);
            }
            cx.general(&window);
        }
    }

    /// Whether the learning rates that a scheduler is there for were scheduled, and whether they had to be by the end.
    fn schedule(&self, scheduler: &TrackedObject, scene: &Scene) -> (bool, bool) {
        let of = |kind| self.objects.iter().filter(move |object| object.kind == kind);
        let mut stepped = of(TrackedKind::Scheduler).filter(|one| one.last_call.is_some());
        // Those that another one is made of wait for their turn.
        if stepped.clone().any(|one| one.optimizer == scheduler.optimizer) {
            return (true, true);
        }
        let is_before = |one: &TrackedObject, other: &TrackedObject| {
            one.at.is_some_and(|at| at.time < other.created.time)
        };
        // Of trainings in a row, as in a search, some are given up before their schedulers' turn.
        let given_up = of(TrackedKind::Optimizer).any(|next| is_before(scheduler, next))
            || stepped.any(|one| one.class == scheduler.class && is_before(one, scheduler));
        let in_first_pass = scheduler.first_pass.is_some()
            && !scheduler.once_decided
            && scene.passes.ended() <= scheduler.created.time;
        (false, !given_up && (!in_first_pass || scheduler.steps >= A_LONG_PASS))
    }

    fn called(&mut self, kind: TrackedKind, frame: &Frame, cx: &mut Context<'_>) {
        for object in
            self.objects.iter_mut().filter(|object| object.kind == kind && object.id == frame.object)
        {
            object.last_call = Some(frame.time);
            // Decided for good: within every longer stretch as well.
            if kind != TrackedKind::Scaler {
                for power in std::mem::replace(&mut object.undecided_within, LONGEST + 1)..=LONGEST {
                    window(object, Cadence::Within { steps: 1 << power }, true, None, frame, cx);
                }
            }
        }
    }

    fn stepped(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        for object in self.objects.iter_mut().filter(|object| object.kind == TrackedKind::Scheduler) {
            if object.optimizer != 0 && object.optimizer != frame.object {
                continue;
            }
            if let Some(mark) = object.last_step {
                let held = object.last_call.is_some_and(|call| call > mark.time);
                let cut =
                    cx.scene.lost_since(mark.losses).or(Scene::too_early(frame.iteration, object.steps));
                window(object, Cadence::OptimizerStep, held, cut, frame, cx);
            }
            object.last_step = Some(Mark { time: frame.time, losses: cx.scene.losses });
            object.has_waited(frame, cx);
        }
    }

    fn iterated(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        for object in self.objects.iter_mut().filter(|object| object.kind == TrackedKind::Optimizer) {
            object.has_waited(frame, cx);
        }
    }

    /// A training pass begins, told from others by `key`.
    fn trained(&mut self, key: u32, frame: &Frame, cx: &mut Context<'_>) {
        let now = Mark { time: frame.time, losses: cx.scene.losses };
        let last = self.begun.insert(key, now);
        for object in &mut self.objects {
            if let Some(last) = last.filter(|last| last.time > object.created.time) {
                let held = object.last_call.is_some_and(|call| call > last.time);
                window(object, Cadence::Pass, held, cx.scene.lost_since(last.losses), frame, cx);
            }
            match object.first_pass {
                None => object.first_pass = Some(key),
                Some(first) if first == key && !object.once_decided => {
                    object.once_decided = true;
                    let cut = cx.scene.lost_since(object.created.losses);
                    window(object, Cadence::Once, object.last_call.is_some(), cut, frame, cx);
                }
                Some(_) => {}
            }
        }
    }
}

impl TrackedObject {
    /// One more of the steps within which it is to get its method has gone by.
    fn has_waited(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        self.steps = self.steps.saturating_add(1);
        self.at = Some(*frame);
        if self.undecided_within <= LONGEST && self.steps > 1 << self.undecided_within {
            let steps = 1 << self.undecided_within;
            self.undecided_within += 1;
            let cut = cx.scene.lost_since(self.created.losses);
            window(self, Cadence::Within { steps }, false, cut, frame, cx);
        }
    }
}

fn window(
    object: &TrackedObject,
    cadence: Cadence,
    held: bool,
    cut: Option<Cut>,
    frame: &Frame,
    cx: &mut Context<'_>,
) {
    let subject = Subject::Object { kind: object.kind, class: object.class.clone(), cadence };
    let subject = cx.numbers.subject(subject);
    let stepped = [cx.numbers.outcome(Outcome::Stepped)];
    let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
    window.held = if held { &stepped } else { &[] };
    let others = object.kind == TrackedKind::Optimizer && !cx.scene.stepped.is_empty();
    window.inconclusive = if object.last_call.is_some() || others { &stepped } else { &[] };
    window.cut = cut;
    cx.window(&window);
}
