//! Following a process: whole frames as they come, from one segment to the next, to the footer or the kill.

mod common;

use std::io::Write;

use common::{FileRing, entry, event, header, header_of, sample};
use traincheck_schema::ring::RingInfo;
use traincheck_schema::run::{ProcessReader, Run};
use traincheck_schema::segment::{Ending, SegmentWriter};

/// The times of what there is to read now.
fn now(reader: &mut ProcessReader) -> Vec<u64> {
    let mut times = Vec::new();
    while let Some(batch) = reader.next_batch() {
        times.extend(batch.unwrap().events.iter().map(|event| event.time));
    }
    times
}

fn ending(reason: &str) -> Ending {
    Ending { reason: reason.to_owned(), ..Ending::default() }
}

#[test]
fn to_its_footer() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::create(&folder.path().join("host-42-0.tcs"), &header()).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    reader.follow();
    assert!(now(&mut reader).is_empty());
    assert_eq!(reader.header(), Some(&header()));

    writer.write_dictionary(&[entry(1, "name")]).unwrap();
    writer.write_block(&[event(1), event(2)], &[], &[], &[]).unwrap();
    assert_eq!(now(&mut reader), [1, 2]);
    assert_eq!(reader.dictionary().text(1), "name");
    assert!(now(&mut reader).is_empty());
    writer.write_block(&[event(3)], &[], &[], &[]).unwrap();
    assert_eq!(now(&mut reader), [3]);

    // It goes on in another segment, which is there a little later.
    writer.seal(&ending(Ending::CONTINUED)).unwrap();
    assert!(now(&mut reader).is_empty());
    assert!(!reader.finished() && reader.ending().is_none() && reader.torn().is_none());
    let next = header_of(1);
    let mut writer = SegmentWriter::create(&folder.path().join("host-42-1.tcs"), &next).unwrap();
    writer.write_block(&[event(4)], &[], &[], &[]).unwrap();
    assert_eq!(now(&mut reader), [4]);
    writer.seal(&ending("exit")).unwrap();
    assert!(now(&mut reader).is_empty());
    assert!(reader.finished());
    assert_eq!(reader.ending(), Some(&ending("exit")));
    assert_eq!(reader.torn(), None);
}

#[test]
fn to_its_death() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::create(&folder.path().join("host-42-0.tcs"), &header()).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    reader.follow();
    writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    assert_eq!(now(&mut reader), [1]);
    // A ring that was made after the run was opened.
    let info = RingInfo { pid: 42, ..RingInfo::default() };
    let ring = FileRing::create(&folder.path().join("host-42-r0.ring"), 4096, &info);
    ring.ring.push_event(&event(2));
    assert!(now(&mut reader).is_empty());
    assert!(!reader.finished());
    reader.stop_following();
    assert_eq!(now(&mut reader), [2]);
    assert!(reader.finished());
    assert_eq!(reader.torn().unwrap().events_recovered, 1);
}

#[test]
fn byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, begins) = sample(&folder.path().join("whole.tcs"));
    let path = folder.path().join("host-42-0.tcs");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut reader = Run::open(&path).unwrap().processes[0].reader();
    reader.follow();
    let mut batches = 0;
    for (length, byte) in (1..).zip(&bytes) {
        file.write_all(&[*byte]).unwrap();
        while let Some(batch) = reader.next_batch() {
            batch.unwrap();
            batches += 1;
        }
        assert_eq!(batches, begins[3..].iter().filter(|begin| **begin <= length).count());
        assert_eq!(reader.finished(), length == bytes.len() as u64);
    }
    assert_eq!(batches, 6);
}

#[test]
fn and_when_its_folder_goes_away_that_is_said_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    std::fs::create_dir(&path).unwrap();
    let mut writer = SegmentWriter::create(&path.join("host-42-0.tcs"), &header()).unwrap();
    writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    for follow in [true, false] {
        let mut reader = Run::open(&path).unwrap().processes[0].reader();
        if follow {
            reader.follow();
        }
        assert!(reader.next_batch().unwrap().is_ok());
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        let said = reader.next_batch().unwrap().unwrap_err().to_string();
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert!(reader.next_batch().is_none());
        assert_eq!(reader.finished(), !follow);
        std::fs::rename(folder.path().join("elsewhere"), &path).unwrap();
    }
}

#[test]
fn and_what_was_written_before_the_next_segment_is_not_lost() {
    // A segment that was abandoned without a footer, with frames that were not there at the last look.
    let folder = tempfile::tempdir().unwrap();
    let mut writer = SegmentWriter::create(&folder.path().join("host-42-0.tcs"), &header()).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    reader.follow();
    assert!(now(&mut reader).is_empty());
    writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    let mut writer = SegmentWriter::create(&folder.path().join("host-42-1.tcs"), &header_of(1)).unwrap();
    writer.write_block(&[event(2)], &[], &[], &[]).unwrap();
    assert_eq!(reader.next_batch().unwrap().unwrap().events[0].time, 1);
    let said = reader.next_batch().unwrap().unwrap_err().to_string();
    assert!(said.contains("no footer"), "{said}");
    assert_eq!(now(&mut reader), [2]);
}
