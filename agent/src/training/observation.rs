//! Observation points: where something is looked at, at what, and when. One table, which the code below runs.
//!
//! A change belongs to the pair of looks that encloses it, so the points lie around whatever changes state.

use super::call::Function;
use super::calls::Calls;
use super::{budget, iterations};
use crate::interpreter::api::{Object, Python};
use crate::sink;
use crate::state::{batch, look, loss, rng};
use traincheck_schema::record::{Event, EventKind, ObjectKind, VariableKind, look as bits};
use traincheck_settings::ObservationPoint as Point;
use traincheck_settings::{Counter, ObservationPoints};

/// At which end of a call something is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Before it runs.
    Entry,
    /// When it has returned; not where an exception left it.
    Return,
}

/// Which calls of a function are observation points, by what is around them and in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// All of them.
    Anything,
    /// Those that no other call of their counter is around.
    Outermost,
    /// Those outside the construction of an object.
    NoConstruction,
    /// Those outside an optimizer step.
    NoStep,
    /// Those in which at least two iterations have begun: the loop.
    Iterations,
}

/// How often it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Always.
    Always,
    /// In sampled iterations.
    Sampled,
    /// In sampled iterations; of a small model always.
    SampledOrSmall,
    /// In sampled iterations, and at the first step of each optimizer.
    SampledOrFirstStep,
    /// In sampled iterations; always where no optimizer looks after the parameters: what a loop of the user's own does
    /// to them would go unseen.
    SampledOrNoOptimizer,
}

/// One kind of look.
struct Row {
    point: Point,
    at: At,
    around: Around,
    when: When,
    /// Bits of [`bits`], and those below.
    what: u64,
}

/// What an optimizer keeps for its parameters.
const OPTIMIZER_STATE: u64 = 1 << 16;
/// Attributes of a scheduler or scaler.
const ATTRIBUTES: u64 = 1 << 17;
/// What a backward pass begins at.
const LOSS: u64 = 1 << 18;
/// Which worker makes the next batch.
const WORKER: u64 = 1 << 19;
/// A batch.
const BATCH: u64 = 1 << 20;
/// All streams of random numbers, and that of the loader.
const STREAMS: u64 = 1 << 21;
/// All streams of random numbers, of the first calls in an iteration.
const SEEDED: u64 = 1 << 22;
/// What is thinned out to fit a budget: whole contents.
const CONTENTS: u64 = bits::PARAMETERS | bits::BUFFERS | bits::GRADIENTS;

const fn row(point: Point, at: At, around: Around, when: When, what: u64) -> Row {
    Row { point, at, around, when, what }
}

const MODEL: u64 = bits::PARAMETERS | bits::BUFFERS;
const MODEL_AND_RATES: u64 = MODEL | bits::HYPERPARAMETERS;

/// The points at calls.
const POINTS: &[Row] = &[
    row(Point::BeforeStep, At::Entry, Around::Outermost, When::SampledOrSmall, bits::PARAMETERS),
    row(Point::AfterStep, At::Return, Around::Outermost, When::Always, MODEL_AND_RATES),
    row(Point::AfterStep, At::Return, Around::Outermost, When::SampledOrFirstStep, OPTIMIZER_STATE),
    row(Point::AfterBackward, At::Return, Around::Outermost, When::Always, bits::GRADIENTS),
    row(Point::AfterZeroGrad, At::Return, Around::NoStep, When::Sampled, bits::GRADIENTS),
    row(Point::AfterClipping, At::Return, Around::Anything, When::Sampled, bits::GRADIENTS),
    row(Point::AfterSchedulerStep, At::Return, Around::NoConstruction, When::Always, bits::HYPERPARAMETERS),
    row(Point::Attributes, At::Return, Around::NoConstruction, When::Always, ATTRIBUTES),
    row(Point::AfterModeChange, At::Return, Around::Outermost, When::Always, MODEL),
    row(Point::AfterLoad, At::Return, Around::Anything, When::Always, MODEL),
    row(
        Point::AfterOptimizerLoad,
        At::Return,
        Around::Anything,
        When::Always,
        MODEL_AND_RATES | OPTIMIZER_STATE,
    ),
    row(Point::AfterLoop, At::Return, Around::Iterations, When::Always, MODEL),
    row(Point::Loss, At::Entry, Around::Outermost, When::Always, LOSS),
    row(Point::Batch, At::Entry, Around::Anything, When::Always, WORKER),
    row(Point::Batch, At::Return, Around::Anything, When::Always, BATCH),
    row(Point::PassBegins, At::Entry, Around::Anything, When::Always, STREAMS),
    row(Point::AfterSeeding, At::Return, Around::Anything, When::Always, SEEDED),
];

