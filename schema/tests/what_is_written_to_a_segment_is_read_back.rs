//! Round trips of records through a segment.

mod common;

use std::path::Path;

use common::{
    any_argument, any_collective, any_entry, any_event, any_state, argument, bits, collective, entry, event,
    header, read_all, state,
};
use proptest::prelude::*;
use traincheck_schema::record::{Argument, Collective, DictEntry, Event, State};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{
    DropReason, Dropped, Ending, Frame, MAX_ROWS, ProcessHeader, Records, RingPosition, SegmentReader,
    SegmentWriter, WriteError,
};

fn frames(path: &Path) -> Vec<Frame> {
    let mut reader = SegmentReader::open(path).unwrap();
    std::iter::from_fn(|| reader.next_frame()).map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records(
        events in prop::collection::vec(any_event(), 0..200),
        states in prop::collection::vec(any_state(), 0..100),
        arguments in prop::collection::vec(any_argument(), 0..100),
        collectives in prop::collection::vec(any_collective(), 0..100),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host-1-0.tcs");
        let mut writer = SegmentWriter::create(&path, &header()).unwrap();
        let records =
            Records { events: &events, states: &states, arguments: &arguments, collectives: &collectives };
        writer.write_records(records, &[], &[]).unwrap();
        writer.seal(&Ending::default()).unwrap();

        let (mut read_events, mut read_states): (Vec<Event>, Vec<State>) = (Vec::new(), Vec::new());
        let mut read_arguments: Vec<Argument> = Vec::new();
        let mut read_collectives: Vec<Collective> = Vec::new();
        for frame in frames(&path) {
            match frame {
                Frame::Events(rows, _) => read_events.extend(rows),
                Frame::States(rows, _) => read_states.extend(rows),
                Frame::Arguments(rows, _) => read_arguments.extend(rows),
                Frame::Collectives(rows, _) => read_collectives.extend(rows),
                _ => {}
            }
        }
        prop_assert_eq!(read_events, events);
        prop_assert_eq!(read_arguments, arguments);
        prop_assert_eq!(read_collectives, collectives);
        let bits_of = |states: &[State]| states.iter().map(bits).collect::<Vec<_>>();
        prop_assert_eq!(bits_of(&read_states), bits_of(&states));
    }

    #[test]
    fn any_placement(
        (rank, world_size, local_rank, node, attempt) in any::<(Option<u32>, Option<u32>, Option<u32>, Option<u32>, Option<u32>)>(),
        (launcher, job) in ("[a-z]{0,8}", "[a-z0-9.-]{0,70}"),
    ) {
        let placed =
            ProcessHeader { rank, world_size, local_rank, node, attempt, launcher, job, ..header() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host-1-0.tcs");
        SegmentWriter::create(&path, &placed).unwrap().seal(&Ending::default()).unwrap();
        prop_assert_eq!(&frames(&path)[0], &Frame::Header(Box::new(placed)));
    }

    #[test]
    fn any_dictionary(entries in (1..50_u32).prop_flat_map(|n| (1..=n).map(any_entry).collect::<Vec<_>>())) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host-1-0.tcs");
        let mut writer = SegmentWriter::create(&path, &header()).unwrap();
        writer.write_dictionary(&entries).unwrap();
        writer.seal(&Ending::default()).unwrap();

        let run = Run::open(&path).unwrap();
        let mut reader = run.processes[0].reader();
        prop_assert_eq!(read_all(&mut reader).1.len(), 0);
        let read: Vec<DictEntry> = reader.dictionary().iter().cloned().collect();
        prop_assert_eq!(read, entries);
    }
}

