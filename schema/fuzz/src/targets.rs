//! What is done with the bytes that a fuzzer makes up; shared by the fuzz targets and by the tests that replay them.

use std::path::Path;

use traincheck_schema::ring::{HEADER_SIZE, Ring};
use traincheck_schema::segment::SegmentReader;

#[path = "../../tests/common/damage.rs"]
mod damage;

/// Reads bytes as a segment. The first byte chooses how far they get: as they are; with all checksums made
/// right; or as the payload of a frame that is right.
pub fn segment(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = match how % 10 {
        0 => rest.to_vec(),
        1 | 2 => {
            let mut bytes = rest.to_vec();
            damage::reseal(&mut bytes);
            bytes
        }
        kind => damage::wrap(&[(kind - 2, rest.to_vec(), rest.len() as u32)]),
    };
    let most = bytes.len() + 10;
    let open = |bytes| SegmentReader::new(bytes, Path::new("memory.tcs"));
    if let Ok(reader) = open(bytes.clone()) {
        reader.footer();
    }
    let Ok(mut reader) = open(bytes) else { return };
    for _ in 0..most {
        if reader.next_frame().is_none() {
            return;
        }
    }
    panic!("there is no end to it");
}

/// Reads bytes as a ring, from every position that the first byte can name.
pub fn ring(data: &[u8]) {
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
}
