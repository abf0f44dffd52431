//! A line of 64 bytes in vector registers: what the passes over a chunk are written in.

use super::keys::LINE;

/// 64 bytes, taken as lanes of 16, 32 or 64 bits by the operation. Little-endian.
///
/// The implementations that use vector instructions may only be used inside a function that enables them.
pub trait Line: Copy {
    /// The 64 bytes.
    fn load(bytes: &[u8; LINE]) -> Self;
    /// The bytes back.
    fn store(self) -> [u8; LINE];
    /// Every 32-bit lane is `word`.
    fn splat(word: u32) -> Self;
    /// Sum of 64-bit lanes modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// Adds every 64-bit lane of `other` to some lane of `self`, modulo 2^64: where only the total matters, it is
    /// free which.
    fn add_anywhere(self, other: Self) -> Self;
    /// In every 64-bit lane the product of its two halves.
    fn multiply_halves(self) -> Self;
    /// The bits that are set in both.
    fn and(self, other: Self) -> Self;
    /// Exclusive or.
    fn xor(self, other: Self) -> Self;
    /// 32-bit lanes moved left.
    fn left<const BY: u32>(self) -> Self;
    /// 32-bit lanes moved right, zeros moved in.
    fn right<const BY: u32>(self) -> Self;
    /// Lanes of `bits` bits (16, 32 or 64), added to themselves.
    fn double(self, bits: u32) -> Self;
    /// The larger of signed lanes of `bits` bits. Here and below, a lane of `other` may meet any lane of `self`.
    fn max_signed(self, other: Self, bits: u32) -> Self;
    /// The larger of unsigned lanes of `bits` bits.
    fn max(self, other: Self, bits: u32) -> Self;
    /// The smaller of unsigned lanes of `bits` bits.
    fn min(self, other: Self, bits: u32) -> Self;
    /// Product of float32 lanes.
    fn multiply_f32(self, other: Self) -> Self;
    /// `self + root * root` in float32 lanes, rounded twice.
    fn add_square_f32(self, root: Self) -> Self;
    /// `self + root * root` in float64 lanes, rounded twice.
    fn add_square_f64(self, root: Self) -> Self;
}

/// The line that every machine can work on.
#[derive(Clone, Copy)]
pub struct Plain([u64; 8]);

impl Plain {
    #[inline(always)]
    fn map<const WIDTH: usize>(self, lane: impl Fn([u8; WIDTH]) -> [u8; WIDTH]) -> Self {
        let mut bytes = self.store();
        for piece in bytes.as_chunks_mut::<WIDTH>().0 {
            *piece = lane(*piece);
        }
        Plain::load(&bytes)
    }

    #[inline(always)]
    fn zip<const WIDTH: usize>(
        self,
        other: Self,
        lane: impl Fn([u8; WIDTH], [u8; WIDTH]) -> [u8; WIDTH],
    ) -> Self {
        let (mut bytes, other) = (self.store(), other.store());
        for (piece, other) in bytes.as_chunks_mut::<WIDTH>().0.iter_mut().zip(other.as_chunks::<WIDTH>().0) {
            *piece = lane(*piece, *other);
        }
        Plain::load(&bytes)
    }

    #[inline(always)]
    fn zip_f32(self, other: Self, lane: impl Fn(f32, f32) -> f32) -> Self {
        self.zip(other, |a, b| lane(f32::from_le_bytes(a), f32::from_le_bytes(b)).to_le_bytes())
    }
}

/// Applies an operation on integers of the type that has the wanted number of bits.
macro_rules! by_width {
    ($bits:expr, $a:expr, $b:expr, $n8:ident, $n16:ident, $n32:ident, $n64:ident: $operation:ident) => {
        match $bits {
            8 => $a.zip($b, |a, b| $n8::from_le_bytes(a).$operation($n8::from_le_bytes(b)).to_le_bytes()),
            16 => $a.zip($b, |a, b| $n16::from_le_bytes(a).$operation($n16::from_le_bytes(b)).to_le_bytes()),
            32 => $a.zip($b, |a, b| $n32::from_le_bytes(a).$operation($n32::from_le_bytes(b)).to_le_bytes()),
            _ => $a.zip($b, |a, b| $n64::from_le_bytes(a).$operation($n64::from_le_bytes(b)).to_le_bytes()),
        }
    };
}

impl Line for Plain {
    #[inline(always)]
    fn load(bytes: &[u8; LINE]) -> Self {
        let mut words = [0; 8];
        for (word, piece) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*piece);
        }
        Plain(words)
    }

    #[inline(always)]
    fn store(self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        for (piece, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *piece = word.to_le_bytes();
        }
        bytes
    }

    #[inline(always)]
    fn splat(word: u32) -> Self {
        Plain([u64::from(word) << 32 | u64::from(word); 8])
    }

    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = word.wrapping_add(other);
        }
        self
    }

    #[inline(always)]
    fn add_anywhere(self, other: Self) -> Self {
        self.add(other)
    }

    #[inline(always)]
    fn multiply_halves(self) -> Self {
        Plain(self.0.map(|word| (word & 0xffff_ffff) * (word >> 32)))
    }

    #[inline(always)]
    fn and(mut self, other: Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= other;
        }
        self
    }

    #[inline(always)]
    fn xor(mut self, other: Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word ^= other;
        }
        self
    }

    #[inline(always)]
    fn left<const BY: u32>(self) -> Self {
        self.map(|lane| (u32::from_le_bytes(lane) << BY).to_le_bytes())
    }

    #[inline(always)]
    fn right<const BY: u32>(self) -> Self {
        self.map(|lane| (u32::from_le_bytes(lane) >> BY).to_le_bytes())
    }

    #[inline(always)]
    fn double(self, bits: u32) -> Self {
        by_width!(bits, self, self, u8, u16, u32, u64: wrapping_add)
    }

    #[inline(always)]
    fn max_signed(self, other: Self, bits: u32) -> Self {
        by_width!(bits, self, other, i8, i16, i32, i64: max)
    }

    #[inline(always)]
    fn max(self, other: Self, bits: u32) -> Self {
        by_width!(bits, self, other, u8, u16, u32, u64: max)
    }

    #[inline(always)]
    fn min(self, other: Self, bits: u32) -> Self {
        by_width!(bits, self, other, u8, u16, u32, u64: min)
    }

    #[inline(always)]
    fn multiply_f32(self, other: Self) -> Self {
        self.zip_f32(other, |a, b| a * b)
    }

    #[inline(always)]
    fn add_square_f32(self, root: Self) -> Self {
        self.zip_f32(root, |sum, root| sum + root * root)
    }

    #[inline(always)]
    fn add_square_f64(self, root: Self) -> Self {
        self.zip(root, |sum, root| {
            let root = f64::from_le_bytes(root);
            (f64::from_le_bytes(sum) + root * root).to_le_bytes()
        })
    }
}
