//! A full disk stops the recording and harms nothing that was recorded, and a footer can say so. In a file of its own, for the limit on
//! the size of files that stands in for a full disk holds for the whole process.

mod common;

use std::os::unix::fs::MetadataExt;

use common::{event, header, read_all, state};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{Ending, SegmentWriter, WriteError};

#[test]
fn a_block_that_finds_no_room_leaves_no_trace() {
    // Room for nothing; for a footer and half of the first frame; for a footer, the first frame and half of the second.
    assert_eq!(with_room_for(0, false), 0);
    for full in [false, true] {
        assert_eq!(with_room_for(FOR_THE_FOOTER + 20, full), 0);
        assert_ne!(with_room_for(FOR_THE_FOOTER + 700, full), 0, "the first frame was whole");
    }
}

/// Blocks before the disk is full.
const BEFORE: usize = 300;
/// What is kept behind each frame.
const FOR_THE_FOOTER: u64 = 4096;

/// Gives where in the block the error was, in bytes. The disk stays `full` until the end, or there is room again.
fn with_room_for(room: u64, full: bool) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    // So often that an index of all frames would not fit into what is kept for the footer.
    for _ in 0..BEFORE {
        writer.write_block(&[event(1)], &[], &[], &[]).unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    // A limit on the size of files stands in for a full disk.
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
    let make_room = || unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &before) };
    let Err(WriteError::Write { offset, .. }) = failed else { panic!("{failed:?}") };
    assert_eq!(std::fs::read(&path).unwrap(), whole, "what was written of it was taken back");
    let mut expected = vec![1; BEFORE];
    if !full {
        make_room();
        writer.write_block(&[event(3)], &[], &[], &[]).unwrap();
        expected.push(3);
    }
    let ending = Ending { reason: format!("{}no room", Ending::STOPPED), ..Ending::default() };
    writer.seal(&ending).unwrap();
    make_room();
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(
        metadata.blocks() * 512 < metadata.len() + 8192,
        "what was kept was not given back: {metadata:?}"
    );
    let mut reader = Run::open(&path).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    let times = batches.iter().flat_map(|batch| &batch.events).map(|e| e.time);
    assert_eq!(times.collect::<Vec<_>>(), expected);
    assert_eq!(reader.ending().unwrap().stopped(), Some("no room"));
    offset - whole.len() as u64
}
