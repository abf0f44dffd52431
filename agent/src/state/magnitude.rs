//! The largest magnitude of a tensor's elements, from one pass over memory: whether they are all zero, or far from what they
//! were.
//!
//! As integers, the patterns of floats without their sign are in the order of their magnitudes, so nothing is computed.

use super::fingerprint::Path;
use crate::libtorch::view::{Dtype, TensorView};
use half::{bf16, f16};
use std::slice;

/// Dimensions of a tensor whose elements do not lie in their logical order.
const MAX_DIMENSIONS: usize = 8;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnitude {
    /// The largest magnitude of the finite elements, rounded, but to zero and to infinity never; 0: none is finite.
    pub largest: f32,
    /// Some elements are NaN or infinite.
    pub not_finite: bool,
}

impl Magnitude {
    /// Of a tensor of floating-point numbers with at least one element and at most `most`, without gaps between them, in
    /// memory that stays. `None`: it is another one.
    pub fn of(view: &TensorView<'_>, most: usize) -> Option<Magnitude> {
        let elements = view.elements();
        if elements == 0 || elements > most || view.is_owned_elsewhere() || !is_dense(view) {
            return None;
        }
        let dtype = view.dtype();
        if !matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::Bf16 | Dtype::F16) {
            return None;
        }
        // SAFETY: the maker of the view guarantees that its elements can be read. There are no gaps between them, and no
        // stride is negative: they are the bytes from the first one on. A racing writer makes these a mixture; they are only
        // ever used as plain numbers.
        let bytes = unsafe { slice::from_raw_parts(view.data(), elements * dtype.size()) };
        Some(on(Path::best(), dtype, bytes))
    }
}

/// Whether the elements lie one behind the other from the first one on, in whatever order.
fn is_dense(view: &TensorView<'_>) -> bool {
    if view.is_contiguous() {
        return true;
    }
    let mut dimensions = [(0, 0); MAX_DIMENSIONS];
    let mut count = 0;
    for (&size, &stride) in view.sizes().iter().zip(view.strides()).filter(|(size, _)| **size != 1) {
        let Some(place) = dimensions.get_mut(count) else { return false };
        *place = (stride, size);
        count += 1;
    }
    let dimensions = &mut dimensions[..count];
    dimensions.sort_unstable();
    let mut expected = 1i64;
    dimensions.iter().all(|(stride, size)| {
        let fits = *stride == expected;
        expected = expected.wrapping_mul(*size);
        fits
    })
}

