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

use super::keys::{KEYS, Key, LINE, WORDS, mix};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The three sums of one chunk, spread over the words of a line.
#[derive(Clone, Copy, Default)]
pub struct Sums {
    first: [u64; WORDS],
    second: [u64; WORDS],
    plain: [u64; WORDS],
}

impl Sums {
    /// Takes in line number `line` of the chunk.
    #[inline(always)]
    pub fn add(&mut self, line: usize, bytes: &[u8; LINE]) {
        let (this, next): (&Key, &Key) = (&KEYS.0[line], &KEYS.0[line + 1]);
        let words = words(bytes);
        for lane in 0..WORDS {
            self.first[lane] = self.first[lane].wrapping_add(halves(words[lane].wrapping_add(this[lane])));
            self.second[lane] = self.second[lane].wrapping_add(halves(words[lane].wrapping_add(next[lane])));
            self.plain[lane] = self.plain[lane].wrapping_add(words[lane]);
        }
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
    pub fn add(&mut self, index: u64, sums: &Sums) {
        let (first, second, plain) = (total(&sums.first), total(&sums.second), total(&sums.plain));
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
fn words(bytes: &[u8; LINE]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let (pieces, _) = bytes.as_chunks::<8>();
    for lane in 0..WORDS {
        words[lane] = u64::from_le_bytes(pieces[lane]);
    }
    words
}

#[inline(always)]
fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) * (word >> 32)
}

#[inline(always)]
fn total(lanes: &[u64; WORDS]) -> u64 {
    lanes.iter().fold(0, |sum, &lane| sum.wrapping_add(lane))
}
