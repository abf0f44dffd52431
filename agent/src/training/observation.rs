//! Looks at what the table of observation points ([`super::points`]) says, where and when it says so.
//!
//! A change belongs to the pair of looks that encloses it, so the points lie around whatever changes state.

use super::call::Function;
use super::calls::Calls;
use super::functions::Recorded;
use super::points::{
    ATTRIBUTES, Around, BATCH, CONTENTS, ITERATION_BEGINS, ITERATION_ENDS, LOSS, OPTIMIZER_STATE, Rows,
    SEEDED, STREAMS, TORCH_STREAM, WORKER, When,
};
use super::{budget, iterations};
use crate::interpreter::api::{Object, Python};
use crate::sink;
use crate::state::{batch, look, loss, rng, used};
use traincheck_schema::record::{Event, EventKind, ObjectKind, VariableKind, flags, look as bits};
use traincheck_settings::Counter;

/// What is to be looked at of `rows`, at the entry or return of the call `event`.
#[inline]
unsafe fn what_of(
    rows: Rows,
    python: &Python,
    event: &Event,
    recorded: Recorded,
    outermost: bool,
    calls: &Calls,
) -> u64 {
    let mut what = 0;
    for row in rows.each() {
        let is_point = match row.around {
            Around::Anything => true,
            Around::Outermost => outermost,
            Around::NoConstruction => calls.open_calls(Counter::Constructions) == 0,
            Around::NoStep => calls.open_calls(Counter::OptimizerSteps) == 0,
            Around::Iterations => iterations::iteration() >= event.iteration + 2,
        };
        // SAFETY: the callers hold the GIL.
        if is_point && unsafe { is_now(row.when, python, event, recorded) } {
            what |= row.what;
        }
    }
    if what == 0 || budget::looks_now() { what } else { what & !CONTENTS }
}

/// Whether it is looked at now, so often, at the call `event`, of whose arguments and results so much is recorded.
#[inline]
unsafe fn is_now(when: When, python: &Python, event: &Event, recorded: Recorded) -> bool {
    let sampled = iterations::is_sampled();
    // SAFETY: the callers hold the GIL.
    unsafe {
        match when {
            When::Always => true,
            When::Sampled => sampled,
            When::SampledOrPower => sampled || iterations::iteration().is_power_of_two(),
            When::SampledOrSmall => sampled || look::is_small(),
            // Asked in any case: the first step is to be known for one.
            When::SampledOrFirstStep => look::optimizer_stepped(event.object) || sampled,
            When::SampledOrNoOptimizer => sampled || look::no_optimizer_lives(python),
            When::SampledEvaluation => {
                let mode = event.flags & (flags::MODULE_EVAL | flags::GRAD);
                mode == flags::MODULE_EVAL && recorded != Recorded::NOTHING
            }
            When::SampledTraining => event.flags & flags::MODULE_TRAIN != 0 && recorded != Recorded::NOTHING,
            When::Followed => used::are_followed(),
            When::FollowedOrUncleared => used::are_followed() || used::are_uncleared() && look::is_small(),
        }
    }
}

/// Looks at what is to be looked at, at the entry of the call `event` of `function` on `this`.
///
/// # Safety
/// `this` is a live object or null; the GIL is held, no exception is set, the thread's calls are marked busy.
#[inline]
pub unsafe fn at_entry(
    python: &Python,
    function: &Function,
    event: &Event,
    this: Object,
    recorded: Recorded,
    outermost: bool,
    calls: &Calls,
) {
    if function.at_entry == Rows::default() || !sink::is_started() {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        let what = what_of(function.at_entry, python, event, recorded, outermost, calls);
        if what & CONTENTS != 0 {
            look::look(python, event, what & CONTENTS | bits::AT_ENTRY, calls.innermost().call);
        }
        if what & LOSS != 0 {
            loss::look(python, event, this);
        }
        if what & STREAMS != 0 {
            rng::pass_begins(python, event, this);
        }
        if what & WORKER != 0 {
            batch::expect(python, this);
        }
        if what & TORCH_STREAM != 0 {
            rng::look_at_torch(python, event);
        }
    }
}

/// Looks at what is to be looked at, at the return of the call `begun` of `function` on `this`, which gave `result`.
///
/// # Safety
/// `this` is a live object or null, `result` one; the GIL is held, no exception is set, the thread's calls are marked
/// busy.
#[inline]
pub unsafe fn at_return(
    python: &Python,
    function: &Function,
    begun: &Event,
    (this, result): (Object, Object),
    recorded: Recorded,
    outermost: bool,
    calls: &Calls,
) {
    if function.at_return == Rows::default() {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        let what = what_of(function.at_return, python, begun, recorded, outermost, calls);
        if what & ATTRIBUTES != 0
            && let Some(kind) = function.means.object.and_then(|object| attributes_of(object.kind()))
        {
            look::attributes(python, begun, this, kind);
        }
        if what & SEEDED != 0 {
            rng::seeded(python, begun);
        }
        if what & TORCH_STREAM != 0 {
            rng::look_at_torch(python, begun);
        }
        if !sink::is_started() {
            return;
        }
        if what & BATCH != 0 {
            batch::look(python, begun, result);
            batch::came(python, begun, this);
        }
        let variables = what & (CONTENTS | bits::HYPERPARAMETERS);
        if variables != 0 {
            look::look(python, begun, variables, calls.innermost().call);
        }
        if what & OPTIMIZER_STATE != 0 {
            look::optimizer_state(python, begun, calls.innermost().call);
        }
    }
}

/// What attributes of such an object are, if they are looked at.
fn attributes_of(kind: ObjectKind) -> Option<VariableKind> {
    match kind {
        ObjectKind::Scheduler => Some(VariableKind::SchedulerState),
        ObjectKind::Scaler => Some(VariableKind::ScalerState),
        _ => None,
    }
}

/// An iteration may be about to begin, and the one before to end.
///
/// # Safety
/// The GIL is held, no exception is set, the thread's calls are marked busy.
pub unsafe fn iteration_ends(python: &Python, calls: &Calls) {
    let (when, what) = ITERATION_ENDS;
    // SAFETY: the caller's word.
    unsafe {
        if look::is_backward_pending()
            && sink::is_started()
            && is_now(when, python, &Event::EMPTY, Recorded::NOTHING)
        {
            let enclosing = calls.innermost().call;
            let point = Event { call: enclosing, parent: enclosing, ..iterations::event(EventKind::Look) };
            look::look(python, &point, what, enclosing);
        }
    }
}

/// An iteration has begun.
///
/// # Safety
/// As for [`iteration_ends`].
pub unsafe fn iteration_begins(python: &Python, calls: &Calls) {
    let (when, what) = ITERATION_BEGINS;
    // SAFETY: the caller's word.
    unsafe {
        if what & STREAMS != 0 && sink::is_started() && is_now(when, python, &Event::EMPTY, Recorded::NOTHING)
        {
            rng::look(python, &Event { call: calls.innermost().call, ..Event::EMPTY });
        }
    }
}
