//! Between: after the last A before a B, and since the B before it, C is called. A part of cover.
//!
//! That gradients are clipped somewhere between two steps is not enough: what the last backward left must be clipped
//! before the step takes it. So this asks for the order within a cycle. A cycle is that of B on its object; nothing
//! that ran inside the B before belongs to it, so an `unscale_` that `GradScaler.step` makes up for is none of the
//! script's. What else the calls are made by makes no difference: a loop may be spread over functions.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Role, ValueKind};

use super::claim::{FIELDS, ORDER, Outcome, Subject, is_ordered};
use super::left_out;
use crate::call::{Call, CallId};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::relation::support::by_call::{ByCall, OfCall};
use crate::scene::{Cut, Frame, Scene, TraceEvent};

/// Kinds of calls that are remembered per thread. Where there are more (an optimizer per parameter), nothing is said.
const MOST: usize = 64;
/// So many clearings in a row, with no step in the run so far, are more than the accumulation of one step.
const WITHOUT_A_STEP: u32 = 32;

/// A kind of call, and when it last came.
#[derive(Clone, Copy, Debug)]
struct Last {
    frame: Frame,
    entered: u64,
    left: u64,
    /// Windows that it ended.
    seen: u32,
    /// Of a `zero_grad`.
    discards: Discards,
    /// Of a step: whether a backward has run inside of one, its closure's.
    has_closure: bool,
}

impl Last {
    /// Whether it comes after something that came at `time`: a step comes when it ends, after what its closure does.
    fn follows(&self, time: u64) -> bool {
        self.entered > time || self.frame.target.role == Role::OptimizerStep && self.left > time
    }
}

/// Whether the last calls of a `zero_grad` threw gradients away: a bit each, the latest lowest.
#[derive(Clone, Copy, Debug, Default)]
struct Discards {
    any: u32,
    /// Those with no change of mode before them, which often comes between two epochs.
    within_a_loop: u32,
}

impl Discards {
    fn push(&mut self, lost: bool, mode_changed: bool) {
        self.any = self.any << 1 | u32::from(lost);
        self.within_a_loop = self.within_a_loop << 1 | u32::from(lost && !mode_changed);
    }

    /// Gradients that are thrown away once may be the rest of an epoch, or a dry run.
    fn is_repeated(self, scene: &Scene) -> bool {
        if scene.stepped.is_empty() {
            return self.any.trailing_ones() >= WITHOUT_A_STEP;
        }
        self.any & 0b11 == 0b11 || self.within_a_loop & 0b101 == 0b101
    }
}

#[derive(Debug, Default)]
struct Thread {
    calls: Vec<Last>,
    /// When a pass over data began or a training loop ended.
    boundary: u64,
    mode_changed: u64,
    overflowed: bool,
}

/// That a function is called.
#[derive(Debug)]
struct Called(OutcomeId);

impl OfCall for Called {
    fn of(call: Call, numbers: &mut Numbers) -> Called {
        Called(numbers.outcome(Outcome::Called { call }))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Between {
    /// By number.
    threads: Vec<Thread>,
    clock: u64,
    subjects: FxHashMap<(CallId, CallId), SubjectId>,
    called: ByCall<Called>,
    held: Vec<OutcomeId>,
}

impl Between {
    /// Observes one event.
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.counts && takes_part(frame.target.role) => {
                self.enter(frame, cx)
            }
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::LoaderIter => {
                self.boundary(frame.thread);
            }
            TraceEvent::Enter(frame) if frame.counts && frame.target.role == Role::ModeChange => {
                self.clock += 1;
                let clock = self.clock;
                self.thread(frame.thread).mode_changed = clock;
            }
            TraceEvent::Leave(frame, _) if frame.counts => match frame.target.role {
                // A function in which several iterations began is a loop.
                Role::User if cx.scene.now.0 >= frame.iteration.saturating_add(2) => {
                    self.boundary(frame.thread)
                }
                role if takes_part(role) => self.leave(frame),
                _ => {}
            },
            _ => {}
        }
    }

