//! The statistics of a tensor's elements, chunk by chunk.
//!
//! Floating-point chunks take a fast path that looks at bits instead of values: as integers, the patterns of
//! floats of one sign are in the order of their magnitudes, so one signed and two unsigned extremes give minimum,
//! maximum, whether there is a zero and whether anything is not finite; only the sum of squares is arithmetic. The
//! rare chunk that holds a NaN, an infinity, or magnitudes whose squares leave the range of its type is counted
//! again element by element. Sums are kept in a fixed number of lanes, element i of a chunk in lane i modulo that
//! number, and added up in a fixed order: the bits do not depend on the instructions that were used.

use super::hash::Sums;
use super::keys::LINE;
use crate::torch::view::Dtype;

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

/// Two to the power of `exponent`, which must be that of a normal number.
const fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) as u32) << 23)
}

/// The magnitude of a float16 that is finite. Moving its bits to the place they have in a float32 leaves only the
/// bias of the exponent wrong, subnormal or not.
#[inline(always)]
fn f16_magnitude(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits & 0x7fff) << 13) * power(112)
}

#[inline(always)]
fn bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn f16(bits: u16) -> f64 {
    let magnitude = match bits & 0x7fff {
        0x7c00 => f64::INFINITY,
        0x7c01.. => f64::NAN,
        _ => f64::from(f16_magnitude(bits)),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A float8 with `mantissa` bits of mantissa and an exponent biased by `bias`, its special values left aside.
fn f8(bits: u8, mantissa: u32, bias: i32) -> f64 {
    let magnitude = f64::from(f32::from_bits(u32::from(bits & 0x7f) << (23 - mantissa)) * power(127 - bias));
    if bits >> 7 == 1 { -magnitude } else { magnitude }
}

fn f8_e4m3fn(bits: u8) -> f64 {
    if bits & 0x7f == 0x7f { f64::NAN } else { f8(bits, 3, 7) }
}

fn f8_fnuz(bits: u8, mantissa: u32, bias: i32) -> f64 {
    if bits == 0x80 { f64::NAN } else { f8(bits, mantissa, bias) }
}

/// Hash sums and statistics of a chunk in one pass, by the bit patterns of its floats.
macro_rules! float_pass {
    ($name:ident: $bits:ident, $signed:ident, $lane:ident, $infinity:expr, $tiny:expr, $square_of:expr, $value:expr) => {
        #[inline(always)]
        fn $name(bytes: &[u8], sums: &mut Sums, statistics: &mut Statistics) -> bool {
            const WIDTH: usize = size_of::<$bits>();
            const LANES: usize = LINE / WIDTH;
            const SIGN: $bits = 1 << ($bits::BITS - 1);

            #[inline(always)]
            fn load(line: &[u8; LINE]) -> [$bits; LANES] {
                let (pieces, _) = line.as_chunks::<WIDTH>();
                let mut lanes = [0; LANES];
                for lane in 0..LANES {
                    lanes[lane] = $bits::from_le_bytes(pieces[lane]);
                }
                lanes
            }

            let mut squares = [0.0 as $lane; LANES];
            let mut signed = [$signed::MIN; LANES];
            let mut unsigned = [0 as $bits; LANES];
            let mut doubled = [$bits::MAX; LANES];
            let (lines, tail) = bytes.as_chunks::<LINE>();
            for (number, line) in lines.iter().enumerate() {
                sums.add(number, line);
                let lanes = load(line);
                for lane in 0..LANES {
                    let root: $lane = $square_of(lanes[lane]);
                    squares[lane] += root * root;
                    signed[lane] = signed[lane].max(lanes[lane] as $signed);
                    unsigned[lane] = unsigned[lane].max(lanes[lane]);
                    doubled[lane] = doubled[lane].min(lanes[lane] << 1);
                }
            }
            if !tail.is_empty() {
                let mut padded = [0; LINE];
                padded[..tail.len()].copy_from_slice(tail);
                sums.add(lines.len(), &padded);
                let lanes = load(&padded);
                let count = tail.len() / WIDTH;
                for lane in 0..LANES {
                    // What was padded is zero and changes neither the squares nor the unsigned maximum.
                    let root: $lane = $square_of(lanes[lane]);
                    squares[lane] += root * root;
                    let inside = lane < count;
                    signed[lane] = signed[lane].max(if inside { lanes[lane] as $signed } else { $signed::MIN });
                    unsigned[lane] = unsigned[lane].max(lanes[lane]);
                    doubled[lane] = doubled[lane].min(if inside { lanes[lane] << 1 } else { $bits::MAX });
                }
            }

            let signed = signed.into_iter().fold($signed::MIN, $signed::max);
            let unsigned = unsigned.into_iter().fold(0, $bits::max);
            let least = doubled.into_iter().fold($bits::MAX, $bits::min) >> 1;
            let negative = unsigned >= SIGN;
            let largest = (signed.max(0) as $bits).max(if negative { unsigned & !SIGN } else { 0 });
            let squares = total(&squares);
            if largest >= $infinity || !squares.is_finite() || (largest != 0 && largest < $tiny) {
                return false;
            }
            let min: f64 = $value(if negative { unsigned } else { least });
            let max: f64 = $value(if signed >= 0 { signed as $bits } else { least | SIGN });
            statistics.min = statistics.min.min(min);
            statistics.max = statistics.max.max(max);
            statistics.squares += squares;
            if least == 0 {
                let (elements, _) = bytes.as_chunks::<WIDTH>();
                let zero = |element: &&[u8; WIDTH]| $bits::from_le_bytes(**element) << 1 == 0;
                statistics.zeros += elements.iter().filter(zero).count() as u64;
            }
            true
        }
    };
}

/// Below this magnitude too many bits of a square are lost to float32's smallest exponent.
const TINY: u32 = power(-50).to_bits();

float_pass!(f32_pass: u32, i32, f32, 0x7f80_0000, TINY, f32::from_bits, |bits| f64::from(f32::from_bits(bits)));
float_pass!(bf16_pass: u16, i16, f32, 0x7f80, (TINY >> 16) as u16, bf16, |bits| f64::from(bf16(bits)));
float_pass!(f16_pass: u16, i16, f32, 0x7c00, 0, f16_magnitude, f16);
float_pass!(f64_pass: u64, i64, f64, 0x7ff0_0000_0000_0000, 0, f64::from_bits, f64::from_bits);

/// Adds up lanes pairwise, in an order that is the same everywhere.
#[inline(always)]
fn total<Lane: Copy + Into<f64>, const LANES: usize>(lanes: &[Lane; LANES]) -> f64 {
    let mut sums = lanes.map(Into::into);
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Hash sums and statistics of one chunk of whole elements, at most [`super::CHUNK`] bytes and at least one.
#[inline(always)]
pub fn pass(part: Dtype, bytes: &[u8], sums: &mut Sums, statistics: &mut Statistics) {
    let counted = match part {
        Dtype::F32 => f32_pass(bytes, sums, statistics),
        Dtype::Bf16 => bf16_pass(bytes, sums, statistics),
        Dtype::F16 => f16_pass(bytes, sums, statistics),
        Dtype::F64 => f64_pass(bytes, sums, statistics),
        _ => {
            let (lines, tail) = bytes.as_chunks::<LINE>();
            for (number, line) in lines.iter().enumerate() {
                sums.add(number, line);
            }
            if !tail.is_empty() {
                let mut padded = [0; LINE];
                padded[..tail.len()].copy_from_slice(tail);
                sums.add(lines.len(), &padded);
            }
            false
        }
    };
    if !counted {
        count(part, bytes, statistics);
    }
}

/// The statistics of a chunk element by element.
#[inline(always)]
fn count(part: Dtype, bytes: &[u8], statistics: &mut Statistics) {
    match part {
        Dtype::Bool => each(bytes, statistics, |[byte]: [u8; 1]| f64::from(u8::from(byte != 0))),
        Dtype::U8 => each(bytes, statistics, |[byte]: [u8; 1]| f64::from(byte)),
        Dtype::I8 => each(bytes, statistics, |byte| f64::from(i8::from_le_bytes(byte))),
        Dtype::U16 => each(bytes, statistics, |bytes| f64::from(u16::from_le_bytes(bytes))),
        Dtype::I16 => each(bytes, statistics, |bytes| f64::from(i16::from_le_bytes(bytes))),
        Dtype::U32 => each(bytes, statistics, |bytes| f64::from(u32::from_le_bytes(bytes))),
        Dtype::I32 => each(bytes, statistics, |bytes| f64::from(i32::from_le_bytes(bytes))),
        Dtype::U64 => each(bytes, statistics, |bytes| u64::from_le_bytes(bytes) as f64),
        Dtype::I64 => each(bytes, statistics, |bytes| i64::from_le_bytes(bytes) as f64),
        Dtype::F16 => each(bytes, statistics, |bytes| f16(u16::from_le_bytes(bytes))),
        Dtype::Bf16 => each(bytes, statistics, |bytes| f64::from(bf16(u16::from_le_bytes(bytes)))),
        Dtype::F32 => each(bytes, statistics, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => each(bytes, statistics, f64::from_le_bytes),
        Dtype::F8E5M2 => each(bytes, statistics, |[byte]: [u8; 1]| f16(u16::from(byte) << 8)),
        Dtype::F8E4M3Fn => each(bytes, statistics, |[byte]: [u8; 1]| f8_e4m3fn(byte)),
        Dtype::F8E5M2Fnuz => each(bytes, statistics, |[byte]: [u8; 1]| f8_fnuz(byte, 2, 16)),
        Dtype::F8E4M3Fnuz => each(bytes, statistics, |[byte]: [u8; 1]| f8_fnuz(byte, 3, 8)),
        // The callers pass the type of the parts.
        Dtype::C32 | Dtype::C64 | Dtype::C128 => {}
    }
}

#[inline(always)]
fn each<const WIDTH: usize>(bytes: &[u8], statistics: &mut Statistics, value: impl Fn([u8; WIDTH]) -> f64) {
    const LANES: usize = 8;
    let mut squares = [0.0f64; LANES];
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    for (number, &element) in elements.iter().enumerate() {
        let value = value(element);
        if value.is_finite() {
            statistics.zeros += u64::from(value == 0.0);
            statistics.min = statistics.min.min(value);
            statistics.max = statistics.max.max(value);
            squares[number % LANES] += value * value;
        } else {
            statistics.nan += u64::from(value.is_nan());
            statistics.inf += u64::from(value.is_infinite());
        }
    }
    statistics.squares += total(&squares);
}
