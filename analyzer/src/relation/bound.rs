//! Numbers by their size on a logarithmic scale, and the bounds that follow from those that references have had.
//!
//! How far beyond its references a right run may go is for them to say: the runs are compared with one another, and what
//! lies between them is allowed once more beyond the outermost. Runs that are alike leave little room, runs that differ
//! leave much. The idea is that of tolerance intervals, without their assumption of a distribution.

use serde::{Deserialize, Serialize};

/// Sizes by which a number doubles.
const AN_OCTAVE: i32 = 8;
/// Sizes that are always allowed beyond the references: a few runs may be alike by chance.
const MARGIN: i32 = AN_OCTAVE;
/// The same from below: what begins lower than others may be well begun.
const LOWER_MARGIN: i32 = 2 * AN_OCTAVE;
/// The same where a single number counts, which may be far from the others.
const WIDE_MARGIN: i32 = 6 * AN_OCTAVE;
/// Sizes go from 2^-100 to 2^100.
const LAST: f64 = 100.0 * AN_OCTAVE as f64;

/// The size of the magnitude of a number; `None`: it is zero, which has none, or not finite.
pub fn size(number: f64) -> Option<i32> {
    let size = (number.abs().log2() * f64::from(AN_OCTAVE)).ceil();
    size.is_finite().then(|| size.clamp(-LAST, LAST) as i32)
}

/// The largest number of a size.
pub fn number(size: i32) -> f64 {
    (f64::from(size) / f64::from(AN_OCTAVE)).exp2()
}

/// The sizes that a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The lowest.
    pub low: i32,
    /// The highest.
    pub high: i32,
}

impl Span {
    /// That of one.
    pub fn of(size: i32) -> Span {
        Span { low: size, high: size }
    }

    /// With those of another.
    pub fn and(self, other: Span) -> Span {
        Span { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// On which side numbers are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// They are never above.
    Above,
    /// They are never far above.
    FarAbove,
    /// They are never below.
    Below,
}

impl Side {
    /// How many runs show how far apart runs are. Two that happen to be alike show little: only a bound that is far from both of
    /// them can be relied on.
    pub fn runs_needed(self) -> usize {
        match self {
            Side::FarAbove => 2,
            Side::Above | Side::Below => 3,
        }
    }
}

/// A bound that numbers keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// No size is higher.
    AtMost(i32),
    /// No size is lower.
    AtLeast(i32),
}

impl Bound {
    /// The bound that follows from the sizes of these runs; `None`: there are none.
    pub fn learned(side: Side, spans: &[Span]) -> Option<Bound> {
        let ends = spans.iter().map(|span| match side {
            Side::Above | Side::FarAbove => span.high,
            Side::Below => span.low,
        });
        let (lowest, highest) = (ends.clone().min()?, ends.max()?);
        let margin = match side {
            Side::Above => MARGIN,
            Side::FarAbove => WIDE_MARGIN,
            Side::Below => LOWER_MARGIN,
        };
        let room = highest - lowest + margin;
        Some(match side {
            Side::Above | Side::FarAbove => Bound::AtMost(highest + room),
            Side::Below => Bound::AtLeast(lowest - room),
        })
    }

    /// The size that it is.
    pub fn size(self) -> i32 {
        let (Bound::AtMost(size) | Bound::AtLeast(size)) = self;
        size
    }

    /// Whether a size keeps to it.
    pub fn admits(self, size: i32) -> bool {
        match self {
            Bound::AtMost(bound) => size <= bound,
            Bound::AtLeast(bound) => size >= bound,
        }
    }

    /// The same bound at another size.
    pub fn at(self, size: i32) -> Bound {
        match self {
            Bound::AtMost(_) => Bound::AtMost(size),
            Bound::AtLeast(_) => Bound::AtLeast(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_an_eighth_of_a_doubling() {
        let sizes = [1.0, -2.0, 0.5, 1.01, 0.99, 1e-300, 1e300].map(|number| size(number).unwrap());
        assert_eq!(sizes, [0, 8, -8, 1, 0, -800, 800]);
        assert_eq!([0.0, f64::NAN, f64::INFINITY].map(size), [None; 3]);
        assert_eq!([0, 8, -8].map(number), [1.0, 2.0, 0.5]);
    }

    #[test]
    fn the_room_beyond_the_references_is_what_lies_between_them_and_a_margin() {
        let runs = |highs: &[i32]| -> Vec<Span> { highs.iter().map(|&high| Span { low: 0, high }).collect() };
        assert_eq!(Bound::learned(Side::Above, &runs(&[])), None);
        assert_eq!(Bound::learned(Side::Above, &runs(&[10])), Some(Bound::AtMost(18)));
        assert_eq!(Bound::learned(Side::Above, &runs(&[10, 30, 20])), Some(Bound::AtMost(58)));
        assert_eq!(Bound::learned(Side::FarAbove, &runs(&[10, 30])), Some(Bound::AtMost(98)));
        assert_eq!(Bound::learned(Side::Below, &runs(&[10, 30])), Some(Bound::AtLeast(-16)));
    }
}
