//! Whatever bytes there are: an end, no panic, and no more memory than a reader may take. The same bytes every
//! time; the fuzzer looks further.

mod common;

use std::sync::LazyLock;

use common::{read_frames, sample};
use proptest::prelude::*;
use traincheck_schema::segment::{FRAME_HEADER_SIZE, SYNC};
use xxhash_rust::xxh3::xxh3_64;

/// A right segment, and where its frames begin.
static SAMPLE: LazyLock<(Vec<u8>, Vec<u64>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    sample(&folder.path().join("host-42-0.tcs"))
});

/// Makes all checksums in `bytes` right, so that what is behind them is reached.
fn reseal(bytes: &mut [u8]) {
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
fn wrap(messages: &[(u8, Vec<u8>, u32)]) -> Vec<u8> {
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

/// The uncompressed payloads of a segment that is right.
fn payloads(bytes: &[u8], begins: &[u64]) -> Vec<(u8, Vec<u8>)> {
    let frame = |begin: &u64| {
        let header = &bytes[*begin as usize..];
        let length = u32::from_le_bytes(header[12..16].try_into().unwrap()) as usize;
        (header[8], zstd::bulk::decompress(&header[40..40 + length], 1 << 20).unwrap())
    };
    begins.iter().map(frame).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_algorithm: prop::test_runner::RngAlgorithm::ChaCha,
        rng_seed: prop::test_runner::RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_frames(bytes);
    }

    #[test]
    fn any_bytes_in_place_of_some(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        resealed in any::<bool>(),
    ) {
        let mut bytes = SAMPLE.0.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 8);
        if resealed {
            reseal(&mut bytes);
        }
        read_frames(bytes);
    }

    #[test]
    fn any_bytes_in_a_message(
        frame in 0..9_usize,
        kind in 0..7_u8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let (bytes, begins) = &*SAMPLE;
        let (own, mut message) = payloads(bytes, begins)[frame].clone();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let size = message.len() as u32;
        read_frames(wrap(&[(if kind == 0 { own } else { kind }, message, size)]));
    }
}

#[test]
fn right_frames_wrapped_again_are_read() {
    // Otherwise the tests above would only try the checks of checksums.
    let (bytes, begins) = &*SAMPLE;
    let messages: Vec<_> = payloads(bytes, begins)
        .into_iter()
        .map(|(kind, message)| {
            let size = message.len() as u32;
            (kind, message, size)
        })
        .collect();
    let (frames, errors, sealed, _) = read_frames(wrap(&messages));
    assert!(errors.is_empty() && sealed, "{errors:?}");
    assert_eq!(frames, read_frames(bytes.clone()).0);
}

#[test]
fn a_payload_of_another_size_than_it_says_is_damage() {
    for (size, zeros) in [(64, 72), (72, 64), (8 << 20, 16), ((8 << 20) + 1, (8 << 20) + 1), (0, 8)] {
        let (frames, errors, ..) = read_frames(wrap(&[(3, vec![0; zeros], size)]));
        assert_eq!((frames.len(), errors.len()), (0, 1), "{size} said, {zeros} there: {errors:?}");
    }
}

#[test]
fn frames_of_a_newer_minor_version_are_passed_over() {
    // A message of one word, a struct without fields: a block of no events.
    let empty = [[0, 0, 0, 0, 1, 0, 0, 0], [0; 8]].concat();
    let (frames, errors, ..) = read_frames(wrap(&[(77, vec![1; 64], 3), (3, empty, 16)]));
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(frames[0], traincheck_schema::segment::Frame::Unknown(77));
    assert_eq!(frames.len(), 2);
}