/// The same by the instructions of the caller's choice: all give the same.
fn on(path: Path, dtype: Dtype, bytes: &[u8]) -> Magnitude {
    match path {
        // SAFETY: the path is only there where the processor has the instructions.
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 | Path::Avx512 => unsafe { avx2(dtype, bytes) },
        _ => pass(dtype, bytes),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(dtype: Dtype, bytes: &[u8]) -> Magnitude {
    pass(dtype, bytes)
}

/// Makes a function that gives the largest pattern below that of infinity, and the largest of all, signs left aside.
macro_rules! largest {
    ($name:ident, $number:ident, $infinity:expr) => {
        #[inline(always)]
        fn $name(bytes: &[u8]) -> ($number, bool) {
            const INFINITY: $number = $infinity;
            let (mut finite, mut any): ($number, $number) = (0, 0);
            for element in bytes.as_chunks().0 {
                let magnitude = $number::from_le_bytes(*element) & $number::MAX;
                finite = finite.max(if magnitude < INFINITY { magnitude } else { 0 });
                any = any.max(magnitude);
            }
            (finite, any >= INFINITY)
        }
    };
}

largest!(largest_16, i16, 0x7c00);
largest!(largest_brain, i16, 0x7f80);
largest!(largest_32, i32, 0x7f80_0000);
largest!(largest_64, i64, 0x7ff0_0000_0000_0000);

#[inline(always)]
fn pass(dtype: Dtype, bytes: &[u8]) -> Magnitude {
    let (largest, not_finite) = match dtype {
        Dtype::F16 => {
            let (bits, not_finite) = largest_16(bytes);
            (f16::from_bits(bits.cast_unsigned()).to_f32(), not_finite)
        }
        Dtype::Bf16 => {
            let (bits, not_finite) = largest_brain(bytes);
            (bf16::from_bits(bits.cast_unsigned()).to_f32(), not_finite)
        }
        Dtype::F64 => {
            let (bits, not_finite) = largest_64(bytes);
            (rounded(bits.cast_unsigned()), not_finite)
        }
        _ => {
            let (bits, not_finite) = largest_32(bytes);
            (f32::from_bits(bits.cast_unsigned()), not_finite)
        }
    };
    Magnitude { largest, not_finite }
}

/// A float64 that is finite and not negative, by its bits: the process may have subnormal numbers taken for zero.
fn rounded(bits: u64) -> f32 {
    let smallest = f32::from_bits(1);
    match f64::from_bits(bits) as f32 {
        _ if bits == 0 => 0.0,
        rounded if rounded.to_bits() == 0 => smallest,
        rounded => rounded.min(f32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const WIDTH: usize>(dtype: Dtype, elements: &[[u8; WIDTH]]) -> Magnitude {
        let found: Vec<Magnitude> =
            Path::available().into_iter().map(|path| on(path, dtype, elements.as_flattened())).collect();
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{found:?}");
        found[0]
    }

    fn of_floats(floats: &[f32]) -> Magnitude {
        let bytes: Vec<[u8; 4]> = floats.iter().map(|float| float.to_le_bytes()).collect();
        of(Dtype::F32, &bytes)
    }

    const fn finite(largest: f32) -> Magnitude {
        Magnitude { largest, not_finite: false }
    }

    #[test]
    fn it_is_the_largest_of_all_finite_elements() {
        for count in [1, 7, 16, 33, 1000] {
            let mut floats = vec![0.0f32; count];
            assert_eq!(of_floats(&floats), finite(0.0));
            floats[0] = -0.0;
            assert_eq!(of_floats(&floats), finite(0.0));
            floats[count - 1] = -1e-45;
            assert_eq!(of_floats(&floats), finite(1e-45));
            floats[count / 2] = f32::NEG_INFINITY;
            assert!(of_floats(&floats).not_finite);
            floats[count / 2] = -3.5;
            assert_eq!(of_floats(&floats), finite(3.5));
        }
        let zeros_and_more = of_floats(&[0.0, f32::NAN, -f32::NAN, 0.0, f32::INFINITY]);
        assert_eq!(zeros_and_more, Magnitude { largest: 0.0, not_finite: true });
        assert_eq!(of_floats(&[1.0, f32::NAN, -2.0]), Magnitude { largest: 2.0, not_finite: true });
    }

    #[test]
    fn of_other_types_it_is_rounded_but_never_to_zero_or_infinity() {
        let halves: Vec<[u8; 2]> = [0.0, -0.5, 0.25].map(|f| f16::from_f32(f).to_le_bytes()).into();
        assert_eq!(of(Dtype::F16, &halves), finite(0.5));
        let brains: Vec<[u8; 2]> = [0.0, -3e38, 0.25].map(|f| bf16::from_f32(f).to_le_bytes()).into();
        assert_eq!(of(Dtype::Bf16, &brains), finite(bf16::from_f32(3e38).to_f32()));
        let double = |f: f64| of(Dtype::F64, &[[0; 8], f.to_le_bytes()]);
        assert_eq!(double(-0.1), finite(0.1));
        assert_eq!(double(5e-324), finite(f32::from_bits(1)));
        assert_eq!(double(-1e300), finite(f32::MAX));
        assert!(double(f64::NAN).not_finite);
    }

    #[test]
    fn tensors_with_gaps_without_elements_and_of_other_types_are_not_looked_at() {
        let floats = [1.0f32, -2.0, 3.0, 4.0, 5.0, 60.0];
        let view = |dtype, sizes: &'static [i64], strides: &'static [i64]| {
            // SAFETY: all sizes and strides below stay within the six floats.
            unsafe { TensorView::new(dtype, floats.as_ptr().cast(), sizes, strides) }.unwrap()
        };
        let look = |view: TensorView<'_>| Magnitude::of(&view, 6).map(|found| found.largest);
        assert_eq!(look(view(Dtype::F32, &[2, 3], &[3, 1])), Some(60.0));
        assert_eq!(look(view(Dtype::F32, &[3, 2], &[1, 3])), Some(60.0), "transposed");
        assert_eq!(look(view(Dtype::F32, &[1, 5], &[9, 1])), Some(5.0));
        assert_eq!(look(view(Dtype::F32, &[], &[])), Some(1.0));
        assert_eq!(look(view(Dtype::F32, &[2, 2], &[3, 1])), None, "gaps");
        assert_eq!(look(view(Dtype::F32, &[3, 2], &[2, 0])), None, "expanded, with gaps");
        assert_eq!(look(view(Dtype::F32, &[0, 2], &[2, 1])), None, "no elements");
        assert_eq!(look(view(Dtype::I32, &[6], &[1])), None);
        assert_eq!(Magnitude::of(&view(Dtype::F32, &[6], &[1]), 5), None, "too many");
        assert_eq!(look(view(Dtype::F32, &[6], &[1]).owned_elsewhere()), None);
    }
}