    fn boundary(&mut self, thread: u16) {
        self.clock += 1;
        let clock = self.clock;
        self.thread(thread).boundary = clock;
    }

    fn thread(&mut self, number: u16) -> &mut Thread {
        let at = usize::from(number);
        if at >= self.threads.len() {
            self.threads.resize_with(at + 1, Thread::default);
        }
        &mut self.threads[at]
    }

    fn leave(&mut self, frame: &Frame) {
        self.clock += 1;
        let clock = self.clock;
        let thread = self.thread(frame.thread);
        if let Some(last) = thread.calls.iter_mut().find(|last| is_same_kind(&last.frame, frame)) {
            last.left = clock;
        }
    }

    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        self.clock += 1;
        let mut thread = std::mem::take(self.thread(frame.thread));
        let at = thread.calls.iter().position(|last| is_same_kind(&last.frame, frame)).or_else(|| {
            thread.overflowed |= thread.calls.len() >= MOST;
            let new = Last {
                frame: *frame,
                entered: 0,
                left: 0,
                seen: 0,
                discards: Discards::default(),
                has_closure: false,
            };
            (!thread.overflowed).then(|| thread.calls.push(new))?;
            Some(thread.calls.len() - 1)
        });
        if frame.target.role == Role::Backward && cx.scene.inside(frame.thread, Role::OptimizerStep) {
            let steps = thread.calls.iter_mut().filter(|last| last.frame.target.role == Role::OptimizerStep);
            steps.filter(|step| step.entered > step.left).for_each(|step| step.has_closure = true);
        }
        if let Some(at) = at {
            if !thread.overflowed {
                self.windows(&mut thread, at, frame, cx);
            }
            thread.calls[at].frame = *frame;
            thread.calls[at].entered = self.clock;
        }
        *self.thread(frame.thread) = thread;
    }

    /// Looks back from `frame`, whose last occurrence is number `at`.
    fn windows(&mut self, thread: &mut Thread, at: usize, frame: &Frame, cx: &mut Context<'_>) {
        let later = frame.target.role;
        if later == Role::ZeroGrad && cx.scene.inside(frame.thread, Role::OptimizerStep) {
            // A closure's: what it clears the step has used.
            return;
        }
        for earlier in [Role::Backward, Role::ScalerUnscale, Role::ZeroGrad] {
            if !ORDER.iter().any(|(a, b, _)| (*a, *b) == (earlier, later)) {
                continue;
            }
            let since = thread.calls[at].left;
            let first = thread.calls.iter().filter(|last| {
                last.frame.target.role == earlier
                    && last.entered > since
                    && concerns(&last.frame, frame, cx.scene)
            });
            if let Some(first) = first.max_by_key(|last| last.entered).copied() {
                self.window(thread, at, &first, frame, cx);
            }
        }
    }

    fn window(&mut self, thread: &mut Thread, at: usize, first: &Last, frame: &Frame, cx: &mut Context<'_>) {
        let (earlier, later) = (first.frame.target.role, frame.target.role);
        let since = thread.calls[at].left;
        self.held.clear();
        let (mut stepped, mut scaled, mut by_hand, mut misplaced) = (false, false, false, false);
        for last in &thread.calls {
            let role = last.frame.target.role;
            let between = last.follows(first.entered);
            by_hand |= between && role == Role::AutogradGrad;
            if !is_ordered(earlier, later, role) {
                continue;
            }
            misplaced |= !between && last.entered > since;
            if !between {
                continue;
            }
            stepped |= role == Role::OptimizerStep;
            scaled |= role == Role::ScalerStep;
            for call in [Some(last.frame.target.plain), last.frame.target.specific].into_iter().flatten() {
                self.held.push(self.called.of(call, cx.numbers).0);
            }
        }
        // One function on two objects.
        self.held.sort_unstable();
        self.held.dedup();
        let last = &mut thread.calls[at];
        last.seen = last.seen.saturating_add(1);
        // Before the first B, nothing tells what is missing from what comes too late.
        let is_first = (since == 0).then_some(Cut::First);
        let mut cut = cx
            .scene
            .lost_since(first.frame.losses)
            .or(Scene::too_early(frame.iteration, last.seen))
            .or(is_first);
        if later == Role::ZeroGrad {
            let lost = !stepped && !scaled;
            let excused = lost && (first.entered < thread.boundary || may_be_meant(&first.frame, cx.scene));
            if !excused {
                last.discards.push(lost, first.entered < thread.mode_changed);
            }
            if lost && (excused || !last.discards.is_repeated(cx.scene)) {
                cut = cut.or(Some(Cut::Unclear));
            }
        }
        if earlier == Role::ZeroGrad && (by_hand || thread.calls[at].has_closure) {
            // Gradients that were asked for by `torch.autograd.grad` are put in place by the script, and what a closure will
            // do is not known yet.
            cut = cut.or(Some(Cut::Unclear));
        }
        // A gradient scaler leaves out the optimizer's step where a gradient overflowed.
        let inconclusive = if scaled && !stepped { left_out(cx.numbers) } else { Vec::new() };
        let why = match misplaced {
            true => Why::CalledTooEarly,
            false if cx.scene.stepped.is_empty() => Why::NoStepSoFar,
            false => Why::Nothing,
        };
        let calls = [Some(frame.target.plain), frame.target.specific];
        for call in calls.into_iter().flatten() {
            let subject = *self.subjects.entry((first.frame.target.plain, call)).or_insert_with(|| {
                let get = |id| cx.numbers.calls.get(id).clone();
                let subject = Subject::Between { earlier: get(first.frame.target.plain), later: get(call) };
                cx.numbers.subject(subject)
            });
            let situation = cx.situation(frame, FIELDS);
            let mut window = Window::new(subject, situation, frame, cx.scene.depth(frame));
            window.held = &self.held;
            window.inconclusive = &inconclusive;
            window.cut = cut;
            window.why = why;
            cx.window(&window);
        }
    }
}

