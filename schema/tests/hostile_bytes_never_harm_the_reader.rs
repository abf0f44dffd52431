//! Whatever bytes there are: an end, no panic, and no more memory than a reader may take. The same bytes every
//! time; the fuzzer looks further.

mod common;

use std::sync::LazyLock;

use common::damage::{reseal, wrap};
use common::{read_frames, sample};
use proptest::prelude::*;

/// A right segment, and where its frames begin.
static SAMPLE: LazyLock<(Vec<u8>, Vec<u64>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    sample(&folder.path().join("host-42-0.tcs"))
});

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
