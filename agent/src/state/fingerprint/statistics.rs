//! The statistics of a tensor's elements, chunk by chunk.
//!
//! Floating-point chunks take a fast path that looks at bits instead of values: as integers, the patterns of
//! floats of one sign are in the order of their magnitudes, so one signed and two unsigned extremes give minimum,
//! maximum, whether there is a zero and whether anything is not finite; only the sum of squares is arithmetic. The
//! rare chunk that holds a NaN, an infinity, or magnitudes whose squares leave the range of its type is counted
//! again element by element. Sums are kept in a fixed number of lanes, element i of a chunk in lane i modulo that
//! number, and added up in a fixed order: the bits do not depend on the instructions that were used.

use super::count::{bf16, count, f16, power};
use super::hash::Sums;
use super::keys::LINE;
use super::vector::Line;
use crate::libtorch::view::Dtype;

/// What is known of the elements so far.
#[derive(Clone, Copy, Debug)]
pub struct Statistics {
    /// How many are NaN.
    pub nan: u64,
    /// How many are infinite.
    pub inf: u64,
    /// How many are zero of either sign.
    pub zeros: u64,
    /// The smallest finite one; infinity: there is none.
    pub min: f64,
    /// The largest finite one; minus infinity: there is none.
    pub max: f64,
    /// The sum of the squares of the finite ones.
    pub squares: f64,
}

impl Default for Statistics {
    fn default() -> Self {
        Statistics { nan: 0, inf: 0, zeros: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, squares: 0.0 }
    }
}

/// A floating-point type whose chunks can be counted by their bit patterns.
trait Format {
    /// Bits of an element.
    const BITS: u32;
    /// The pattern of infinity.
    const INFINITY: u64;
    /// Magnitudes below this pattern are counted again: too much of their squares is lost.
    const TINY: u64;

    /// Adds the squares of a line to the sums.
    fn squares<L: Line>(sums: [L; 2], line: L) -> [L; 2];
    /// The total of those sums.
    fn total<L: Line>(sums: [L; 2]) -> f64;
    /// The value of a pattern.
    fn value(bits: u64) -> f64;
}

/// Below this magnitude too many bits of a square are lost to float32's smallest exponent.
const TINY: u32 = power(-50).to_bits();

struct F32;
struct F64;
struct Bf16;
struct F16;

impl Format for F32 {
    const BITS: u32 = 32;
    const INFINITY: u64 = 0x7f80_0000;
    const TINY: u64 = TINY as u64;

    #[inline(always)]
    fn squares<L: Line>([sum, unused]: [L; 2], line: L) -> [L; 2] {
        [sum.add_square_f32(line), unused]
    }

    #[inline(always)]
    fn total<L: Line>([sum, _]: [L; 2]) -> f64 {
        total_f32(sum)
    }

    #[inline(always)]
    fn value(bits: u64) -> f64 {
        f64::from(f32::from_bits(bits as u32))
    }
}

impl Format for F64 {
    const BITS: u32 = 64;
    const INFINITY: u64 = 0x7ff0_0000_0000_0000;
    const TINY: u64 = 0;

    #[inline(always)]
    fn squares<L: Line>([sum, unused]: [L; 2], line: L) -> [L; 2] {
        [sum.add_square_f64(line), unused]
    }

    #[inline(always)]
    fn total<L: Line>([sum, _]: [L; 2]) -> f64 {
        let bytes = sum.store();
        total::<8>(std::array::from_fn(|lane| f64::from_le_bytes(bytes.as_chunks().0[lane])))
    }

    #[inline(always)]
    fn value(bits: u64) -> f64 {
        f64::from_bits(bits)
    }
}

impl Format for Bf16 {
    const BITS: u32 = 16;
    const INFINITY: u64 = 0x7f80;
    const TINY: u64 = TINY as u64 >> 16;

    /// Elements of even and of odd number are summed apart: each is half of a 32-bit lane already.
    #[inline(always)]
    fn squares<L: Line>([even, odd]: [L; 2], line: L) -> [L; 2] {
        [even.add_square_f32(line.left::<16>()), odd.add_square_f32(line.and(L::splat(0xffff_0000)))]
    }

