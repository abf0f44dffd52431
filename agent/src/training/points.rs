//! Observation points: where something is looked at, at what, and when. One table, which [`super::observation`] runs.

use traincheck_schema::record::look as bits;
use traincheck_settings::ObservationPoint as Point;
use traincheck_settings::ObservationPoints;

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
pub enum Around {
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
pub enum When {
    /// Always.
    Always,
    /// In sampled iterations.
    Sampled,
    /// In sampled iterations, and in those whose number is a power of two.
    SampledOrPower,
    /// In sampled iterations; of a small model always.
    SampledOrSmall,
    /// In sampled iterations, and at the first step of each optimizer.
    SampledOrFirstStep,
    /// In sampled iterations; always where no optimizer looks after the parameters: what a loop of the user's own does
    /// to them would go unseen.
    SampledOrNoOptimizer,
    /// Of a module in evaluation mode that is called without gradients, if the call's arguments or results are recorded.
    SampledEvaluation,
    /// Of a module in training mode, likewise.
    SampledTraining,
    /// Where the gradients that a step uses are followed: from the first steps and those in sampled iterations, each
    /// to the next.
    Followed,
    /// Likewise; of a small model also where no call has cleared gradients since the last step.
    FollowedOrUncleared,
}

/// One kind of look.
pub struct Row {
    /// The point.
    point: Point,
    at: At,
    /// Of which calls.
    pub around: Around,
    /// How often.
    pub when: When,
    /// Bits of [`bits`], and those below.
    pub what: u64,
}

/// What an optimizer keeps for its parameters.
pub const OPTIMIZER_STATE: u64 = 1 << 16;
/// Attributes of a scheduler or scaler.
pub const ATTRIBUTES: u64 = 1 << 17;
/// What a backward pass begins at.
pub const LOSS: u64 = 1 << 18;
/// Which worker makes the next batch.
pub const WORKER: u64 = 1 << 19;
/// A batch.
pub const BATCH: u64 = 1 << 20;
/// All streams of random numbers, and that of the loader.
pub const STREAMS: u64 = 1 << 21;
/// All streams of random numbers, of the first calls in an iteration.
pub const SEEDED: u64 = 1 << 22;
/// PyTorch's stream of random numbers alone.
pub const TORCH_STREAM: u64 = 1 << 23;
/// What is thinned out to fit a budget: whole contents.
pub const CONTENTS: u64 = bits::PARAMETERS | bits::BUFFERS | bits::GRADIENTS;

const fn row(point: Point, at: At, around: Around, when: When, what: u64) -> Row {
    Row { point, at, around, when, what }
}

const MODEL: u64 = bits::PARAMETERS | bits::BUFFERS;
const MODEL_AND_RATES: u64 = MODEL | bits::HYPERPARAMETERS;

/// The points at calls.
const POINTS: &[Row] = &[
    row(Point::BeforeStep, At::Entry, Around::Outermost, When::SampledOrSmall, bits::PARAMETERS),
    row(Point::BeforeStep, At::Entry, Around::Outermost, When::Followed, bits::GRADIENTS),
    // What was drawn since the iteration began.
    row(Point::BeforeStep, At::Entry, Around::Outermost, When::SampledOrPower, TORCH_STREAM),
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
    row(Point::Loss, At::Entry, Around::Outermost, When::FollowedOrUncleared, bits::GRADIENTS),
    row(Point::Batch, At::Entry, Around::Anything, When::Always, WORKER),
    row(Point::Batch, At::Return, Around::Anything, When::Always, BATCH),
    row(Point::PassBegins, At::Entry, Around::Anything, When::Always, STREAMS),
    row(Point::AfterSeeding, At::Return, Around::Anything, When::Always, SEEDED),
    row(Point::Draws, At::Entry, Around::Outermost, When::SampledEvaluation, TORCH_STREAM),
    row(Point::Draws, At::Return, Around::Outermost, When::SampledEvaluation, TORCH_STREAM),
    // What is computed again in a backward pass has to begin as it did before.
    row(Point::Draws, At::Entry, Around::Anything, When::SampledTraining, TORCH_STREAM),
];

/// A point between calls: where an iteration ends after a backward.
pub const ITERATION_ENDS: (When, u64) = (When::SampledOrNoOptimizer, MODEL);
/// And where the next begins.
pub const ITERATION_BEGINS: (When, u64) = (When::SampledOrPower, STREAMS);

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

    /// Them, in the order of the table.
    #[inline]
    pub fn each(self) -> impl Iterator<Item = &'static Row> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let row = POINTS.get(left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            row
        })
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
        assert_eq!(Rows::of(points, At::Entry).0.count_ones(), 3);
        assert_eq!(Rows::of(points, At::Return).0.count_ones(), 2);
        assert!(!Rows::of(points, At::Return).need_self());
        assert!(Rows::of(ObservationPoints::of(&[Point::Attributes]), At::Return).need_self());
        assert_eq!(Rows::of(ObservationPoints::NONE, At::Entry), Rows::default());
    }
}
