//! Where the job stands: its iteration, step and stage, as every record says them. Plain data; what moves it on is above.

use crate::base::clock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use traincheck_schema::record::{Event, EventKind, Stage, flags};

static ITERATION: AtomicU32 = AtomicU32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
/// The current iteration is one of those that are sampled: decided where it begins.
static SAMPLED: AtomicBool = AtomicBool::new(true);
/// [`flags::ALL_OPS`] in an iteration in which every op is recorded, else 0.
static ALL_OPS: AtomicU16 = AtomicU16::new(0);
static STAGE: AtomicU8 = AtomicU8::new(Stage::Init as u8);

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

/// An event of now, with iteration, step and stage filled in.
#[inline]
pub fn event(kind: EventKind) -> Event {
    Event {
        kind: kind as u8,
        stage: STAGE.load(Ordering::Relaxed),
        flags: ALL_OPS.load(Ordering::Relaxed),
        time: clock::now(),
        iteration: iteration(),
        step: STEP.load(Ordering::Relaxed),
        ..Event::EMPTY
    }
}

/// What a change of the position has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// It is another iteration.
    pub iteration: bool,
    /// It is another stage.
    pub stage: bool,
}

/// The job stands there from here on.
pub fn stand_at(iteration: u32, step: u32, stage: Stage) -> Moved {
    STEP.store(step, Ordering::Relaxed);
    Moved {
        iteration: ITERATION.swap(iteration, Ordering::Relaxed) != iteration,
        stage: STAGE.swap(stage as u8, Ordering::Relaxed) != stage as u8,
    }
}

/// Whether the current iteration is sampled, and whether all of its ops are recorded.
pub fn sample(sampled: bool, all_ops: bool) {
    SAMPLED.store(sampled, Ordering::Relaxed);
    ALL_OPS.store(if all_ops { flags::ALL_OPS } else { 0 }, Ordering::Relaxed);
}
