//! The budget: keeps what the agent costs under a share of the job's time.
//!
//! After every burst of recorded iterations the account is compared with the time that has passed. What is dearest
//! is thinned first: looks at variables, which then are made in one of so many iterations. What does not fit even so
//! is not recorded at all for a while: no Python call is, until as many optimizer steps have gone by, which libtorch
//! announces, as make the account fit. All of it is in the trace, so that no verdict rests on what was not looked at.

use super::calls::Calls;
use super::{capture, gaps, iterations};
use crate::base::gil::Gil;
use crate::interpreter::api::Python;
use crate::sink;
use crate::sink::cost::Costs;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use traincheck_schema::record::{EventKind, pause};

/// Iterations in a burst.
const BURST: u32 = 8;
/// The longest pause: what comes after it shall not go unseen for long, whatever a burst had cost.
const LONGEST_PAUSE_NS: f64 = 10e9;
/// The name with which libtorch announces the step of an optimizer.
const STEP_SCOPE: &[u8] = b"Optimizer.step#";

/// Looks are made in one of so many iterations.
static SPACING: AtomicU32 = AtomicU32::new(1);
/// Optimizer steps that libtorch announced.
static SCOPES: AtomicU64 = AtomicU64::new(0);
/// The recording pauses until there were so many; 0: it does not.
static RESUME_AT: AtomicU64 = AtomicU64::new(0);
/// The interpreter was asked to call [`resume`].
static ASKED: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Copy, Default)]
struct Mark {
    iteration: u32,
    time: u64,
    scopes: u64,
    costs: Costs,
}

impl Mark {
    fn now() -> Mark {
        Mark {
            iteration: iterations::iteration(),
            time: sink::now(),
            scopes: SCOPES.load(Ordering::Relaxed),
            costs: Costs::now(),
        }
    }
}

#[derive(Default)]
struct Budget {
    /// 0.02 for 2 %; 0: there is none.
    share: f64,
    /// The first iteration.
    first: Option<Mark>,
    /// Where the burst began.
    burst: Mark,
    /// Optimizer steps to be let by, if a pause is due.
    due: Option<u64>,
    /// Optimizer steps an iteration.
    scopes_per_iteration: f64,
}

static BUDGET: Gil<Option<Budget>> = Gil::new(None);

/// Sets the budget: 0.02 for 2 % of the time that the job would take without the agent.
///
/// # Safety
/// The GIL is held.
pub unsafe fn set(share: f64) {
    if share > 0.0 {
        // SAFETY: the caller's word; nothing in here runs Python code.
        unsafe { BUDGET.with(|budget| *budget = Some(Budget { share, ..Budget::default() })) };
    }
}

/// Whether variables are looked at in this iteration, as far as the budget goes.
#[inline]
pub fn looks_now() -> bool {
    let spacing = SPACING.load(Ordering::Relaxed);
    spacing == 1 || iterations::iteration().is_multiple_of(spacing)
}

/// An iteration has begun.
///
/// # Safety
/// The GIL is held.
pub unsafe fn iteration_began(calls: &Calls) {
    // SAFETY: the caller's word; nothing in here runs Python code.
    unsafe {
        BUDGET.with(|budget| {
            if let Some(budget) = budget {
                budget.iteration_began(calls);
            }
        });
    }
}

impl Budget {
    fn iteration_began(&mut self, calls: &Calls) {
        let Some(first) = self.first else {
            self.burst = Mark::now();
            self.first = Some(self.burst);
            return;
        };
        let iterations = iterations::iteration().saturating_sub(self.burst.iteration);
        if iterations < BURST {
            return;
        }
        let now = Mark::now();
        let spent = now.costs.since(&self.burst.costs);
        let passed = now.time.saturating_sub(self.burst.time);
        let plain = passed.saturating_sub(spent.total()).max(1) as f64;
        self.space_looks(&spent, plain * self.share, calls);
        self.scopes_per_iteration =
            now.scopes.saturating_sub(self.burst.scopes) as f64 / f64::from(iterations);
        self.due = self.pause(&first, &now, plain / f64::from(iterations));
        self.burst = now;
    }

    /// Spaces looks so that they take what everything else leaves of `allowed`, and a quarter of it at least.
    fn space_looks(&self, spent: &Costs, allowed: f64, calls: &Calls) {
        let spacing = SPACING.load(Ordering::Relaxed);
        let all_looks = spent.looks as f64 * f64::from(spacing);
        let rest = spent.total().saturating_sub(spent.looks) as f64;
        let fitting = (all_looks / (allowed - rest).max(allowed / 4.0)).ceil().clamp(1.0, 1000.0) as u32;
        // Figures of a burst vary: what fits nearly is left alone.
        if fitting > spacing || fitting < spacing / 2 {
            SPACING.store(fitting, Ordering::Relaxed);
            gaps::say(EventKind::LooksSpaced, u64::from(fitting), calls);
        }
    }

