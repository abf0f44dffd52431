//! The key stream of the content hash.

use super::CHUNK;

/// Bytes of a line, the unit in which a chunk is hashed. One AVX-512 register, one cache line.
pub const LINE: usize = 64;
/// 64-bit words of a line.
pub const WORDS: usize = LINE / 8;
/// Lines of a chunk.
pub const LINES: usize = CHUNK / LINE;

/// Keys of one line.
pub type Key = [u64; WORDS];

/// One key a line, and one more: the second sum uses the key of the line after.
#[repr(align(64))]
pub struct Keys(pub [Key; LINES + 1]);

/// The output of SplitMix64 from seed 0: fixed for all time, since traces keep the hashes.
pub static KEYS: Keys = {
    let mut keys = [[0; WORDS]; LINES + 1];
    let mut state = 0u64;
    let mut line = 0;
    while line <= LINES {
        let mut word = 0;
        while word < WORDS {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            keys[line][word] = mix(state);
            word += 1;
        }
        line += 1;
    }
    Keys(keys)
};

/// The finaliser of SplitMix64: a bijection in which every input bit moves every output bit.
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
