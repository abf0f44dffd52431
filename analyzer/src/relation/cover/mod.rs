//! Cover: before every B, since the B before it, there was an A.
//!
//! Windows go by sequence, not by iteration: a zero_grad that clears for the next iteration still lies between two
//! steps. Two sequences are looked at, the calls made by the same call and all critical calls of the thread, and in
//! each one whatever object a call is made on as well as each object of its own. See [`between`] for the order
//! within a window.
mod between;
pub mod claim;
mod cleared;
mod clipped;
mod rescaled;
mod thrown;
mod used;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, VariableKind};

use crate::call::roles::Roles;
use crate::call::{Call, CallId};
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::accumulation;
use crate::relation::support::by_call::{ByCall, OfCall};
use crate::relation::support::sequence::{self, CRITICAL, Levels, NEIGHBOURS, Sequence};
use crate::scene::{Frame, Scene, TraceEvent};
use between::Between;
use claim::{Among, FIELDS, Outcome, Subject};
use cleared::Cleared;
use clipped::Clipped;
use rescaled::Rescaled;
use thrown::Thrown;
use used::Used;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Cover::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: NEIGHBOURS.and(Roles::of(&[Role::AutogradGrad, Role::ModeChange, Role::LoaderIter])),
    variables: &[
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[
                Point::Entry(Role::Backward),
                Point::Return(Role::Backward),
                Point::Entry(Role::OptimizerStep),
                Point::Return(Role::ClipGrad),
            ],
        },
        States::HOLDERS,
    ],
    arguments: Roles::of(&[Role::ClipGrad]),
    contexts: claim::FIELDS,
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: NEEDS.calls,
    returns: Roles::ALL,
    states: &[(Attribute::Grad, &[VariableKind::Parameter, VariableKind::Unreached])],
    looks: true,
};

#[derive(Clone, Copy, Debug)]
struct CallNumbers {
    first: SubjectId,
    between: SubjectId,
    thread: SubjectId,
    called: OutcomeId,
    role: Role,
    seen: u32,
}

impl OfCall for CallNumbers {
    fn of(call: Call, numbers: &mut Numbers) -> CallNumbers {
        let mut subject =
            |level, first| numbers.subject(Subject::Before { call: call.clone(), level, first });
        let (first, between) = (subject(Among::Same, true), subject(Among::Same, false));
        let thread = subject(Among::Thread, false);
        let role = call.role;
        let called = numbers.outcome(Outcome::Called { call });
        CallNumbers { first, between, thread, called, role, seen: 0 }
    }
}

#[derive(Default)]
struct Cover {
    /// Calls without their objects, and with them.
    levels: Levels<2>,
    threads: FxHashMap<u16, [Sequence; 2]>,
    between: Between,
    cleared: Cleared,
    clipped: Clipped,
    rescaled: Rescaled,
    thrown: Thrown,
    used: Used,
    by_call: ByCall<CallNumbers>,
    held: Vec<OutcomeId>,
}

impl Observer for Cover {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.between.observe(event, cx);
        self.cleared.observe(event, cx);
        self.clipped.observe(event, cx);
        self.rescaled.observe(event, cx);
        self.thrown.observe(event, cx);
        self.used.observe(event, cx);
        match event {
            TraceEvent::Enter(frame) if sequence::is_neighbour(frame) => self.enter(frame, cx),
            TraceEvent::Leave(frame, _) => {
                if let Some(level) = self.levels.close(frame.thread, frame.call) {
                    self.levels.reuse(level);
                }
            }
            _ => {}
        }
    }
}

impl Cover {
    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let critical = CRITICAL.has(frame.target.role);
        let parent = sequence::parent(frame, cx.scene);
        let plain = frame.target.plain;
        let specific = frame.target.specific.unwrap_or(plain);
        let mut levels = std::mem::take(&mut self.levels);
        let level = levels.level(frame.thread, parent);
        if critical {
            let mut threads = std::mem::take(&mut self.threads);
            let thread = threads.entry(frame.thread).or_default();
            self.examples(&level[0], plain, frame, Among::Same, cx);
            self.examples(&thread[0], plain, frame, Among::Thread, cx);
            // Where a call is on no object both say the same of it: once is enough.
            if frame.target.specific.is_some() {
                self.examples(&level[1], specific, frame, Among::Same, cx);
                self.examples(&thread[1], specific, frame, Among::Thread, cx);
            }
            thread[0].push(plain, frame);
            thread[1].push(specific, frame);
            self.threads = threads;
        }
        level[0].push(plain, frame);
        level[1].push(specific, frame);
        self.levels = levels;
    }

    fn examples(
        &mut self,
        sequence: &Sequence,
        id: CallId,
        frame: &Frame,
        level: Among,
        cx: &mut Context<'_>,
    ) {
        let (since, last) = sequence.since(id);
        self.held.clear();
        let (mut scaler, mut stepped) = (false, false);
        for call in since {
            let numbers = self.by_call.of(*call, cx.numbers);
            scaler |= numbers.role == Role::ScalerStep;
            stepped |= numbers.role == Role::OptimizerStep;
            self.held.push(numbers.called);
        }
        let numbers = self.by_call.of(id, cx.numbers);
        if level == Among::Same {
            numbers.seen = numbers.seen.saturating_add(1);
        }
        let early = Scene::too_early(frame.iteration, numbers.seen);
        let is_first = numbers.seen < 2 && early.is_none();
        let losses = match last {
            Some(last) => last.losses,
            None => {
                let depth = cx.scene.depth(frame);
                cx.scene.stack(frame.thread, depth).last().map_or(0, |outer| outer.losses)
            }
        };
        let situation = cx.situation(frame, FIELDS);
        let inconclusive = if numbers.role == Role::Backward {
            accumulation::excused(&self.held, cx.numbers)
        } else if scaler && !stepped {
            // A gradient scaler leaves out the optimizer's step where a gradient overflowed.
            left_out(cx.numbers)
        } else {
            Vec::new()
        };
        let subjects = match level {
            Among::Same => [Some(numbers.first), last.map(|_| numbers.between)],
            Among::Thread => [None, last.map(|_| numbers.thread)],
        };
        // A run may begin otherwise than it goes on: what is missing before the first one of it was not between two.
        let begins = if is_first { cx.numbers.called(Role::ALL) } else { inconclusive.clone() };
        for (subject, inconclusive) in subjects.into_iter().zip([begins, inconclusive]) {
            let Some(subject) = subject else { continue };
            let mut window = Window::new(subject, situation, frame, cx.scene.depth(frame));
            window.held = &self.held;
            window.inconclusive = &inconclusive;
            window.cut = cx.scene.lost_since(losses).or(early);
            cx.window(&window);
        }
    }
}

/// That an optimizer steps: what a gradient scaler leaves out where a gradient overflowed, be it the first step of all.
fn left_out(numbers: &mut Numbers) -> Vec<OutcomeId> {
    numbers.called_or_any(Role::OptimizerStep, |call| Outcome::Called { call })
}
