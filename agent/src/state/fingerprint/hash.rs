//! The content hash: 128 bits over the bytes of a tensor in logical element order.
//!
//! The bytes are cut into chunks of [`CHUNK`](super::CHUNK) bytes, the last padded with zeros to whole lines of
//! 64. Within a chunk, for each little-endian 64-bit word w at position i, with keys k from a fixed stream:
//!
//! ```text
//! t = w + k[i];     first  += low32(t) * high32(t)
//! u = w + k[i + 8]; second += low32(u) * high32(u)
//! plain += w                                            all modulo 2^64
//! ```
//!
//! Each chunk is mixed with its index into 128 bits, the mixed chunks are added up, and the number of bytes goes
//! in last. All sums commute: words and chunks may be taken in any order, on any number of lanes or threads, on
//! a GPU too, with the same bits.
//!
//! The sums are NH of UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999) with its Toeplitz shift for the
//! second one, in the shape of XXH3's accumulator; adding in 64 bits instead of twice in 32 lets a carry into the
//! upper half, which costs the bound one bit. For two different chunks and random keys either sum collides with
//! probability at most 2^-31, both with 2^-62, whatever the difference. The plain sum adds that a difference in
//! one word, or any that does not cancel in the sum, is never lost before the 128-bit mixing. The keys are public
//! and fixed: the hash holds against accidents, not against somebody who constructs a collision.

use super::keys::{KEYS, mix};
use super::vector::Line;

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The three sums of one chunk, spread over the words of a line.
#[derive(Clone, Copy)]
pub struct Sums<L> {
    first: L,
    second: L,
    plain: L,
}

impl<L: Line> Sums<L> {
    /// The sums of no line.
    #[inline(always)]
    pub fn new() -> Self {
        Sums { first: L::splat(0), second: L::splat(0), plain: L::splat(0) }
    }

    /// Takes in line number `number` of the chunk.
    #[inline(always)]
    pub fn add(&mut self, number: usize, line: L) {
        self.first = self.first.add_anywhere(line.add(L::load(&KEYS.0[number])).multiply_halves());
        self.second = self.second.add_anywhere(line.add(L::load(&KEYS.0[number + 1])).multiply_halves());
        self.plain = self.plain.add_anywhere(line);
    }
}

/// The hash so far of all chunks that were added.
#[derive(Clone, Copy, Default)]
pub struct Hash {
    low: u64,
    high: u64,
}

impl Hash {
    /// Takes in the sums of chunk number `index`.
    #[inline(always)]
    pub fn add<L: Line>(&mut self, index: u64, sums: &Sums<L>) {
        let (first, second, plain) = (total(sums.first), total(sums.second), total(sums.plain));
        let position = mix(plain.wrapping_add(index.wrapping_mul(2).wrapping_add(1).wrapping_mul(GOLDEN)));
        self.low = self.low.wrapping_add(mix(first ^ position));
        self.high = self.high.wrapping_add(mix(second.wrapping_add(position.rotate_left(32))));
    }

    /// The low and the high half for contents of `bytes` bytes.
    #[inline(always)]
    pub fn finish(&self, bytes: u64) -> (u64, u64) {
        let length = mix(bytes.wrapping_add(GOLDEN));
        let low = mix(self.low.wrapping_add(length) ^ self.high.rotate_left(32));
        (low, mix(self.high ^ length ^ low.rotate_left(17)))
    }
}

#[inline(always)]
fn total<L: Line>(lanes: L) -> u64 {
    lanes.store().as_chunks().0.iter().fold(0, |sum, &lane| sum.wrapping_add(u64::from_le_bytes(lane)))
}
