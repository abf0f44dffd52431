//! Lines in AVX2 and AVX-512 registers.

use std::arch::x86_64::*;

use super::keys::LINE;
use super::vector::Line;

/// A line in one AVX-512 register.
#[derive(Clone, Copy)]
pub struct Avx512(__m512i);

/// A line in two AVX2 registers.
#[derive(Clone, Copy)]
pub struct Avx2([__m256i; 2]);

/// Calls an intrinsic on the registers of a line.
macro_rules! wide {
    ($intrinsic:ident, $($operand:expr),+) => {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { $intrinsic($($operand.0),+) })
    };
}

/// The same for both halves.
macro_rules! halves {
    ($intrinsic:ident, $($operand:expr),+) => {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2(unsafe { [$intrinsic($($operand.0[0]),+), $intrinsic($($operand.0[1]),+)] })
    };
}

/// The same, with both halves of the second line taken into the first half of the first: AVX2 has 16 registers, too
/// few for accumulators of two.
macro_rules! into_one {
    ($intrinsic:ident, $a:expr, $b:expr) => {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2(unsafe { [$intrinsic($intrinsic($a.0[0], $b.0[0]), $b.0[1]), $a.0[1]] })
    };
}

impl Line for Avx512 {
    #[inline(always)]
    fn load(bytes: &[u8; LINE]) -> Self {
        // SAFETY: the array has the 64 bytes; `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        // SAFETY: the array has room for 64 bytes; `Line` asks of its users that they enable the instructions.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), self.0) };
        bytes
    }

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { _mm512_set1_epi32(word as i32) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        wide!(_mm512_add_epi64, self, other)
    }

    #[inline(always)]
    fn add_anywhere(self, other: Self) -> Self {
        self.add(other)
    }

    #[inline(always)]
    fn multiply_halves(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { _mm512_mul_epu32(self.0, _mm512_srli_epi64::<32>(self.0)) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        wide!(_mm512_and_si512, self, other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        wide!(_mm512_xor_si512, self, other)
    }

    #[inline(always)]
    fn left<const BY: u32>(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { _mm512_slli_epi32::<BY>(self.0) })
    }

    #[inline(always)]
    fn right<const BY: u32>(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx512(unsafe { _mm512_srli_epi32::<BY>(self.0) })
    }

    #[inline(always)]
    fn double(self, bits: u32) -> Self {
        match bits {
            16 => wide!(_mm512_add_epi16, self, self),
            32 => wide!(_mm512_add_epi32, self, self),
            _ => wide!(_mm512_add_epi64, self, self),
        }
    }

    #[inline(always)]
    fn max_signed(self, other: Self, bits: u32) -> Self {
        match bits {
            16 => wide!(_mm512_max_epi16, self, other),
            32 => wide!(_mm512_max_epi32, self, other),
            _ => wide!(_mm512_max_epi64, self, other),
        }
    }

    #[inline(always)]
    fn max(self, other: Self, bits: u32) -> Self {
        match bits {
            8 => wide!(_mm512_max_epu8, self, other),
            16 => wide!(_mm512_max_epu16, self, other),
            32 => wide!(_mm512_max_epu32, self, other),
            _ => wide!(_mm512_max_epu64, self, other),
        }
    }

    #[inline(always)]
    fn min(self, other: Self, bits: u32) -> Self {
        match bits {
            8 => wide!(_mm512_min_epu8, self, other),
            16 => wide!(_mm512_min_epu16, self, other),
            32 => wide!(_mm512_min_epu32, self, other),
            _ => wide!(_mm512_min_epu64, self, other),
        }
    }

    #[inline(always)]
    fn multiply_f32(self, other: Self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        unsafe {
            let (a, b) = (_mm512_castsi512_ps(self.0), _mm512_castsi512_ps(other.0));
            Avx512(_mm512_castps_si512(_mm512_mul_ps(a, b)))
        }
    }

    #[inline(always)]
    fn add_square_f32(self, root: Self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        unsafe {
            let (sum, root) = (_mm512_castsi512_ps(self.0), _mm512_castsi512_ps(root.0));
            Avx512(_mm512_castps_si512(_mm512_add_ps(sum, _mm512_mul_ps(root, root))))
        }
    }

    #[inline(always)]
    fn add_square_f64(self, root: Self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        unsafe {
            let (sum, root) = (_mm512_castsi512_pd(self.0), _mm512_castsi512_pd(root.0));
            Avx512(_mm512_castpd_si512(_mm512_add_pd(sum, _mm512_mul_pd(root, root))))
        }
    }
}

impl Line for Avx2 {
    #[inline(always)]
    fn load(bytes: &[u8; LINE]) -> Self {
        let (registers, _) = bytes.as_chunks::<32>();
        // SAFETY: each array has 32 bytes; `Line` asks of its users that they enable the instructions.
        unsafe {
            Avx2([
                _mm256_loadu_si256(registers[0].as_ptr().cast()),
                _mm256_loadu_si256(registers[1].as_ptr().cast()),
            ])
        }
    }