    #[inline(always)]
    fn total<L: Line>([even, odd]: [L; 2]) -> f64 {
        total_f32(even) + total_f32(odd)
    }

    #[inline(always)]
    fn value(bits: u64) -> f64 {
        bf16(bits as u16)
    }
}

impl Format for F16 {
    const BITS: u32 = 16;
    const INFINITY: u64 = 0x7c00;
    const TINY: u64 = 0;

    /// As for [`Bf16`], with the bits of the magnitude moved to the place that they have in a float32. That
    /// leaves only the bias of the exponent wrong, subnormal or not, and a multiplication mends it.
    #[inline(always)]
    fn squares<L: Line>([even, odd]: [L; 2], line: L) -> [L; 2] {
        let magnitude =
            |lane: L| lane.and(L::splat(0x7fff << 13)).multiply_f32(L::splat(power(112).to_bits()));
        let (low, high) = (magnitude(line.left::<13>()), magnitude(line.right::<3>()));
        [even.add_square_f32(low), odd.add_square_f32(high)]
    }

    #[inline(always)]
    fn total<L: Line>([even, odd]: [L; 2]) -> f64 {
        total_f32(even) + total_f32(odd)
    }

    #[inline(always)]
    fn value(bits: u64) -> f64 {
        f16(bits as u16)
    }
}

#[inline(always)]
fn total_f32<L: Line>(sum: L) -> f64 {
    let bytes = sum.store();
    total::<16>(std::array::from_fn(|lane| f64::from(f32::from_le_bytes(bytes.as_chunks().0[lane]))))
}

/// Adds up lanes pairwise, in an order that is the same everywhere.
#[inline(always)]
pub fn total<const LANES: usize>(mut sums: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Has the processor fetch what comes some lines later, in the next chunk too. The work on a line is too long for it
/// to look far enough ahead by itself, and its own prefetching stops at the end of a page.
#[inline(always)]
fn prefetch_after(line: &[u8; LINE]) {
    /// How far ahead, in bytes.
    const PREFETCH: usize = 4096;
    let ahead = line.as_ptr().wrapping_add(PREFETCH);
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, part of every x86-64; an address where nothing is mapped is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(ahead.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint; an address where nothing is mapped is ignored.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) ahead, options(nostack, preserves_flags, readonly));
    }
}

/// Adds the last, incomplete line of a chunk to the sums. Returns it padded.
#[inline(always)]
fn pad<L: Line>(tail: &[u8], number: usize, sums: &mut Sums<L>) -> L {
    let mut padded = [0; LINE];
    padded[..tail.len()].copy_from_slice(tail);
    let line = L::load(&padded);
    sums.add(number, line);
    line
}

/// Hash sums alone.
#[inline(always)]
fn hash<L: Line>(bytes: &[u8], sums: &mut Sums<L>) {
    let (lines, tail) = bytes.as_chunks();
    for (number, line) in lines.iter().enumerate() {
        prefetch_after(line);
        sums.add(number, L::load(line));
    }
    if !tail.is_empty() {
        pad(tail, lines.len(), sums);
    }
}

