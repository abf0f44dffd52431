//! Damage is told where it is, and what is not damaged is still read.

mod common;

use common::{read_all, read_frames, sample, sample_with_arguments};
use traincheck_schema::run::{ReadError, Run};

/// What reading `bytes`, damaged at `at`, must come to.
fn judge(bytes: Vec<u8>, at: usize, begins: &[u64], whole: &[traincheck_schema::segment::Frame]) {
    let (frames, errors, _, _) = read_frames(bytes);
    // All offsets of the frame that the byte belongs to; the header of the file is one of its own.
    let hit = begins.iter().filter(|begin| **begin <= at as u64).count();
    let expected_offset = if hit == 0 { 0 } else { begins[hit - 1] };
    assert_eq!(errors.len(), 1, "byte {at}: {errors:?}");
    match &errors[0] {
        ReadError::Damaged { path, offset, what } => {
            assert_eq!(path.to_str(), Some("memory.tcs"));
            assert_eq!(*offset, expected_offset, "byte {at}");
            assert!(!what.is_empty());
            let said = errors[0].to_string();
            assert!(said.contains("memory.tcs") && said.contains(&format!("offset {offset}")), "{said}");
        }
        other => panic!("byte {at}: {other}"),
    }
    // Every other frame is there.
    let mut rest = whole.to_vec();
    if hit > 0 {
        rest.remove(hit - 1);
    }
    assert_eq!(frames, rest, "byte {at}");
}

#[test]
fn wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, begins) in [
        sample(&folder.path().join("host-42-0.tcs")),
        sample_with_arguments(&folder.path().join("host-43-0.tcs")),
    ] {
        damage_everywhere(&bytes, &begins);
    }
}

fn damage_everywhere(bytes: &[u8], begins: &[u64]) {
    let (whole, ..) = read_frames(bytes.to_vec());
    for at in 0..bytes.len() {
        // Every bit position comes up at every eighth byte, and at every byte there is one more pattern.
        for mask in [1_u8 << (at % 8), 0xff] {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= mask;
            judge(damaged, at, begins, &whole);
        }
    }
}

#[test]
fn a_stretch_of_zeros_costs_only_the_frames_it_touches() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, begins) = sample(&folder.path().join("host-42-0.tcs"));
    let (whole, ..) = read_frames(bytes.clone());
    // From the middle of frame 2 to the middle of frame 4.
    let (from, to) = (begins[2] as usize + 60, begins[4] as usize + 10);
    let mut damaged = bytes;
    damaged[from..to].fill(0);
    let (frames, errors, sealed, _) = read_frames(damaged);
    assert!(sealed);
    assert!(!errors.is_empty());
    assert_eq!(frames, [&whole[..2], &whole[5..]].concat());
}

#[test]
fn missing_and_repeated_frames_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, begins) = sample(&folder.path().join("host-42-0.tcs"));
    let [a, b, c] = [3, 4, 5].map(|i| begins[i] as usize);
    let without = [&bytes[..a], &bytes[b..]].concat();
    let twice = [&bytes[..b], &bytes[a..]].concat();
    let swapped = [&bytes[..a], &bytes[b..c], &bytes[a..b], &bytes[c..]].concat();
    for damaged in [without, twice, swapped] {
        let (_, errors, sealed, _) = read_frames(damaged);
        assert!(sealed);
        assert!(
            errors.iter().any(|error| error.to_string().contains("missing or out of order")),
            "{errors:?}"
        );
    }
}

#[test]
fn junk_between_frames_is_passed_over_whatever_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, begins) = sample(&folder.path().join("host-42-0.tcs"));
    let (whole, ..) = read_frames(bytes.clone());
    let (before, behind) = bytes.split_at(begins[4] as usize);
    // The reader looks for the next frame some kilobytes at a time: it must not miss one at a seam.
    for length in (1..100).chain(4_000..4_200).chain(8_050..8_300).chain(16_200..16_500) {
        let junk = vec![0xf5; length];
        let (frames, errors, sealed, _) = read_frames([before, &junk, behind].concat());
        assert!(sealed, "{length} bytes");
        assert_eq!(frames, whole, "{length} bytes");
        let [ReadError::Damaged { offset, what, .. }] = &errors[..] else { panic!("{errors:?}") };
        assert_eq!(*offset, begins[4]);
        assert!(what.contains(&format!(" {length} bytes on")), "{what}");
    }
}

#[test]
fn junk_at_the_end_is_no_torn_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, begins) = sample(&folder.path().join("host-42-0.tcs"));
    let end = begins[5];
    for length in [1, 8, 39, 40, 1000] {
        let junk = vec![7; length];
        let (frames, errors, sealed, behind) = read_frames([&bytes[..end as usize], &junk].concat());
        assert_eq!((frames.len(), sealed, behind), (5, false, length as u64));
        assert!(matches!(&errors[..], [ReadError::Damaged { offset, .. }] if *offset == end), "{errors:?}");
    }
}

#[test]
fn bytes_behind_the_footer_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bytes, _) = sample(&folder.path().join("host-42-0.tcs"));
    let length = bytes.len() as u64;
    bytes.push(0);
    let (_, errors, ..) = read_frames(bytes);
    assert!(matches!(&errors[..], [ReadError::Damaged { offset, .. }] if *offset == length), "{errors:?}");
}

#[test]
fn a_run_goes_on_behind_the_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (mut bytes, begins) = sample(&path);
    bytes[begins[3] as usize + 50] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert_eq!(batches.len(), 5, "of six blocks");
    assert!(
        matches!(&errors[..], [ReadError::Damaged { path: named, offset, .. }]
        if *named == path && *offset == begins[3]),
        "{errors:?}"
    );
    assert_eq!(reader.ending().unwrap().reason, "exit");
}
