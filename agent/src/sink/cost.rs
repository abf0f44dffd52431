//! What the agent costs the job, by its own account.
//!
//! One in sixteen calls of a hook is timed with the processor's cycle counter, each look at variables always.
//! What no timer sees, because it happens in the interpreter, is a constant that is measured once, times a count.

use super::{account, phase, writer};
use crate::base::clock;
use crate::base::gil::refused;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// One of so many calls is timed.
const EVERY: u64 = 16;

/// Ticks spent by one kind of hook.
pub struct Meter(AtomicU64);

/// Entries and returns of recorded calls, without the looks in them.
pub static CALLS: Meter = Meter(AtomicU64::new(0));
/// Looks at variables.
pub static LOOKS: Meter = Meter(AtomicU64::new(0));
/// Callbacks of libtorch.
pub static OPS: Meter = Meter(AtomicU64::new(0));

/// Python frames that ran while the evaluator was the agent's.
static FRAMES: AtomicU64 = AtomicU64::new(0);
/// What the evaluator costs one frame, in picoseconds: the agent's look into the code object, and the interpreter's
/// way to call an evaluator that is not its own.
static PICOSECONDS_A_FRAME: AtomicU64 = AtomicU64::new(0);

/// A reading of both clocks when the agent was armed: the length of a tick follows from a later one.
static ARMED: OnceLock<(u64, u64)> = OnceLock::new();

/// The cycle counter where there is one that is cheap and goes on evenly, else nanoseconds.
#[inline]
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and Linux allows it to programs.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return clock::now();
}

/// Notes when the agent was armed. Later calls do nothing.
pub fn armed() {
    let _ = ARMED.set((ticks(), clock::now()));
}

/// Time that is being taken.
#[derive(Clone, Copy)]
pub struct Timer {
    begun: u64,
    looks: u64,
}

impl Timer {
    /// Begins, where call number `number` is one that is timed.
    #[inline]
    pub fn sampled(number: u64) -> Option<Timer> {
        // Spread by the golden ratio: iterations have the same calls again and again, and of sixteen calls an
        // iteration always the same one would be the sixteenth.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        spread.is_multiple_of(EVERY).then(Timer::begin)
    }

    /// Begins.
    #[inline]
    pub fn begin() -> Timer {
        Timer { begun: ticks(), looks: LOOKS.0.load(Ordering::Relaxed) }
    }

    /// Adds what has passed, without looks that were made meanwhile, for all the calls that this one stands for.
    #[inline]
    pub fn end_sampled(self, meter: &Meter) {
        meter.add(self.beside_looks() * EVERY);
    }

    /// Adds what has passed, once.
    #[inline]
    pub fn end(self, meter: &Meter) {
        meter.add(ticks().saturating_sub(self.begun));
    }

    /// The same, without looks that were made meanwhile.
    #[inline]
    pub fn end_beside_looks(self, meter: &Meter) {
        meter.add(self.beside_looks());
    }

    fn beside_looks(self) -> u64 {
        let looks = LOOKS.0.load(Ordering::Relaxed).saturating_sub(self.looks);
        ticks().saturating_sub(self.begun).saturating_sub(looks)
    }
}

impl Meter {
    #[inline]
    fn add(&self, ticks: u64) {
        self.0.fetch_add(ticks, Ordering::Relaxed);
    }

    fn ns(&self, ns_per_tick: f64) -> u64 {
        (self.0.load(Ordering::Relaxed) as f64 * ns_per_tick) as u64
    }
}

/// A Python frame is run by the agent's evaluator. Under the GIL, so no other thread counts at the same time.
#[inline]
pub fn frame() {
    FRAMES.store(FRAMES.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Measures what a frame costs: `run` runs `frames` frames, first without the evaluator, then with it.
pub fn calibrate_frames(frames: u64, mut run: impl FnMut(bool)) {
    let mut best = |hooked: bool| {
        let once = |_| {
            let begun = clock::now();
            run(hooked);
            clock::now() - begun
        };
        (0..4).map(once).min().unwrap_or(0)
    };
    let (plain, hooked) = (best(false), best(true));
    PICOSECONDS_A_FRAME.store(hooked.saturating_sub(plain) * 1000 / frames, Ordering::Relaxed);
    FRAMES.store(0, Ordering::Relaxed);
}

/// What it all has cost so far, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs {
    /// Entries and returns of recorded calls.
    pub calls: u64,
    /// Frames that the evaluator let pass.
    pub frames: u64,
    /// Looks at variables.
    pub looks: u64,
    /// Callbacks of libtorch.
    pub ops: u64,
    /// CPU time of the writer.
    pub writer: u64,
}

impl Costs {
    /// As of now.
    pub fn now() -> Costs {
        let (ticks_then, ns_then) = ARMED.get().copied().unwrap_or_default();
        let ticks = ticks().saturating_sub(ticks_then).max(1);
        let ns_per_tick = clock::now().saturating_sub(ns_then) as f64 / ticks as f64;
        Costs {
            calls: CALLS.ns(ns_per_tick),
            frames: FRAMES.load(Ordering::Relaxed) * PICOSECONDS_A_FRAME.load(Ordering::Relaxed) / 1000,
            looks: LOOKS.ns(ns_per_tick),
            ops: OPS.ns(ns_per_tick),
            writer: writer::cpu_ns(),
        }
    }

    /// Everything.
    pub fn total(&self) -> u64 {
        self.calls + self.frames + self.looks + self.ops + self.writer
    }

    /// What has been added since `earlier`.
    pub fn since(&self, earlier: &Costs) -> Costs {
        Costs {
            calls: self.calls.saturating_sub(earlier.calls),
            frames: self.frames.saturating_sub(earlier.frames),
            looks: self.looks.saturating_sub(earlier.looks),
            ops: self.ops.saturating_sub(earlier.ops),
            writer: self.writer.saturating_sub(earlier.writer),
        }
    }

    /// Puts it into the account of the run.
    pub fn account(&self) {
        if phase::is_inert() {
            return;
        }
        let since = ARMED.get().map_or(0, |(_, armed)| clock::now().saturating_sub(*armed));
        account::set("armed_ns", since);
        account::set("calls_ns", self.calls);
        account::set("frames_ns", self.frames);
        account::set("looks_ns", self.looks);
        account::set("ops_ns", self.ops);
        account::set("frames", FRAMES.load(Ordering::Relaxed));
        account::set("ps_per_frame", PICOSECONDS_A_FRAME.load(Ordering::Relaxed));
        if refused() > 0 {
            account::set("state_in_use", refused());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timed_call_stands_for_sixteen_and_looks_in_it_count_apart() {
        armed();
        std::thread::sleep(Duration::from_millis(20));
        let timed: Vec<u64> = (0..1600).filter(|number| Timer::sampled(*number).is_some()).collect();
        assert!((90..110).contains(&timed.len()), "{timed:?}");
        let begun = clock::now();
        let calls = Timer::sampled(timed[1]).expect("what was timed is timed again");
        let look = Timer::begin();
        std::thread::sleep(Duration::from_millis(20));
        look.end(&LOOKS);
        std::thread::sleep(Duration::from_millis(10));
        calls.end_sampled(&CALLS);
        let passed = (clock::now() - begun) as f64;
        let costs = Costs::now();
        assert!(costs.looks >= 19_000_000, "{costs:?}");
        assert!(costs.calls >= 15 * 10_000_000, "{costs:?}");
        // Without the look: with it there would be the look once more than has passed.
        assert!((costs.calls / 16 + costs.looks) as f64 <= 1.05 * passed, "{costs:?} in {passed} ns");
    }
}
