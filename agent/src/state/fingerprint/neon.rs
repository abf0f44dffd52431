//! Lines in NEON registers, which every 64-bit ARM processor has.

use std::arch::aarch64::*;
use std::array;

use super::keys::LINE;
use super::vector::Line;

/// A line in four NEON registers.
#[derive(Clone, Copy)]
pub struct Neon([uint64x2_t; 4]);

impl Neon {
    #[inline(always)]
    fn map(self, each: impl Fn(uint64x2_t) -> uint64x2_t) -> Self {
        Neon(self.0.map(each))
    }

    #[inline(always)]
    fn zip(self, other: Self, each: impl Fn(uint64x2_t, uint64x2_t) -> uint64x2_t) -> Self {
        Neon(array::from_fn(|register| each(self.0[register], other.0[register])))
    }
}

/// Calls an intrinsic on lanes of another type: `$into` and `$back` take registers as such, and back.
macro_rules! lanes {
    ($intrinsic:ident, $into:ident, $back:ident, $a:expr, $b:expr) => {
        // SAFETY: NEON is part of the target.
        $a.zip($b, |a, b| unsafe { $back($intrinsic($into(a), $into(b))) })
    };
}

macro_rules! unsigned_lanes {
    ($bits:expr, $a:expr, $b:expr, $n8:ident, $n16:ident, $n32:ident, $n64:ident) => {
        match $bits {
            8 => lanes!($n8, vreinterpretq_u8_u64, vreinterpretq_u64_u8, $a, $b),
            16 => lanes!($n16, vreinterpretq_u16_u64, vreinterpretq_u64_u16, $a, $b),
            32 => lanes!($n32, vreinterpretq_u32_u64, vreinterpretq_u64_u32, $a, $b),
            _ => $a.zip($b, $n64),
        }
    };
}

impl Line for Neon {
    #[inline(always)]
    fn load(bytes: &[u8; LINE]) -> Self {
        let (registers, _) = bytes.as_chunks::<16>();
        // SAFETY: each array has 16 bytes; NEON is part of the target.
        Neon(array::from_fn(|register| unsafe {
            vreinterpretq_u64_u8(vld1q_u8(registers[register].as_ptr()))
        }))
    }

    #[inline(always)]
    fn store(self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        for (register, piece) in self.0.into_iter().zip(bytes.as_chunks_mut::<16>().0) {
            // SAFETY: the piece has room for 16 bytes; NEON is part of the target.
            unsafe { vst1q_u8(piece.as_mut_ptr(), vreinterpretq_u8_u64(register)) };
        }
        bytes
    }

    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: NEON is part of the target.
        Neon([unsafe { vreinterpretq_u64_u32(vdupq_n_u32(word)) }; 4])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, add_u64)
    }

    #[inline(always)]
    fn add_anywhere(self, other: Self) -> Self {
        self.add(other)
    }

    #[inline(always)]
    fn multiply_halves(self) -> Self {
        // SAFETY: NEON is part of the target.
        self.map(|register| unsafe { vmull_u32(vmovn_u64(register), vshrn_n_u64::<32>(register)) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: NEON is part of the target.
        self.zip(other, |a, b| unsafe { vandq_u64(a, b) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: NEON is part of the target.
        self.zip(other, |a, b| unsafe { veorq_u64(a, b) })
    }

    #[inline(always)]
    fn left<const BY: u32>(self) -> Self {
        self.shifted(BY as i32)
    }

    #[inline(always)]
    fn right<const BY: u32>(self) -> Self {
        self.shifted(-(BY as i32))
    }

    #[inline(always)]
    fn double(self, bits: u32) -> Self {
        unsigned_lanes!(bits, self, self, vaddq_u8, vaddq_u16, vaddq_u32, add_u64)
    }

    #[inline(always)]
    fn max_signed(self, other: Self, bits: u32) -> Self {
        match bits {
            16 => lanes!(vmaxq_s16, vreinterpretq_s16_u64, vreinterpretq_u64_s16, self, other),
            32 => lanes!(vmaxq_s32, vreinterpretq_s32_u64, vreinterpretq_u64_s32, self, other),
            _ => self.zip(other, larger_s64),
        }
    }

    #[inline(always)]
    fn max(self, other: Self, bits: u32) -> Self {
        unsigned_lanes!(bits, self, other, vmaxq_u8, vmaxq_u16, vmaxq_u32, larger_u64)
    }

    #[inline(always)]
    fn min(self, other: Self, bits: u32) -> Self {
        unsigned_lanes!(bits, self, other, vminq_u8, vminq_u16, vminq_u32, smaller_u64)
    }

    #[inline(always)]
    fn multiply_f32(self, other: Self) -> Self {
        lanes!(vmulq_f32, vreinterpretq_f32_u64, vreinterpretq_u64_f32, self, other)
    }

    #[inline(always)]
    fn add_square_f32(self, root: Self) -> Self {
        // SAFETY: NEON is part of the target.
        self.zip(root, |sum, root| unsafe {
            let (sum, root) = (vreinterpretq_f32_u64(sum), vreinterpretq_f32_u64(root));
            vreinterpretq_u64_f32(vaddq_f32(sum, vmulq_f32(root, root)))
        })
    }

    #[inline(always)]
    fn add_square_f64(self, root: Self) -> Self {
        // SAFETY: NEON is part of the target.
        self.zip(root, |sum, root| unsafe {
            let (sum, root) = (vreinterpretq_f64_u64(sum), vreinterpretq_f64_u64(root));
            vreinterpretq_u64_f64(vaddq_f64(sum, vmulq_f64(root, root)))
        })
    }
}

impl Neon {
    /// 32-bit lanes moved left; right by negative numbers.
    #[inline(always)]
    fn shifted(self, by: i32) -> Self {
        // SAFETY: NEON is part of the target.
        self.map(|register| unsafe {
            vreinterpretq_u64_u32(vshlq_u32(vreinterpretq_u32_u64(register), vdupq_n_s32(by)))
        })
    }
}

#[inline(always)]
fn add_u64(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vaddq_u64(a, b) }
}

// NEON has no extremes of 64-bit lanes: they are chosen by a comparison.

#[inline(always)]
fn larger_s64(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vbslq_u64(vcgtq_s64(vreinterpretq_s64_u64(a), vreinterpretq_s64_u64(b)), a, b) }
}

#[inline(always)]
fn larger_u64(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vbslq_u64(vcgtq_u64(a, b), a, b) }
}

#[inline(always)]
fn smaller_u64(a: uint64x2_t, b: uint64x2_t) -> uint64x2_t {
    // SAFETY: NEON is part of the target.
    unsafe { vbslq_u64(vcgtq_u64(a, b), b, a) }
}
