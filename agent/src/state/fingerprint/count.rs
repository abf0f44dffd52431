//! The statistics of a chunk by the values of its elements: of integers and bytes always, of floating-point types
//! where their bit patterns do not tell.
//!
//! What is added up exactly may be added up in any order. Sums that are rounded are kept in a fixed number of lanes,
//! element i of a chunk in lane i modulo that number, so that the bits do not depend on the instructions. The loops are
//! simple ones that the compiler makes into vector instructions, once for each path. A chunk is in the first-level cache:
//! going over it twice costs less than having too few registers.

use super::keys::LINE;
use super::statistics::{Statistics, extreme, total};
use super::vector::Line;
use crate::libtorch::view::Dtype;

/// Two to the power of `exponent`, which must be that of a normal number.
pub const fn power(exponent: i32) -> f32 {
    f32::from_bits(((127 + exponent) as u32) << 23)
}

/// The value of a bfloat16.
pub const fn bf16(bits: u16) -> f64 {
    f32::from_bits((bits as u32) << 16) as f64
}

/// The value of a float16.
pub const fn f16(bits: u16) -> f64 {
    let magnitude = match bits & 0x7fff {
        0x7c00 => f64::INFINITY,
        0x7c01.. => f64::NAN,
        _ => (f32::from_bits(((bits & 0x7fff) as u32) << 13) * power(112)) as f64,
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// A float8 with `mantissa` bits of mantissa and an exponent biased by `bias`, its special values left aside.
const fn f8(bits: u8, mantissa: u32, bias: i32) -> f64 {
    let magnitude = (f32::from_bits(((bits & 0x7f) as u32) << (23 - mantissa)) * power(127 - bias)) as f64;
    if bits >> 7 == 1 { -magnitude } else { magnitude }
}

/// The values of all bytes.
macro_rules! values {
    ($byte:ident => $value:expr) => {{
        let mut values = [0.0; 256];
        let mut index = 0;
        while index < 256 {
            let $byte = index as u8;
            values[index] = $value;
            index += 1;
        }
        values
    }};
}

static E5M2: [f64; 256] = values!(byte => f16((byte as u16) << 8));
static E4M3FN: [f64; 256] = values!(byte => if byte & 0x7f == 0x7f { f64::NAN } else { f8(byte, 3, 7) });
static E5M2FNUZ: [f64; 256] = values!(byte => if byte == 0x80 { f64::NAN } else { f8(byte, 2, 16) });
static E4M3FNUZ: [f64; 256] = values!(byte => if byte == 0x80 { f64::NAN } else { f8(byte, 3, 8) });
/// An exponent and nothing else: no sign, no zero.
static E8M0FNU: [f64; 256] =
    values!(byte => if byte == 0xff { f64::NAN } else { f64::from_bits((byte as u64 + 1023 - 127) << 52) });

/// Adds a chunk to the statistics. It holds whole elements, at least one and at most [`super::CHUNK`] bytes.
#[inline(always)]
pub fn count<L: Line>(part: Dtype, bytes: &[u8], statistics: &mut Statistics) {
    match part {
        Dtype::Bool => booleans::<L>(bytes, statistics),
        Dtype::U8 => u8s::<L>(bytes, statistics),
        Dtype::I8 => i8s::<L>(bytes, statistics),
        Dtype::U16 => u16s::<L>(bytes, statistics),
        Dtype::I16 => i16s::<L>(bytes, statistics),
        Dtype::U32 => u32s::<L>(bytes, statistics),
        Dtype::I32 => i32s::<L>(bytes, statistics),
        Dtype::U64 => u64s::<L>(bytes, statistics),
        Dtype::I64 => i64s::<L>(bytes, statistics),
        Dtype::F16 => each(bytes, statistics, |bytes| f16(u16::from_le_bytes(bytes))),
        Dtype::Bf16 => each(bytes, statistics, |bytes| bf16(u16::from_le_bytes(bytes))),
        Dtype::F32 => each(bytes, statistics, |bytes| f64::from(f32::from_le_bytes(bytes))),
        Dtype::F64 => each(bytes, statistics, f64::from_le_bytes),
        Dtype::F8E5M2 => by_value(bytes, statistics, &E5M2),
        Dtype::F8E4M3Fn => by_value(bytes, statistics, &E4M3FN),
        Dtype::F8E5M2Fnuz => by_value(bytes, statistics, &E5M2FNUZ),
        Dtype::F8E4M3Fnuz => by_value(bytes, statistics, &E4M3FNUZ),
        Dtype::F8E8M0Fnu => by_value(bytes, statistics, &E8M0FNU),
        // The callers pass the type of the parts.
        Dtype::C32 | Dtype::C64 | Dtype::C128 => {}
    }
}

/// Element by element.
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
    statistics.squares += total(squares);
}

/// Counts how often each byte occurs, and then goes over the bytes that there are.
#[inline(always)]
fn by_value(bytes: &[u8], statistics: &mut Statistics, values: &[f64; 256]) {
    // Four tables, for a count that was just changed is not there yet to be changed again.
    let mut counts = [[0u16; 256]; 4];
    let (fours, rest) = bytes.as_chunks::<4>();
    for four in fours {
        for (table, byte) in counts.iter_mut().zip(four) {
            table[usize::from(*byte)] += 1;
        }
    }
    for byte in rest {
        counts[0][usize::from(*byte)] += 1;
    }
    for (byte, value) in values.iter().enumerate() {
        let count = counts.iter().map(|table| u64::from(table[byte])).sum::<u64>();
        if count == 0 {
            continue;
        }
        if value.is_finite() {
            statistics.zeros += if *value == 0.0 { count } else { 0 };
            statistics.min = statistics.min.min(*value);
            statistics.max = statistics.max.max(*value);
            statistics.squares += count as f64 * (value * value);
        } else {
            statistics.nan += if value.is_nan() { count } else { 0 };
            statistics.inf += if value.is_infinite() { count } else { 0 };
        }
    }
}

/// Any byte but zero is true.
#[inline(always)]
fn booleans<L: Line>(bytes: &[u8], statistics: &mut Statistics) {
    let mut found = Statistics::default();
    u8s::<L>(bytes, &mut found);
    let trues = bytes.len() as u64 - found.zeros;
    statistics.zeros += found.zeros;
    statistics.min = statistics.min.min(if found.zeros > 0 { 0.0 } else { 1.0 });
    statistics.max = statistics.max.max(if trues > 0 { 1.0 } else { 0.0 });
    statistics.squares += trues as f64;
}

/// Makes a function that counts integers of one type. `$squares` takes the elements, and the same as rows of lanes and
/// what is left.
macro_rules! integers {
    ($name:ident, $number:ident, $unsigned:ident, $squares:ident) => {
        #[inline(always)]
        fn $name<L: Line>(bytes: &[u8], statistics: &mut Statistics) {
            const WIDTH: usize = size_of::<$number>();
            const LANES: usize = LINE / WIDTH;
            let (elements, _) = bytes.as_chunks::<WIDTH>();
            let (rows, tail) = elements.as_chunks::<LANES>();
            let value = |element: &[u8; WIDTH]| $number::from_le_bytes(*element);
            let (least, most) = extremes::<L, WIDTH>(bytes, $number::MIN.to_le_bytes());
            // The least of an unsigned type is zero, and nothing is to be flipped for it.
            let back = |flipped: u64| (flipped as $unsigned ^ $number::MIN as $unsigned) as $number;
            let (least, most) = (back(least), back(most));
            statistics.min = statistics.min.min(least as f64);
            statistics.max = statistics.max.max(most as f64);
            if (least..=most).contains(&0) {
                statistics.zeros += if WIDTH == 1 {
                    // A chunk has 128 rows: the narrowest lane can count them.
                    let mut zeros = [0 as $unsigned; LANES];
                    for row in rows {
                        for lane in 0..LANES {
                            zeros[lane] += $unsigned::from(value(&row[lane]) == 0);
                        }
                    }
                    let zeros: u64 = zeros.into_iter().map(u64::from).sum();
                    zeros + tail.iter().filter(|element| value(element) == 0).count() as u64
                } else {
                    elements
                        .iter()
                        .fold(0, |sum: $unsigned, element| {
                            sum.wrapping_add($unsigned::from(value(element) == 0))
                        })
                        .into()
                };
            }
            statistics.squares += $squares!(elements, rows, tail, value, LANES, least, most);
        }
    };
}

/// The least and the largest integer, in the order of unsigned ones after the bits of `flip` were flipped.
#[inline(always)]
fn extremes<L: Line, const WIDTH: usize>(bytes: &[u8], flip: [u8; WIDTH]) -> (u64, u64) {
    let filled = |element: &[u8]| {
        let mut filled = [0; LINE];
        filled.chunks_exact_mut(WIDTH).for_each(|place| place.copy_from_slice(element));
        filled
    };
    let bits = 8 * WIDTH as u32;
    let flip = L::load(&filled(&flip));
    // What the last line is filled up with, for it changes no extreme.
    let mut last = filled(&bytes[..WIDTH]);
    let mut least = L::load(&last).xor(flip);
    let mut most = least;
    let (lines, tail) = bytes.as_chunks();
    for line in lines {
        let line = L::load(line).xor(flip);
        least = least.min(line, bits);
        most = most.max(line, bits);
    }
    last[..tail.len()].copy_from_slice(tail);
    let line = L::load(&last).xor(flip);
    (extreme(least.min(line, bits), bits, u64::min), extreme(most.max(line, bits), bits, u64::max))
}

/// Sums of squares in integers: exact, whatever the order. The sign, extended, goes away in the product.
macro_rules! exact {
    ($elements:ident, $value:ident, $sum:ident) => {
        $elements.iter().fold(0, |sum: $sum, element| {
            let value = $value(element) as $sum;
            sum.wrapping_add(value.wrapping_mul(value))
        }) as f64
    };
}

/// The squares of 8,192 numbers of 8 bits fit into 32 bits.
macro_rules! exact_32 {
    ($elements:ident, $rows:ident, $tail:ident, $value:ident, $lanes:ident, $least:ident, $most:ident) => {
        exact!($elements, $value, u32)
    };
}

/// Those of 4,096 numbers of 16 bits fit into 64.
macro_rules! exact_64 {
    ($elements:ident, $rows:ident, $tail:ident, $value:ident, $lanes:ident, $least:ident, $most:ident) => {
        exact!($elements, $value, u64)
    };
}

/// Sums of squares in float64, lane by lane. `$via`: a type that holds all the values.
macro_rules! rounded {
    ($rows:ident, $tail:ident, $value:ident, $lanes:ident, $via:ident) => {{
        let mut sums = [0.0f64; $lanes];
        for row in $rows {
            for lane in 0..$lanes {
                let value = f64::from($value(&row[lane]) as $via);
                sums[lane] += value * value;
            }
        }
        for (lane, element) in $tail.iter().enumerate() {
            let value = f64::from($value(element) as $via);
            sums[lane] += value * value;
        }
        total(sums)
    }};
}

macro_rules! rounded_signed {
    ($elements:ident, $rows:ident, $tail:ident, $value:ident, $lanes:ident, $least:ident, $most:ident) => {
        rounded!($rows, $tail, $value, $lanes, i32)
    };
}

macro_rules! rounded_unsigned {
    ($elements:ident, $rows:ident, $tail:ident, $value:ident, $lanes:ident, $least:ident, $most:ident) => {
        rounded!($rows, $tail, $value, $lanes, u32)
    };
}

/// Indices and counters fit into 32 bits, which all machines convert several at a time.
macro_rules! rounded_wide {
    ($elements:ident, $rows:ident, $tail:ident, $value:ident, $lanes:ident, $least:ident, $most:ident) => {
        if i32::try_from($least).is_ok() && i32::try_from($most).is_ok() {
            rounded!($rows, $tail, $value, $lanes, i32)
        } else {
            let mut sums = [0.0f64; $lanes];
            for row in $rows {
                for lane in 0..$lanes {
                    let value = $value(&row[lane]) as f64;
                    sums[lane] += value * value;
                }
            }
            for (lane, element) in $tail.iter().enumerate() {
                let value = $value(element) as f64;
                sums[lane] += value * value;
            }
            total(sums)
        }
    };
}

integers!(u8s, u8, u8, exact_32);
integers!(i8s, i8, u8, exact_32);
integers!(u16s, u16, u16, exact_64);
integers!(i16s, i16, u16, exact_64);
integers!(u32s, u32, u32, rounded_unsigned);
integers!(i32s, i32, u32, rounded_signed);
integers!(u64s, u64, u64, rounded_wide);
integers!(i64s, i64, u64, rounded_wide);
