//! Iteration, step and stage of the job, derived from what runs.

use super::calls::Calls;
use crate::base::gil::Gil;
use crate::base::settings;
use crate::libtorch::native;
use crate::sink;
use crate::state::variables;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use traincheck_schema::record::{Event, EventKind, Stage, flags};

static ITERATION: AtomicU32 = AtomicU32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
/// The current iteration is one of those that are sampled: decided where it begins.
static SAMPLED: AtomicBool = AtomicBool::new(true);
/// [`flags::ALL_OPS`] in an iteration in which every op is recorded, else 0.
static ALL_OPS: AtomicU16 = AtomicU16::new(0);
static STAGE: AtomicU8 = AtomicU8::new(Stage::Init as u8);

/// What is remembered to tell where the next iteration begins, and what evaluation is.
#[derive(Default)]
struct Anchor {
    /// Places from which outermost modules were called since the iteration began.
    sites: Vec<u32>,
    /// How many of these were there when the last backward of the iteration returned.
    closed: usize,
    /// Places that have begun an iteration because they repeated.
    repeated: Vec<u32>,
    /// Calls that were open where the iteration began, outermost first.
    around: Vec<u64>,
    /// Object ids of the outermost modules called with gradients since it began.
    modules: Vec<u32>,
    backward: bool,
    stepped: bool,
    /// How many iterations in a row have had no step before this one.
    micro_step: u32,
    /// A backward has run in this job, not only `torch.autograd.grad`.
    any_backward: bool,
}

/// Of each kind of thing that is remembered of one iteration, no more than this many.
const MAX_REMEMBERED: usize = 64;

static ANCHOR: Gil<Option<Anchor>> = Gil::new(None);

/// The innermost call in which the last two iterations began: the loop. 0: there is none.
static LOOP: AtomicU64 = AtomicU64::new(0);
/// In place of its id: the loop has returned.
const RETURNED: u64 = u64::MAX;

/// Backward calls that are open, in all threads.
static BACKWARDS: AtomicU32 = AtomicU32::new(0);

unsafe fn with<R: Default>(use_it: impl FnOnce(&mut Anchor) -> R) -> R {
    // SAFETY: the callers hold the GIL, and what they do in here runs no Python code.
    unsafe { ANCHOR.with(|anchor| use_it(anchor.get_or_insert_with(Anchor::default))) }
}

/// The iteration, from 1; 0 before the first.
#[inline]
pub fn iteration() -> u32 {
    ITERATION.load(Ordering::Relaxed)
}

/// The stage.
#[inline]
pub fn stage() -> Stage {
    Stage::try_from(STAGE.load(Ordering::Relaxed)).unwrap_or_default()
}

/// Whether the current iteration is one in which every op is recorded (and what else is sampled).
#[inline]
pub fn is_sampled() -> bool {
    SAMPLED.load(Ordering::Relaxed)
}

/// Decides whether `iteration`, which begins, is sampled: the first ones are, then one of so many.
fn sample(iteration: u32) {
    let settings = settings::get();
    let sampled = iteration <= settings.sample_first
        || (settings.sample_every != 0 && iteration.is_multiple_of(settings.sample_every));
    SAMPLED.store(sampled, Ordering::Relaxed);
    let all_ops = if sampled && native::records_ops() { flags::ALL_OPS } else { 0 };
    ALL_OPS.store(all_ops, Ordering::Relaxed);
}

/// An event of now, with iteration, step and stage filled in.
#[inline]
pub fn event(kind: EventKind) -> Event {
    Event {
        kind: kind as u8,
        stage: STAGE.load(Ordering::Relaxed),
        flags: ALL_OPS.load(Ordering::Relaxed),
        time: sink::now(),
        iteration: iteration(),
        step: STEP.load(Ordering::Relaxed),
        ..Event::EMPTY
    }
}

/// Sets the stage; says so in the trace where it changes.
pub fn set_stage(to: Stage, calls: &Calls) {
    if STAGE.swap(to as u8, Ordering::Relaxed) != to as u8 {
        let enclosing = calls.innermost().call;
        sink::emit(&Event { call: enclosing, parent: enclosing, ..event(EventKind::Stage) });
    }
}

/// Sets the stage once the first iteration has begun; before that everything is init.
pub fn set_stage_after_init(to: Stage, calls: &Calls) {
    if iteration() > 0 {
        set_stage(to, calls);
    }
}

