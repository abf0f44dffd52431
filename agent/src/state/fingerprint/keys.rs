//! The key stream of the content hash.

/// Bytes of a chunk. Part of the definition of the hash.
pub const CHUNK: usize = 8192;
/// Bytes of a line, the unit in which a chunk is hashed. One AVX-512 register, one cache line.
pub const LINE: usize = 64;
/// Lines of a chunk.
pub const LINES: usize = CHUNK / LINE;

/// Keys of one line, as the bytes of little-endian words.
pub type Key = [u8; LINE];

/// One key a line, and one more: the second sum uses the key of the line after.
#[repr(align(64))]
pub struct Keys(pub [Key; LINES + 1]);

/// The output of SplitMix64 from seed 0: fixed for all time, since traces keep the hashes.
pub static KEYS: Keys = {
    let mut keys = [[0; LINE]; LINES + 1];
    let mut state = 0u64;
    let mut byte = 0;
    while byte < LINE * (LINES + 1) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = mix(state).to_le_bytes();
        let mut part = 0;
        while part < 8 {
            keys[byte / LINE][byte % LINE] = word[part];
            byte += 1;
            part += 1;
        }
    }
    Keys(keys)
};

/// The finaliser of SplitMix64: a bijection in which every input bit moves every output bit.
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
