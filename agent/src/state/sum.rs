//! The sum of a tensor's elements, from one pass over memory: what reductions over ranks keep, up to rounding.

use super::fingerprint::{Path, environment};
use crate::libtorch::view::{Dtype, TensorView};
use half::{bf16, f16};
use std::slice;

/// Sums that are kept side by side, whatever the instructions: the order in which elements are added is always the same.
const LANES: usize = 16;

/// Of a contiguous tensor of floating-point numbers in memory that stays; `None` for another one, and where an element is NaN or
/// infinite.
pub fn of(view: &TensorView<'_>) -> Option<f64> {
    let dtype = view.dtype();
    if view.is_owned_elsewhere() || !view.is_contiguous() || !is_real(dtype) {
        return None;
    }
    if view.elements() == 0 {
        return Some(0.0);
    }
    // SAFETY: the maker of the view guarantees that its elements can be read; they lie one behind the other. A racing writer makes
    // the bytes a mixture; they are only ever used as plain numbers.
    let bytes = unsafe { slice::from_raw_parts(view.data(), view.elements() * dtype.size()) };
    Some(environment::with_default(|| on(Path::best(), dtype, bytes))).filter(|sum| sum.is_finite())
}

/// Whether elements are floating-point numbers that have a sum.
fn is_real(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::Bf16 | Dtype::F16)
}

/// The same by the instructions of the caller's choice: all give the same bits.
fn on(path: Path, dtype: Dtype, bytes: &[u8]) -> f64 {
    match path {
        // SAFETY: the path is only there where the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 | Path::Avx512 => unsafe { avx2(dtype, bytes) },
        _ => pass(dtype, bytes),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(dtype: Dtype, bytes: &[u8]) -> f64 {
    pass(dtype, bytes)
}

#[inline(always)]
fn pass(dtype: Dtype, bytes: &[u8]) -> f64 {
    match dtype {
        Dtype::F16 => add(bytes, |element| f16::from_le_bytes(element).to_f64()),
        Dtype::Bf16 => add(bytes, |element| bf16::from_le_bytes(element).to_f64()),
        Dtype::F64 => add(bytes, f64::from_le_bytes),
        _ => add(bytes, |element| f64::from(f32::from_le_bytes(element))),
    }
}

#[inline(always)]
fn add<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (elements, _) = bytes.as_chunks::<SIZE>();
    let (lines, rest) = elements.as_chunks::<LANES>();
    for line in lines {
        for (lane, element) in lanes.iter_mut().zip(line) {
            *lane += value(*element);
        }
    }
    for (lane, element) in lanes.iter_mut().zip(rest) {
        *lane += value(*element);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(dtype: Dtype, bytes: &[u8]) -> Option<f64> {
        let sizes = [(bytes.len() / dtype.size()) as i64];
        // SAFETY: the elements are those of the slice.
        of(&unsafe { TensorView::new(dtype, bytes.as_ptr(), &sizes, &[1]) }.expect("a tensor"))
    }

    #[test]
    fn of_every_floating_type_and_length() {
        for length in [0, 1, 15, 16, 17, 1000] {
            let values: Vec<f32> = (0..length).map(|i| (i % 13) as f32 - 4.0).collect();
            let expected = Some(values.iter().map(|value| f64::from(*value)).sum());
            let bytes = |of: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|v| of(*v)).collect::<Vec<u8>>();
            assert_eq!(sum(Dtype::F32, &bytes(&|v| v.to_le_bytes().into())), expected);
            assert_eq!(sum(Dtype::F64, &bytes(&|v| f64::from(v).to_le_bytes().into())), expected);
            assert_eq!(sum(Dtype::F16, &bytes(&|v| f16::from_f32(v).to_le_bytes().into())), expected);
            assert_eq!(sum(Dtype::Bf16, &bytes(&|v| bf16::from_f32(v).to_le_bytes().into())), expected);
        }
    }

    #[test]
    fn of_what_is_not_finite_or_no_number_of_that_kind_there_is_none() {
        let one = |value: f32| sum(Dtype::F32, &value.to_le_bytes());
        assert_eq!((one(f32::NAN), one(f32::INFINITY), one(1.5)), (None, None, Some(1.5)));
        assert_eq!(sum(Dtype::I32, &[1, 0, 0, 0]), None);
    }

    #[test]
    fn all_instructions_give_the_same_bits() {
        let bytes: Vec<u8> = (0..4000_u32).flat_map(|i| (i as f32).sin().to_le_bytes()).collect();
        assert_eq!(on(Path::best(), Dtype::F32, &bytes).to_bits(), pass(Dtype::F32, &bytes).to_bits());
    }
}
