//! Whatever bytes there are: an end, no panic, and no more memory than a reader may take. The same bytes every
//! time; the fuzzer looks further.

mod common;
#[path = "common/watched.rs"]
mod watched;

use std::sync::LazyLock;

use common::damage::{reseal, wrap};
use common::{FileRing, argument, collective, entry, event, sample, sample_with_arguments, state};
use proptest::prelude::*;
use traincheck_schema::ring::RingInfo;
use traincheck_schema::run::Run;
use traincheck_schema::segment::MAX_PAYLOAD;

/// As [`common::read_frames`]. No allocation of the whole test, not only of this call, may be larger than twice
/// the longest payload: that is the growth of a buffer that holds it.
fn read_frames(
    bytes: Vec<u8>,
) -> (Vec<traincheck_schema::segment::Frame>, Vec<traincheck_schema::run::ReadError>, bool, u64) {
    let read = common::read_frames(bytes);
    let largest = watched::largest();
    assert!(largest <= 2 * MAX_PAYLOAD as usize + 1024, "{largest} bytes were allocated at once");
    read
}

/// A right segment, and where its frames begin.
static SAMPLE: LazyLock<(Vec<u8>, Vec<u64>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    sample(&folder.path().join("host-42-0.tcs"))
});

/// Likewise, with arguments and collectives.
static ARGUMENTS: LazyLock<(Vec<u8>, Vec<u64>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    sample_with_arguments(&folder.path().join("host-42-0.tcs"))
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
        frame in 0..12_usize,
        kind in 0..8_u8,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
    ) {
        let mut all = payloads(&SAMPLE.0, &SAMPLE.1);
        all.extend(payloads(&ARGUMENTS.0, &ARGUMENTS.1));
        let (own, mut message) = all[frame].clone();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let size = message.len() as u32;
        read_frames(wrap(&[(if kind == 0 { own } else { kind }, message, size)]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_algorithm: prop::test_runner::RngAlgorithm::ChaCha,
        rng_seed: prop::test_runner::RngSeed::Fixed(8),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_in_the_files_of_a_run(
        changes in prop::collection::vec((0..3_usize, any::<prop::sample::Index>(), any::<u8>()), 0..10),
        cuts in any::<[Option<prop::sample::Index>; 3]>(),
        resealed in any::<[bool; 2]>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ring_path = folder.path().join("host-42-r0.ring");
        let info = RingInfo { pid: 42, ..RingInfo::default() };
        let ring = FileRing::create(&ring_path, 80 * 64, &info);
        for time in 0..10 {
            ring.ring.push_event(&event(time));
            ring.ring.push_dict(&entry(time as u32 + 1, "name"));
            ring.ring.push_state(&state(time));
            ring.ring.push_argument(&argument(time));
            ring.ring.push_collective(&collective(time));
        }
        let mut files = [SAMPLE.0.clone(), SAMPLE.0.clone(), std::fs::read(&ring_path).unwrap()];
        for (file, at, byte) in changes {
            let at = at.index(files[file].len());
            // What there is in a ring is its header and its records.
            files[file][if file == 2 && at % 2 == 0 { at % 320 } else { at }] = byte;
        }
        for (file, cut) in files.iter_mut().zip(cuts) {
            let length = cut.map_or(file.len(), |cut| cut.index(file.len()));
            file.truncate(length);
        }
        for (file, resealed) in files.iter_mut().zip(resealed) {
            if resealed {
                reseal(file);
            }
        }
        for (file, name) in files.iter().zip(["host-42-0.tcs", "host-42-1.tcs", "host-42-r0.ring"]) {
            std::fs::write(folder.path().join(name), file).unwrap();
        }
        // What is no segment at all, or of a newer version, is refused.
        if let Ok(run) = Run::open(folder.path()) {
            let mut reader = run.processes[0].reader();
            let mut calls = 0;
            while reader.next_batch().is_some() {
                calls += 1;
                prop_assert!(calls < 10_000, "there is no end to it");
            }
            prop_assert!(reader.finished());
            prop_assert!(reader.torn().is_some() != reader.ending().is_some());
        }
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
fn a_footer_that_counts_what_is_not_there_is_damage() {
    let (bytes, begins) = &*SAMPLE;
    let mut messages: Vec<_> = payloads(bytes, begins)
        .into_iter()
        .map(|(kind, message)| {
            let size = message.len() as u32;
            (kind, message, size)
        })
        .collect();
    // A block is gone, and the frames are numbered as if it had never been.
    messages.remove(4);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("host-42-0.tcs"), wrap(&messages)).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = common::read_all(&mut reader);
    assert_eq!(batches.len(), 5);
    assert!(errors.len() == 1 && errors[0].to_string().contains("the footer counts"), "{errors:?}");
}

#[test]
fn a_payload_of_another_size_than_it_says_is_damage() {
    for (size, zeros) in [(64, 72), (72, 64), (8 << 20, 16), ((8 << 20) + 1, (8 << 20) + 1), (0, 8)] {
        let (frames, errors, ..) = read_frames(wrap(&[(3, vec![0; zeros], size)]));
        assert_eq!((frames.len(), errors.len()), (0, 1), "{size} said, {zeros} there: {errors:?}");
    }
}

#[test]
fn what_a_header_says_is_not_allocated() {
    for at in [12, 16] {
        for size in [1 << 20, MAX_PAYLOAD, MAX_PAYLOAD + 1, u32::MAX / 2, u32::MAX] {
            // A frame whose header is right in itself.
            let mut bytes = wrap(&[(3, vec![0; 64], 64)]);
            let header = &mut bytes[16..56];
            header[at..at + 4].copy_from_slice(&size.to_le_bytes());
            let checksum = xxhash_rust::xxh3::xxh3_64(&header[..32]);
            header[32..].copy_from_slice(&checksum.to_le_bytes());
            let (frames, errors, sealed, _) = read_frames(bytes);
            assert!(frames.is_empty() && !sealed, "{size} at {at}");
            // A payload that goes on behind the end of the file is that of a torn segment.
            let torn = at == 12 && size <= MAX_PAYLOAD;
            assert_eq!(errors.len(), usize::from(!torn), "{size} at {at}: {errors:?}");
        }
    }
}

#[test]
fn rows_and_entries_that_a_message_says_it_has_are_not_allocated() {
    // Events: a struct of one word, whose first half is the number of rows. All columns are constants.
    for rows in [16_385_u32, u32::MAX] {
        let mut message = [[0, 0, 0, 0, 2, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0], [0; 8]].concat();
        message[16..20].copy_from_slice(&rows.to_le_bytes());
        for kind in [3, 4, 6] {
            let (_, errors, ..) = read_frames(wrap(&[(kind, message.clone(), 24)]));
            assert!(errors[0].to_string().contains("rows, more than"), "{errors:?}");
        }
    }
    // A dictionary whose list has many structs of no size.
    let list = |count: u32| {
        let tag = (count << 2).to_le_bytes();
        let pointer = [[0, 0, 0, 0, 0, 0, 1, 0], [1, 0, 0, 0, 7, 0, 0, 0]].concat();
        [&[0, 0, 0, 0, 3, 0, 0, 0], &pointer[..], &tag, &[0; 4]].concat()
    };
    for count in [1, 16_385, 1 << 28] {
        let (_, errors, ..) = read_frames(wrap(&[(2, list(count), 32)]));
        assert_eq!(errors.len(), 1, "{count}");
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
