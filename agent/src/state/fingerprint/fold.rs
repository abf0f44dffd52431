//! What is learned of a tensor, chunk by chunk, and what comes of it in the end.

use super::hash::{Hash, Sums};
use super::statistics::{self, Statistics};
use super::vector::Line;
use crate::libtorch::view::Dtype;

/// What a look at a tensor's contents found.
///
/// The statistics of a complex tensor are over real and imaginary parts, two elements for each of the tensor's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fingerprint {
    /// Low half of the content hash: of the bytes in logical order and their number, not of shape and type.
    pub hash_low: u64,
    /// High half.
    pub hash_high: u64,
    /// How many elements are NaN; stays at the largest number.
    pub nan: u32,
    /// How many are infinite; stays at the largest number.
    pub inf: u32,
    /// How many are zero.
    pub zeros: u64,
    /// How many there are.
    pub elements: u64,
    /// The smallest finite element, brought into the range of float32; 0 where there is none.
    pub min: f32,
    /// The largest finite element, likewise.
    pub max: f32,
    /// Square root of the sum of squares of the finite elements, likewise.
    pub l2: f32,
}

/// What was learned from the chunks so far.
#[derive(Default)]
pub struct Fold {
    hash: Hash,
    statistics: Statistics,
}

impl Fold {
    /// Takes a chunk.
    #[inline(always)]
    pub fn chunk<L: Line>(&mut self, part: Dtype, index: u64, bytes: &[u8]) {
        let mut sums = Sums::<L>::new();
        statistics::pass(part, bytes, &mut sums, &mut self.statistics);
        self.hash.add(index, &sums);
    }

    /// What comes of `bytes` bytes of `elements` elements.
    pub fn finish(&self, bytes: u64, elements: u64) -> Fingerprint {
        let (hash_low, hash_high) = self.hash.finish(bytes);
        let statistics = &self.statistics;
        let finite = statistics.nan + statistics.inf < elements;
        let narrow = |value: f64| if finite { (value as f32).clamp(f32::MIN, f32::MAX) } else { 0.0 };
        Fingerprint {
            hash_low,
            hash_high,
            nan: u32::try_from(statistics.nan).unwrap_or(u32::MAX),
            inf: u32::try_from(statistics.inf).unwrap_or(u32::MAX),
            zeros: statistics.zeros,
            elements,
            min: narrow(statistics.min),
            max: narrow(statistics.max),
            l2: narrow(statistics.squares.sqrt()),
        }
    }
}
