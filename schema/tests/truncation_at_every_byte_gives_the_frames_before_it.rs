//! A segment that ends early, wherever that is, is a torn one: what is whole is read, and nothing is an error.

mod common;

use common::{read_all, read_frames, sample, sample_with_arguments};
use traincheck_schema::run::Run;

#[test]
fn of_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, begins) in [
        sample(&folder.path().join("host-42-0.tcs")),
        sample_with_arguments(&folder.path().join("host-43-0.tcs")),
    ] {
        cut_everywhere(bytes, &begins);
    }
}

fn cut_everywhere(bytes: Vec<u8>, begins: &[u64]) {
    let (whole, errors, sealed, _) = read_frames(bytes.clone());
    assert!(errors.is_empty() && sealed);
    assert_eq!(whole.len(), begins.len());

    for length in 0..bytes.len() {
        let (frames, errors, sealed, behind) = read_frames(bytes[..length].to_vec());
        assert!(errors.is_empty(), "cut at {length}: {errors:?}");
        assert!(!sealed, "cut at {length}");
        // A frame is whole if the next one could begin.
        let count = begins[1..].iter().filter(|begin| **begin <= length as u64).count();
        assert_eq!(frames, whole[..count], "cut at {length}");
        let sound = if length < 16 { 0 } else { begins[count] };
        assert_eq!(behind, length as u64 - sound, "cut at {length}");
    }
}

#[test]
fn of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (bytes, begins) = sample(&path);
    for length in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
        let (batches, errors) = read_all(&mut reader);
        assert!(errors.is_empty(), "cut at {length}: {errors:?}");
        let count = begins[3..].iter().filter(|begin| **begin <= length as u64).count();
        assert_eq!(batches.len(), count, "cut at {length}");
        assert!(batches.iter().all(|batch| !batch.recovered));
        assert_eq!(reader.ending(), None);
        let torn = reader.torn().unwrap();
        assert_eq!((torn.events_recovered, torn.states_recovered), (0, 0));
        assert!(torn.bytes_after_last_frame <= length as u64);
    }
}