    #[inline(always)]
    fn store(self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        for (register, piece) in self.0.into_iter().zip(bytes.as_chunks_mut::<32>().0) {
            // SAFETY: the piece has room for 32 bytes; `Line` asks of its users that they enable the instructions.
            unsafe { _mm256_storeu_si256(piece.as_mut_ptr().cast(), register) };
        }
        bytes
    }

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2([unsafe { _mm256_set1_epi32(word as i32) }; 2])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        halves!(_mm256_add_epi64, self, other)
    }

    #[inline(always)]
    fn add_anywhere(self, other: Self) -> Self {
        into_one!(_mm256_add_epi64, self, other)
    }

    #[inline(always)]
    fn multiply_halves(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2(self.0.map(|half| unsafe { _mm256_mul_epu32(half, _mm256_srli_epi64::<32>(half)) }))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        halves!(_mm256_and_si256, self, other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        halves!(_mm256_xor_si256, self, other)
    }

    #[inline(always)]
    fn left<const BY: u32>(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2(self.0.map(|half| unsafe { _mm256_sllv_epi32(half, _mm256_set1_epi32(BY as i32)) }))
    }

    #[inline(always)]
    fn right<const BY: u32>(self) -> Self {
        // SAFETY: `Line` asks of its users that they enable the instructions.
        Avx2(self.0.map(|half| unsafe { _mm256_srlv_epi32(half, _mm256_set1_epi32(BY as i32)) }))
    }

    #[inline(always)]
    fn double(self, bits: u32) -> Self {
        match bits {
            16 => halves!(_mm256_add_epi16, self, self),
            32 => halves!(_mm256_add_epi32, self, self),
            _ => halves!(_mm256_add_epi64, self, self),
        }
    }

    #[inline(always)]
    fn max_signed(self, other: Self, bits: u32) -> Self {
        match bits {
            16 => into_one!(_mm256_max_epi16, self, other),
            32 => into_one!(_mm256_max_epi32, self, other),
            _ => into_one!(larger_epi64, self, other),
        }
    }

    #[inline(always)]
    fn max(self, other: Self, bits: u32) -> Self {
        match bits {
            8 => into_one!(_mm256_max_epu8, self, other),
            16 => into_one!(_mm256_max_epu16, self, other),
            32 => into_one!(_mm256_max_epu32, self, other),
            _ => into_one!(larger_epu64, self, other),
        }
    }

    #[inline(always)]
    fn min(self, other: Self, bits: u32) -> Self {
        match bits {
            8 => into_one!(_mm256_min_epu8, self, other),
            16 => into_one!(_mm256_min_epu16, self, other),
            32 => into_one!(_mm256_min_epu32, self, other),
            _ => into_one!(smaller_epu64, self, other),
        }
    }

    #[inline(always)]
    fn multiply_f32(self, other: Self) -> Self {
        halves!(multiply_ps, self, other)
    }

    #[inline(always)]
    fn add_square_f32(self, root: Self) -> Self {
        halves!(add_square_ps, self, root)
    }

    #[inline(always)]
    fn add_square_f64(self, root: Self) -> Self {
        halves!(add_square_pd, self, root)
    }
}

// AVX2 has no extremes of 64-bit lanes: they are chosen by a comparison, which is signed.

#[inline]
#[target_feature(enable = "avx2")]
fn larger_epi64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(b, a, _mm256_cmpgt_epi64(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
fn greater_epu64(a: __m256i, b: __m256i) -> __m256i {
    let sign = _mm256_set1_epi64x(i64::MIN);
    _mm256_cmpgt_epi64(_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign))
}

#[inline]
#[target_feature(enable = "avx2")]
fn larger_epu64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(b, a, greater_epu64(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
fn smaller_epu64(a: __m256i, b: __m256i) -> __m256i {
    _mm256_blendv_epi8(a, b, greater_epu64(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
fn multiply_ps(a: __m256i, b: __m256i) -> __m256i {
    _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_square_ps(sum: __m256i, root: __m256i) -> __m256i {
    let root = _mm256_castsi256_ps(root);
    _mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(sum), _mm256_mul_ps(root, root)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_square_pd(sum: __m256i, root: __m256i) -> __m256i {
    let root = _mm256_castsi256_pd(root);
    _mm256_castpd_si256(_mm256_add_pd(_mm256_castsi256_pd(sum), _mm256_mul_pd(root, root)))
}