fn takes_part(role: Role) -> bool {
    matches!(
        role,
        Role::Backward
            | Role::AutogradGrad
            | Role::OptimizerStep
            | Role::ZeroGrad
            | Role::ClipGrad
            | Role::ScalerUnscale
            | Role::ScalerStep
    )
}

/// The same function, and on the same object where that matters.
fn is_same_kind(one: &Frame, other: &Frame) -> bool {
    one.target.plain == other.target.plain && one.target.specific == other.target.specific
}

/// Whether the earlier call concerns what the later one is made on. Calls on no optimizer or scaler concern all of them,
/// but for a module's `zero_grad`: that clears the gradients of the optimizers that hold its parameters.
pub(super) fn concerns(earlier: &Frame, later: &Frame, scene: &Scene) -> bool {
    if earlier.object == later.object {
        return true;
    }
    if earlier.target.specific.is_some() || earlier.target.role != Role::ZeroGrad {
        return earlier.target.specific.is_none();
    }
    let root = scene.object(earlier.object).map_or(earlier.object, |object| object.root);
    scene.variables.held_by(later.object).iter().any(|&id| scene.variables.get(id).owner == root)
}

/// Whether gradients of that backward may have been cleared on purpose: they are not finite, or those of a model that is
/// only looked at, in evaluation mode.
fn may_be_meant(backward: &Frame, scene: &Scene) -> bool {
    let evaluating = scene.iteration.as_ref().is_some_and(|iteration| iteration.evaluation_mode);
    evaluating
        || scene.variables.iter().any(|(_, variable)| {
            variable.grad_iteration == backward.iteration
                && variable.grad.is_some_and(|grad| grad.kind == ValueKind::Tensor && grad.non_finite > 0)
        })
}