/// Hash sums and statistics in one pass. Returns whether the statistics were taken; where not, the chunk has to be
/// counted element by element.
#[inline(always)]
fn pass_floats<F: Format, L: Line>(bytes: &[u8], sums: &mut Sums<L>, statistics: &mut Statistics) -> bool {
    let width = F::BITS as usize / 8;
    // A line of nothing but the first element changes no extreme: to begin with, and to pad the last line with.
    let mut filled = [0; LINE];
    for element in filled.chunks_exact_mut(width) {
        element.copy_from_slice(&bytes[..width]);
    }
    let first = L::load(&filled);
    let mut signed = first;
    let mut unsigned = first;
    let mut doubled = first.double(F::BITS);
    let mut squares = [L::splat(0); 2];

    let (lines, tail) = bytes.as_chunks();
    for (number, line) in lines.iter().enumerate() {
        prefetch_after(line);
        let line = L::load(line);
        sums.add(number, line);
        squares = F::squares(squares, line);
        signed = signed.max_signed(line, F::BITS);
        unsigned = unsigned.max(line, F::BITS);
        doubled = doubled.min(line.double(F::BITS), F::BITS);
    }
    if !tail.is_empty() {
        squares = F::squares(squares, pad(tail, lines.len(), sums));
        filled[..tail.len()].copy_from_slice(tail);
        let line = L::load(&filled);
        signed = signed.max_signed(line, F::BITS);
        unsigned = unsigned.max(line, F::BITS);
        doubled = doubled.min(line.double(F::BITS), F::BITS);
    }

    let sign = 1u64 << (F::BITS - 1);
    let unsigned = extreme(unsigned, F::BITS, u64::max);
    let least = extreme(doubled, F::BITS, u64::min) >> 1;
    // Signed patterns are in order as unsigned ones once their sign bit is flipped.
    let signed = extreme(signed, F::BITS, |a, b| if (a ^ sign) > (b ^ sign) { a } else { b });
    let (any_negative, any_positive) = (unsigned >= sign, signed < sign);
    let largest =
        u64::max(if any_positive { signed } else { 0 }, if any_negative { unsigned & !sign } else { 0 });
    let squares = F::total(squares);
    if largest >= F::INFINITY || !squares.is_finite() || (0 < largest && largest < F::TINY) {
        return false;
    }
    statistics.min = statistics.min.min(F::value(if any_negative { unsigned } else { least }));
    statistics.max = statistics.max.max(F::value(if any_positive { signed } else { least | sign }));
    statistics.squares += squares;
    if least == 0 {
        statistics.zeros += match F::BITS {
            16 => zeros(bytes, |bytes| u16::from_le_bytes(bytes) << 1 == 0),
            32 => zeros(bytes, |bytes| u32::from_le_bytes(bytes) << 1 == 0),
            _ => zeros(bytes, |bytes| u64::from_le_bytes(bytes) << 1 == 0),
        };
    }
    true
}

/// The most extreme of the lanes of a line.
#[inline(always)]
pub fn extreme<L: Line>(line: L, bits: u32, choose: impl Fn(u64, u64) -> u64) -> u64 {
    let bytes = line.store();
    match bits {
        8 => fold(&bytes, |lane| u64::from(u8::from_le_bytes(lane)), choose),
        16 => fold(&bytes, |lane| u64::from(u16::from_le_bytes(lane)), choose),
        32 => fold(&bytes, |lane| u64::from(u32::from_le_bytes(lane)), choose),
        _ => fold(&bytes, u64::from_le_bytes, choose),
    }
}

#[inline(always)]
fn fold<const WIDTH: usize>(
    line: &[u8; LINE],
    value: impl Fn([u8; WIDTH]) -> u64,
    choose: impl Fn(u64, u64) -> u64,
) -> u64 {
    let lanes = line.as_chunks().0;
    lanes.iter().fold(value(lanes[0]), |chosen, &lane| choose(chosen, value(lane)))
}

#[inline(always)]
fn zeros<const WIDTH: usize>(bytes: &[u8], is_zero: impl Fn([u8; WIDTH]) -> bool) -> u64 {
    bytes.as_chunks().0.iter().filter(|&&element| is_zero(element)).count() as u64
}

/// Hash sums and statistics of one chunk of whole elements, at most [`super::CHUNK`] bytes and at least one.
#[inline(always)]
pub fn pass<L: Line>(part: Dtype, bytes: &[u8], sums: &mut Sums<L>, statistics: &mut Statistics) {
    let counted = match part {
        Dtype::F32 => pass_floats::<F32, L>(bytes, sums, statistics),
        Dtype::Bf16 => pass_floats::<Bf16, L>(bytes, sums, statistics),
        Dtype::F16 => pass_floats::<F16, L>(bytes, sums, statistics),
        Dtype::F64 => pass_floats::<F64, L>(bytes, sums, statistics),
        _ => {
            hash(bytes, sums);
            false
        }
    };
    if !counted {
        count::<L>(part, bytes, statistics);
    }
}
