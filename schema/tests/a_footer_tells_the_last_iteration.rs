//! The last iteration of a process is known without reading its records, if all of its segments were sealed; and the
//! bytes that a reader has read are those of its segments.

mod common;

use std::fs;
use std::path::Path;

use common::{entry, event, header_of, read_all, sample};
use traincheck_schema::run::{Process, Run};
use traincheck_schema::segment::{Ending, SegmentWriter};

fn only_process(folder: &Path) -> Process {
    Run::open(folder).unwrap().processes.remove(0)
}

/// What reading all records says.
fn read_to_the_end(process: &Process) -> u32 {
    let mut reader = process.reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(reader.bytes_read(), process.size() - reader.torn().map_or(0, |t| t.bytes_after_last_frame));
    batches.iter().flat_map(|batch| &batch.events).map(|event| event.iteration).max().unwrap()
}

#[test]
fn of_a_sealed_segment() {
    let folder = tempfile::tempdir().unwrap();
    sample(&folder.path().join("host-42-0.tcs"));
    let process = only_process(folder.path());
    assert_eq!(process.last_iteration(), Some(read_to_the_end(&process)));
}

#[test]
fn of_two_segments() {
    let folder = tempfile::tempdir().unwrap();
    for (number, reason) in [(0, Ending::CONTINUED), (1, "exit")] {
        let path = folder.path().join(format!("host-42-{number}.tcs"));
        let mut writer = SegmentWriter::create(&path, &header_of(number)).unwrap();
        writer.write_dictionary(&[entry(1, "f")]).unwrap();
        writer.write_block(&[event(5_000), event(9_000 + number * 1_000)], &[], &[], &[]).unwrap();
        writer.seal(&Ending { reason: reason.to_owned(), ..Ending::default() }).unwrap();
    }
    let process = only_process(folder.path());
    assert_eq!(process.last_iteration(), Some(10));
    assert_eq!(read_to_the_end(&process), 10);
    // Killed after the first: how it went on nobody knows.
    fs::remove_file(folder.path().join("host-42-1.tcs")).unwrap();
    assert_eq!(only_process(folder.path()).last_iteration(), None);
}

#[test]
fn not_of_a_segment_that_is_cut_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (bytes, begins) = sample(&path);
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let process = only_process(folder.path());
        assert_eq!(process.last_iteration(), None, "{length} bytes");
        if begins.get(3).is_some_and(|events| length as u64 >= *events) {
            read_to_the_end(&process);
        }
    }
}

#[test]
fn not_where_a_header_on_the_way_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let (bytes, begins) = sample(&path);
    for begin in begins {
        let mut damaged = bytes.clone();
        damaged[begin as usize + 20] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(only_process(folder.path()).last_iteration(), None, "header at {begin}");
    }
}
