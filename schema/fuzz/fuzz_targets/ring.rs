//! Reads bytes as a ring, from every position that the first byte can name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use traincheck_schema::ring::{HEADER_SIZE, Ring};

fuzz_target!(|data: &[u8]| {
    let Some((from, rest)) = data.split_first() else { return };
    // The header page is mostly empty: its first 320 bytes are given, the rest is zeros.
    let (head, records) = rest.split_at(rest.len().min(320));
    let mut words = vec![0_u64; (HEADER_SIZE + records.len()) / 8];
    // SAFETY: the words are initialised, any bytes make words, and the borrow ends before the ring is made.
    let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 8) };
    bytes[..head.len()].copy_from_slice(head);
    let fitting = bytes.len() - HEADER_SIZE;
    bytes[HEADER_SIZE..].copy_from_slice(&records[..fitting]);
    let length = bytes.len();
    // SAFETY: the words are aligned and outlive the ring.
    let Ok(ring) = (unsafe { Ring::attach(words.as_ptr().cast(), length) }) else { return };
    let mut count = 0;
    _ = ring.read(u64::from(*from) * 64, ring.head(), |_| count += 1);
    _ = ring.read(ring.tail(), ring.head(), |_| count += 1);
    assert!(count <= 2 * records.len() / 64);
});
