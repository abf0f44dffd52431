//! Which calls of a function are recorded with what they are given and give back, beside all of those in sampled
//! iterations: those of the first occasions on which it is called, then of ever rarer ones. So a function that only
//! runs in evaluations, or at the end, has its examples, and a short job has enough of them.

use std::cell::Cell;

/// An alarm needs three examples, and the first iteration, in which everything is new, counts for none.
const FIRST: u32 = 4;
/// Calls of one occasion. An evaluation may go over any number of batches.
const MOST_CALLS: u32 = 256;
/// Calls of one iteration whose results are looked at beside the samples.
const MOST_RESULTS: u32 = 64;

/// The samples of one function. Touched by whoever holds the GIL.
#[derive(Debug, Default)]
pub struct Samples {
    /// Calls with gradients, and without: training and evaluation have occasions of their own.
    kinds: [Occasions; 2],
    /// The iteration of the last call whose result was looked at beside them, and how many of its calls were.
    results: (Cell<u32>, Cell<u32>),
}

/// An occasion is an iteration in which the function is called.
#[derive(Debug, Default)]
struct Occasions {
    /// How many there were; 0: none yet.
    count: Cell<u32>,
    /// The iteration of the last one.
    iteration: Cell<u32>,
    /// How many of its calls were taken.
    calls: Cell<u32>,
}

impl Samples {
    /// Whether the call about to be recorded, with gradients or without, is one.
    #[inline]
    pub fn take(&self, iteration: u32, has_gradients: bool) -> bool {
        self.kinds[usize::from(has_gradients)].take(iteration)
    }

    /// Whether the result of the call about to be recorded, which is no sample, is looked at: of the first calls of each
    /// iteration.
    #[inline]
    pub fn take_result(&self, iteration: u32) -> bool {
        let (last, count) = &self.results;
        if last.replace(iteration) != iteration {
            count.set(0);
        }
        let before = count.get();
        count.set(before.saturating_add(1));
        before < MOST_RESULTS
    }
}

impl Occasions {
    #[inline]
    fn take(&self, iteration: u32) -> bool {
        let mut count = self.count.get();
        if count == 0 || self.iteration.get() != iteration {
            count = count.saturating_add(1);
            self.count.set(count);
            self.iteration.set(iteration);
            self.calls.set(0);
        }
        if count > FIRST && !count.is_power_of_two() {
            return false;
        }
        let calls = self.calls.get();
        self.calls.set(calls.saturating_add(1));
        calls < MOST_CALLS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occasions_are_samples_and_then_ever_rarer_ones() {
        let samples = Samples::default();
        let taken = |iterations: std::ops::Range<u32>| -> Vec<u32> {
            iterations.filter(|iteration| samples.take(*iteration, true)).collect()
        };
        assert_eq!(taken(0..40), [0, 1, 2, 3, 7, 15, 31]);
        // Evaluations are counted for themselves, whatever the iteration.
        assert!((100..104).all(|iteration| samples.take(iteration, false)));
        assert!(!samples.take(104, false));
    }

    #[test]
    fn all_calls_of_an_occasion_are_samples_up_to_so_many() {
        let samples = Samples::default();
        assert_eq!((0..1000).filter(|_| samples.take(5, false)).count(), MOST_CALLS as usize);
        assert!(samples.take(6, false));
    }

    #[test]
    fn results_are_looked_at_in_every_iteration_up_to_so_many() {
        let samples = Samples::default();
        assert_eq!((0..1000).filter(|_| samples.take_result(0)).count(), MOST_RESULTS as usize);
        assert!((1..50).all(|iteration| samples.take_result(iteration)));
    }
}