#[test]
fn header_losses_positions_and_ending() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    let dropped = [Dropped { ring: 7, count: 1 << 40, reason: DropReason::DictionaryFull }];
    let positions = [RingPosition { ring: 7, position: 640 }, RingPosition { ring: 8, position: 64 }];
    writer.write_block(&[event(5)], &[state(6)], &dropped, &positions).unwrap();
    let ending = Ending {
        reason: "exit".to_owned(),
        monotonic_ns: 99,
        account: vec![("frames".to_owned(), 12), ("fingerprints".to_owned(), 34)],
    };
    let written = writer.bytes_written();
    writer.seal(&ending).unwrap();

    let frames = frames(&path);
    assert_eq!(frames[0], Frame::Header(Box::new(header())));
    let Frame::Events(_, end) = &frames[1] else { panic!("{:?}", frames[1]) };
    assert!(end.more && end.dropped.is_empty() && end.positions.is_empty(), "they ride on the last frame");
    let Frame::States(_, end) = &frames[2] else { panic!("{:?}", frames[2]) };
    assert!(!end.more && end.dropped == dropped && end.positions == positions);
    let Frame::Footer(footer) = &frames[3] else { panic!("{:?}", frames[3]) };
    assert_eq!(footer.ending, ending);
    assert_eq!((footer.totals.events, footer.totals.states, footer.totals.dropped), (1, 1, 1 << 40));
    assert_eq!(footer.totals.frames, 3);
    assert_eq!(footer.frames.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!((footer.frames[2].first_time, footer.frames[2].last_time), (6, 6));
    assert!(footer.frames[2].offset < written && written < path.metadata().unwrap().len());

    let run = Run::open(folder.path()).unwrap();
    let mut reader = run.processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.len(), 1, "one block is one batch");
    assert_eq!(batches[0].dropped, dropped);
    assert_eq!(reader.header(), Some(&header()));
    assert_eq!(reader.ending(), Some(&ending));
    assert_eq!(reader.torn(), None);
}

/// A reader of version 1.0 passes over frames of arguments, and one of 1.3 over those of collectives. What it reads of a block must be its end, too.
#[test]
fn the_end_of_a_block_is_never_on_its_arguments_or_collectives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    let positions = [RingPosition { ring: 7, position: 640 }];
    let arguments = vec![argument(3); MAX_ROWS + 1];
    for events in [&[][..], &[event(2)]] {
        let collectives = &[collective(4)];
        let records = Records { events, arguments: &arguments, collectives, ..Records::default() };
        writer.write_records(records, &[], &positions).unwrap();
    }
    writer.seal(&Ending::default()).unwrap();
    let ends: Vec<(u8, bool)> = frames(&path)
        .iter()
        .filter_map(|frame| match frame {
            Frame::Arguments(_, end) => Some((6, end.more)),
            Frame::Collectives(_, end) => Some((7, end.more)),
            Frame::Events(_, end) => Some((3, end.more)),
            _ => None,
        })
        .collect();
    let block = [(6, true), (6, true), (7, true), (3, false)];
    assert_eq!(ends, [block, block].concat());

    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty() && reader.ending().is_some(), "{errors:?}");
    assert_eq!(batches.len(), 2);
    assert!(batches.iter().all(|batch| batch.arguments == arguments));
}

#[test]
fn a_block_longer_than_a_frame_is_one_batch_in_order_of_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    let times = 1..=(3 * MAX_ROWS as u64 + 5);
    let mut events: Vec<Event> = times.map(event).collect();
    let states = vec![state(9); MAX_ROWS + 1];
    let sorted = events.clone();
    events.rotate_left(1000);
    writer.write_block(&events, &states, &[], &[RingPosition { ring: 0, position: 64 }]).unwrap();
    writer.seal(&Ending::default()).unwrap();

    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].events, sorted);
    assert_eq!(batches[0].states, states);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    let mut writer = SegmentWriter::create(&path, &header()).unwrap();
    let entries: Vec<DictEntry> = (1..=1000).map(|id| entry(id, &"é€".repeat(2000))).collect();
    writer.write_dictionary(&entries).unwrap();
    writer.seal(&Ending::default()).unwrap();
    let mut reader = Run::open(&path).unwrap().processes[0].reader();
    assert_eq!(read_all(&mut reader).1.len(), 0);
    assert_eq!(reader.dictionary().len(), 1000);
    let text = reader.dictionary().text(1000);
    assert!((4094..=4096).contains(&text.len()) && entries[0].text.starts_with(text), "{}", text.len());
}

#[test]
fn a_segment_is_never_written_over_and_only_its_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    SegmentWriter::create(&path, &header()).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = SegmentWriter::create(&path, &header());
    assert!(matches!(again, Err(WriteError::Create { .. })), "{:?}", again.err());
}
