//! Iteration, step and stage of the job, derived from what runs.

use crate::calls::Calls;
use crate::gil::Gil;
use crate::sink;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use traincheck_schema::record::{Event, EventKind, Stage, flags};

/// All ops are recorded in the first this many iterations ...
const ALL_OPS_FIRST: u32 = 3;
/// ... and then in one of this many.
const ALL_OPS_EVERY: u32 = 100;

static ITERATION: AtomicU32 = AtomicU32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
static STAGE: AtomicU8 = AtomicU8::new(Stage::Init as u8);

/// What is remembered to tell where the next iteration begins.
#[derive(Default)]
struct Anchor {
    /// Places from which outermost modules were called before the first backward of the current iteration.
    sites: Vec<u32>,
    /// The call around the one that began the iteration; 0: the top of the thread.
    enclosing: u64,
    backward: bool,
    stepped: bool,
}

static ANCHOR: Gil<Anchor> =
    Gil::new(Anchor { sites: Vec::new(), enclosing: 0, backward: false, stepped: false });

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
    let iteration = iteration();
    iteration <= ALL_OPS_FIRST || iteration.is_multiple_of(ALL_OPS_EVERY)
}

/// An event of now, with iteration, step and stage filled in.
#[inline]
pub fn event(kind: EventKind) -> Event {
    Event {
        kind: kind as u8,
        stage: STAGE.load(Ordering::Relaxed),
        flags: if is_sampled() && iteration() > 0 { flags::ALL_OPS } else { 0 },
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

/// An outermost module is about to be called with gradients enabled, from `site`. True if that begins an iteration,
/// which is then the current one.
///
/// It does where a place repeats that was seen since the iteration began and a backward lies in between; or where,
/// after a backward, the call that enclosed the beginning has returned: another loop has begun. A first call that
/// no backward follows (a dry run) is therefore no anchor for what comes. Inside one optimizer step (a closure that
/// is evaluated several times) at most one iteration begins.
///
/// # Safety
/// The GIL is held.
pub unsafe fn module_called(site: u32, calls: &mut Calls) -> bool {
    let enclosing = calls.innermost().call;
    if calls.optimizer_steps > 0 && calls.iteration_in_step {
        return false;
    }
    // SAFETY: the caller's word; nothing in here runs Python code.
    let begins = unsafe {
        ANCHOR.with(|anchor| {
            let repeats = anchor.sites.contains(&site);
            let loop_returned = anchor.enclosing != 0 && !calls.is_open(anchor.enclosing);
            let begins = iteration() == 0 || (anchor.backward && (repeats || loop_returned));
            if begins {
                anchor.sites.clear();
                anchor.enclosing = enclosing;
                anchor.backward = false;
                anchor.stepped = false;
            }
            if !anchor.backward && !anchor.sites.contains(&site) && anchor.sites.len() < 64 {
                anchor.sites.push(site);
            }
            begins
        })
    };
    if begins {
        calls.iteration_in_step = calls.optimizer_steps > 0;
        ITERATION.fetch_add(1, Ordering::Relaxed);
        set_stage(Stage::Training, calls);
        sink::emit(&Event { call: enclosing, parent: enclosing, site, ..event(EventKind::Iteration) });
    }
    begins
}

/// An outermost backward has returned.
///
/// # Safety
/// The GIL is held.
pub unsafe fn backward_returned(calls: &Calls) {
    // SAFETY: the caller's word.
    unsafe { ANCHOR.with(|anchor| anchor.backward = true) };
    set_stage_after_init(Stage::Training, calls);
}

/// An outermost optimizer step has returned: the first of an iteration counts.
///
/// # Safety
/// The GIL is held.
pub unsafe fn optimizer_stepped() {
    // SAFETY: the caller's word.
    unsafe {
        ANCHOR.with(|anchor| {
            if !anchor.stepped {
                anchor.stepped = true;
                STEP.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}
