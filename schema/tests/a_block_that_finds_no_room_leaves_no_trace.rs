//! A full disk stops the recording and harms nothing that was recorded. In a file of its own, for the limit on
//! the size of files that stands in for a full disk holds for the whole process.

mod common;

use common::{event, header, read_all, state};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{Ending, SegmentWriter, WriteError};

#[test]
fn a_block_that_finds_no_room_leaves_no_trace() {
    // Room for nothing, for half of the first frame, and for that and half of the second.
    assert_eq!(with_room_for(0), 0);
    assert_eq!(with_room_for(20), 0);
    assert_ne!(with_room_for(700), 0, "the first frame was whole");
}

/// Gives where in the block the error was, in bytes.
fn with_room_for(room: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    // A limit on the size of files stands in for a full disk: the write stops half-way.
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain calls with valid pointers; only this test's process is concerned.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::getrlimit(libc::RLIMIT_FSIZE, &mut before);
        let limit = libc::rlimit { rlim_cur: whole.len() as u64 + room, ..before };
        libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
    }
    let states: Vec<_> = (2..100).map(state).collect();
    let failed = writer.write_block(&[event(2)], &states, &[], &[]);
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &before) };
    let Err(WriteError::Write { offset, .. }) = failed else { panic!("{failed:?}") };
    assert_eq!(std::fs::read(&path).unwrap(), whole, "what was written of it was taken back");
    writer.write_block(&[event(3)], &[], &[], &[]).unwrap();
    writer.seal(&Ending::default()).unwrap();
    let mut reader = Run::open(&path).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.iter().flat_map(|batch| &batch.events).map(|e| e.time).collect::<Vec<_>>(), [1, 3]);
    offset - whole.len() as u64
}