    /// How many optimizer steps to let by until the account fits; `None`: it does, or no step was announced.
    fn pause(&self, first: &Mark, now: &Mark, iteration_ns: f64) -> Option<u64> {
        let cost = now.costs.since(&first.costs).total() as f64;
        let passed = now.time.saturating_sub(first.time) as f64;
        let missing = (cost * (1.0 + 1.0 / self.share) - passed).min(LONGEST_PAUSE_NS);
        let scopes = (missing / iteration_ns * self.scopes_per_iteration).ceil();
        (missing > 0.0 && scopes >= 1.0).then_some(scopes as u64)
    }
}

/// Pauses, if that is due. The call around which the recording ends is already recorded: it is cut by the pause,
/// as everything is that is open.
///
/// # Safety
/// The GIL is held.
pub unsafe fn pause_if_due(python: &Python, calls: &Calls) {
    // SAFETY: the caller's word; taking the value runs no Python code.
    let due = unsafe { BUDGET.with(|budget| budget.as_mut()?.due.take()) };
    // SAFETY: neither takes arguments or can fail.
    let is_main = || unsafe { libc::gettid() == libc::getpid() };
    // Only the main thread can be asked to resume.
    if let Some(scopes) = due
        && is_main()
    {
        // SAFETY: the caller's word.
        unsafe { capture::suspend(python) };
        iterations::paused();
        gaps::begins(pause::BUDGET, calls);
        RESUME_AT.store(SCOPES.load(Ordering::Relaxed) + scopes, Ordering::Relaxed);
    }
}

/// libtorch announces a scope of the user's or its own, on any thread. True: the recording pauses, it is not to be
/// recorded.
#[inline]
pub fn scope_began(name: &[u8]) -> bool {
    if name.starts_with(STEP_SCOPE) {
        capture::step_begins();
        let scopes = SCOPES.fetch_add(1, Ordering::Relaxed) + 1;
        let resume_at = RESUME_AT.load(Ordering::Relaxed);
        if resume_at != 0
            && scopes >= resume_at
            && let Some(python) = Python::loaded()
            && !ASKED.swap(true, Ordering::AcqRel)
        {
            // SAFETY: may be called from any thread, with or without the GIL; `resume` has the type it wants.
            let refused = unsafe { (python.add_pending_call)(resume, std::ptr::null_mut()) } != 0;
            if refused {
                ASKED.store(false, Ordering::Release);
            }
        }
    }
    RESUME_AT.load(Ordering::Relaxed) != 0
}

/// Called by the interpreter, in its main thread between two instructions, with the GIL.
extern "C-unwind" fn resume(_: *mut c_void) -> c_int {
    ASKED.store(false, Ordering::Release);
    let _ = std::panic::catch_unwind(|| {
        let Some(python) = Python::loaded() else { return };
        if sink::is_inert() {
            return;
        }
        // SAFETY: a pending call has the GIL. Where another tool's hook is in its place the agent waits for the next
        // step.
        unsafe {
            if !capture::resume(python) {
                return;
            }
            let paused_at = BUDGET.with(|budget| {
                let budget = budget.as_mut()?;
                Some((budget.burst.scopes, budget.scopes_per_iteration))
            });
            RESUME_AT.store(0, Ordering::Relaxed);
            if let Some((scopes_then, scopes_per_iteration)) = paused_at {
                let scopes = SCOPES.load(Ordering::Relaxed).saturating_sub(scopes_then);
                let unseen = (scopes as f64 / scopes_per_iteration.max(f64::MIN_POSITIVE)).round() as u32;
                let calls = super::calls::current();
                iterations::resumed(unseen, calls);
                gaps::ends(unseen, calls);
            }
            BUDGET.with(|budget| {
                if let Some(budget) = budget {
                    budget.burst = Mark::now();
                }
            });
        }
    });
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(time_ms: u64, calls_ms: u64) -> Mark {
        let costs = Costs { calls: calls_ms * 1_000_000, ..Costs::default() };
        Mark { time: time_ms * 1_000_000, costs, ..Mark::default() }
    }

    #[test]
    fn a_pause_is_as_long_as_makes_the_account_fit() {
        let budget = Budget { share: 0.02, scopes_per_iteration: 1.0, ..Budget::default() };
        // 10 ms spent in 100 ms: 2 % of the rest is reached after 510 ms, 410 more, of 1 ms each.
        assert_eq!(budget.pause(&mark(0, 0), &mark(100, 10), 1e6), Some(410));
        assert_eq!(budget.pause(&mark(0, 0), &mark(511, 10), 1e6), None);
        let two_steps = Budget { scopes_per_iteration: 2.0, ..budget };
        assert_eq!(two_steps.pause(&mark(0, 0), &mark(100, 10), 1e6), Some(820));
        let no_steps = Budget { scopes_per_iteration: 0.0, ..two_steps };
        assert_eq!(no_steps.pause(&mark(0, 0), &mark(100, 10), 1e6), None, "nothing would end it");
    }
}