/// An outermost module is about to be called with gradients enabled, from `site`; it is in training mode or not. True
/// if that begins an iteration, which is then the current one.
///
/// It does where a backward has run since the iteration began and
/// - a place repeats that had been called from before that backward, or that has repeated in an earlier iteration (the
///   loop takes turns with another); or
/// - the call in which the last two iterations began has returned: another loop has begun. Not in evaluation mode,
///   though: models are also evaluated with gradients enabled.
///
/// Places tell more than functions: a loop may call helpers, and a helper may call several models. A first call that
/// no backward follows (a dry run) begins the first iteration and no other. Inside one optimizer step (a closure that
/// is evaluated several times) at most one iteration begins; inside a backward (activations computed again), none.
///
/// # Safety
/// The GIL is held.
pub unsafe fn module_called(site: u32, module: u32, training: bool, calls: &Calls) -> bool {
    // Where there is a device, backward runs in threads of its own, in which nothing of the script's is open.
    if calls.backwards.get() > 0 || calls.depth() == 0 && BACKWARDS.load(Ordering::Relaxed) > 0 {
        return false;
    }
    let may_begin = calls.optimizer_steps.get() == 0 || !calls.iteration_in_step.get();
    // SAFETY: the caller's word; nothing in here runs Python code.
    let begun = unsafe {
        with(|anchor| {
            let repeats = anchor.sites.iter().take(anchor.closed).any(|seen| *seen == site)
                || anchor.repeated.contains(&site);
            let loop_returned = LOOP.load(Ordering::Relaxed) == RETURNED && training;
            let begins = may_begin && (iteration() == 0 || anchor.backward && (repeats || loop_returned));
            if begins {
                if repeats {
                    remember(&mut anchor.repeated, site);
                }
                anchor.begin(calls);
            }
            remember(&mut anchor.sites, site);
            remember(&mut anchor.modules, module);
            begins.then_some(anchor.micro_step)
        })
    };
    if let Some(micro_step) = begun {
        calls.iteration_in_step.set(calls.optimizer_steps.get() > 0);
        sample(ITERATION.fetch_add(1, Ordering::Relaxed) + 1);
        set_stage(Stage::Training, calls);
        let call = calls.innermost().call;
        let value = u64::from(micro_step);
        sink::emit(&Event { call, parent: call, site, value, ..event(EventKind::Iteration) });
        sink::go_on_writing();
    } else if training {
        set_stage_after_init(Stage::Training, calls);
    }
    begun.is_some()
}

fn remember<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < MAX_REMEMBERED && !list.contains(&item) {
        list.push(item);
    }
}

impl Anchor {
    fn begin(&mut self, calls: &Calls) {
        let shared = self.around.iter().zip(calls.open()).take_while(|(id, open)| **id == open.call).count();
        LOOP.store(shared.checked_sub(1).map_or(0, |last| self.around[last]), Ordering::Relaxed);
        self.around.clear();
        self.around.extend(calls.open().map(|open| open.call));
        self.micro_step = if self.stepped || iteration() == 0 { 0 } else { self.micro_step + 1 };
        self.sites.clear();
        self.modules.clear();
        self.closed = 0;
        self.backward = false;
        self.stepped = false;
    }

    fn gradients_computed(&mut self) {
        self.backward = true;
        self.closed = self.sites.len();
    }
}

/// An outermost module is about to be called without gradients. It is evaluated if the current iteration trains it and
/// its backward has run. Before that, and if it is another, it may as well be a teacher whose answer is learned from:
/// then the stage stays as it is.
///
/// # Safety
/// The GIL is held.
pub unsafe fn module_called_without_gradients(module: u32, calls: &Calls) {
    if iteration() == 0 || stage() == Stage::Evaluation {
        return;
    }
    // SAFETY: the caller's word; nothing in here runs Python code.
    let evaluates = unsafe {
        with(|anchor| {
            anchor.backward
                && (anchor.modules.contains(&module) || variables::share_root(&anchor.modules, module))
        })
    };
    if evaluates {
        set_stage(Stage::Evaluation, calls);
    }
}

/// A recorded call has returned.
#[inline]
pub fn call_returned(call: u64) {
    if LOOP.load(Ordering::Relaxed) == call {
        LOOP.store(RETURNED, Ordering::Relaxed);
    }
}

/// A backward has been entered, or left in whatever way.
pub fn backward_open(enters: bool) {
    if enters {
        BACKWARDS.fetch_add(1, Ordering::Relaxed);
    } else {
        BACKWARDS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The recording pauses: what yet comes of the iteration is no sample of anything.
pub fn paused() {
    SAMPLED.store(false, Ordering::Relaxed);
    ALL_OPS.store(0, Ordering::Relaxed);
}

/// The recording goes on after a pause in which `unseen` iterations began, somewhere in an iteration: the next one
/// begins at the next place that is known to begin one.
///
/// # Safety
/// The GIL is held.
pub unsafe fn resumed(unseen: u32) {
    ITERATION.fetch_add(unseen, Ordering::Relaxed);
    STEP.fetch_add(unseen, Ordering::Relaxed);
    // SAFETY: the caller's word.
    unsafe {
        with(|anchor| {
            anchor.gradients_computed();
            anchor.stepped = true;
        });
    }
}

/// An outermost backward has returned.
///
/// # Safety
/// The GIL is held.
pub unsafe fn backward_returned(calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe {
        with(|anchor| {
            anchor.any_backward = true;
            anchor.gradients_computed();
        });
    }
    set_stage_after_init(Stage::Training, calls);
}

/// `torch.autograd.grad` has returned. True if that was the backward of the iteration, which it is in jobs that know no
/// other; in all others it is part of the loss (a gradient penalty, inner steps).
///
/// # Safety
/// The GIL is held.
pub unsafe fn gradients_returned() -> bool {
    // SAFETY: the caller's word.
    unsafe {
        with(|anchor| {
            if !anchor.any_backward {
                anchor.gradients_computed();
            }
            !anchor.any_backward
        })
    }
}

/// An outermost optimizer step has returned: the first of an iteration counts. One before the first iteration (to
/// have the optimizer make its state) does not.
///
/// # Safety
/// The GIL is held.
pub unsafe fn optimizer_stepped() {
    if iteration() == 0 {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        with(|anchor| {
            if !anchor.stepped {
                anchor.stepped = true;
                STEP.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}
