//! Segments that are wrong in ways that checksums do not tell.

use traincheck_schema::segment::{FRAME_HEADER_SIZE, SYNC};
use xxhash_rust::xxh3::xxh3_64;

/// Makes all checksums in `bytes` right, so that what is behind them is reached.
pub fn reseal(bytes: &mut [u8]) {
    if bytes.len() >= 16 {
        let checksum = xxh3_64(&bytes[..12]) as u32;
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    }
    let mut at = 16;
    while at + FRAME_HEADER_SIZE <= bytes.len() {
        if bytes[at..at + 8] != SYNC {
            at += 1;
            continue;
        }
        let length = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap()) as usize;
        let begin = at + FRAME_HEADER_SIZE;
        let end = begin.saturating_add(length).min(bytes.len());
        let checksum = xxh3_64(&bytes[begin..end]);
        bytes[at + 24..at + 32].copy_from_slice(&checksum.to_le_bytes());
        let checksum = xxh3_64(&bytes[at..at + 32]);
        bytes[at + 32..at + 40].copy_from_slice(&checksum.to_le_bytes());
        at = end;
    }
}

/// A segment whose frames hold `messages` as payloads, with everything around them right.
pub fn wrap(messages: &[(u8, Vec<u8>, u32)]) -> Vec<u8> {
    let mut bytes = b"TCSEG\r\n\x1a\x01\0\0\0\0\0\0\0".to_vec();
    for (i, (kind, message, size)) in messages.iter().enumerate() {
        let payload = zstd::bulk::compress(message, 3).unwrap();
        bytes.extend_from_slice(&SYNC);
        bytes.extend_from_slice(&[*kind, 0, 0, 0]);
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&(i as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&payload);
    }
    reseal(&mut bytes);
    bytes
}