/// The points between calls: where an iteration ends after a backward, and where the next begins.
const ITERATION_ENDS: (When, u64) = (When::SampledOrNoOptimizer, MODEL);
const ITERATION_BEGINS: (When, u64) = (When::Sampled, STREAMS);

/// Rows of the table, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows(u32);

impl Rows {
    /// Those of `points` that are at this end of a call.
    pub fn of(points: ObservationPoints, at: At) -> Rows {
        let of_them = |row: &Row| row.at == at && points.has(row.point);
        Rows(POINTS.iter().enumerate().map(|(number, row)| u32::from(of_them(row)) << number).sum())
    }

    /// Whether something of them is read from `self`.
    pub fn need_self(self) -> bool {
        self.each().any(|row| row.what & (ATTRIBUTES | BATCH) != 0)
    }

    #[inline]
    fn each(self) -> impl Iterator<Item = &'static Row> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let row = POINTS.get(left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            row
        })
    }

    /// What is to be looked at, at the entry or return of the call `event`.
    #[inline]
    unsafe fn what(self, python: &Python, event: &Event, outermost: bool, calls: &Calls) -> u64 {
        let mut what = 0;
        for row in self.each() {
            let is_point = match row.around {
                Around::Anything => true,
                Around::Outermost => outermost,
                Around::NoConstruction => calls.open_calls(Counter::Constructions) == 0,
                Around::NoStep => calls.open_calls(Counter::OptimizerSteps) == 0,
                Around::Iterations => iterations::iteration() >= event.iteration + 2,
            };
            // SAFETY: the callers hold the GIL.
            if is_point && unsafe { row.when.is_now(python, event.object) } {
                what |= row.what;
            }
        }
        if budget::looks_now() { what } else { what & !CONTENTS }
    }
}

impl When {
    #[inline]
    unsafe fn is_now(self, python: &Python, object: u32) -> bool {
        let sampled = iterations::is_sampled();
        // SAFETY: the callers hold the GIL.
        unsafe {
            match self {
                When::Always => true,
                When::Sampled => sampled,
                When::SampledOrSmall => sampled || look::is_small(),
                // Asked in any case: the first step is to be known for one.
                When::SampledOrFirstStep => look::optimizer_stepped(object) || sampled,
                When::SampledOrNoOptimizer => sampled || look::no_optimizer_lives(python),
            }
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
    outermost: bool,
    calls: &Calls,
) {
    if function.at_entry == Rows::default() || !sink::is_started() {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        let what = function.at_entry.what(python, event, outermost, calls);
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
    outermost: bool,
    calls: &Calls,
) {
    if function.at_return == Rows::default() {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        let what = function.at_return.what(python, begun, outermost, calls);
        if what & ATTRIBUTES != 0
            && let Some(kind) = function.means.object.and_then(|object| attributes_of(object.kind()))
        {
            look::attributes(python, begun, this, kind);
        }
        if what & SEEDED != 0 {
            rng::seeded(python, begun);
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
        if look::is_backward_pending() && sink::is_started() && when.is_now(python, 0) {
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
        if what & STREAMS != 0 && sink::is_started() && when.is_now(python, 0) {
            rng::look(python, &Event { call: calls.innermost().call, ..Event::EMPTY });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use traincheck_settings::Word;

    #[test]
    fn every_point_that_has_a_word_is_in_the_table() {
        for (word, point, _) in Point::ALL {
            let points = ObservationPoints::of(&[*point]);
            let rows = [Rows::of(points, At::Entry), Rows::of(points, At::Return)];
            assert!(
                rows.iter().any(|rows| rows.each().all(|row| row.point == *point) && rows.0 != 0),
                "{word}"
            );
        }
    }

    #[test]
    fn a_function_has_the_rows_of_its_points_at_each_end() {
        let points = ObservationPoints::of(&[Point::BeforeStep, Point::AfterStep]);
        assert_eq!(Rows::of(points, At::Entry).0.count_ones(), 1);
        assert_eq!(Rows::of(points, At::Return).0.count_ones(), 2);
        assert!(!Rows::of(points, At::Return).need_self());
        assert!(Rows::of(ObservationPoints::of(&[Point::Attributes]), At::Return).need_self());
        assert_eq!(Rows::of(ObservationPoints::NONE, At::Entry), Rows::default());
    }
}
