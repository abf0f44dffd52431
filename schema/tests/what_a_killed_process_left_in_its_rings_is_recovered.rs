//! A process that was killed, or could not write any more: its rings hold what is not in its segment.

mod common;

use std::path::Path;

use common::{FileRing, argument, collective, entry, event, header, read_all, state};
use traincheck_schema::record::{Argument, Collective, Event, State};
use traincheck_schema::ring::{HEADER_SIZE, RingError, RingInfo, RingRecord, read_ring_file};
use traincheck_schema::run::{Batch, ReadError, Run, Torn};
use traincheck_schema::segment::{DropReason, Dropped, Ending, Records, RingPosition, SegmentWriter};

/// A ring of each kind and a segment, as a process has them.
struct Traced {
    folder: tempfile::TempDir,
    events: FileRing,
    names: FileRing,
    writer: SegmentWriter,
}

impl Traced {
    fn start() -> Traced {
        let folder = tempfile::tempdir().unwrap();
        let info = RingInfo { pid: 42, index: 0, thread: 42, dictionary: false, made_wall_ns: 0 };
        let events = FileRing::create(&folder.path().join("host-42-r0.ring"), 64 * 64, &info);
        let info = RingInfo { index: 1, dictionary: true, ..info };
        let names = FileRing::create(&folder.path().join("host-42-names.ring"), 64 * 64, &info);
        let writer = SegmentWriter::create(&folder.path().join("host-42-0.tcs"), &header()).unwrap();
        Traced { folder, events, names, writer }
    }

    fn positions(&self) -> [RingPosition; 2] {
        [
            RingPosition { ring: 0, position: self.events.ring.head() },
            RingPosition { ring: 1, position: self.names.ring.head() },
        ]
    }

    /// What the writer thread does, as far as told: read, write, release.
    fn drain(&mut self, release: bool) {
        let (mut events, mut states, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        let (mut arguments, mut collectives) = (Vec::new(), Vec::new());
        for ring in [&self.events.ring, &self.names.ring] {
            ring.read(ring.tail(), ring.head(), |record| match record {
                RingRecord::Event(event) => events.push(event),
                RingRecord::State(state) => states.push(state),
                RingRecord::Argument(argument) => arguments.push(argument),
                RingRecord::Collective(collective) => collectives.push(collective),
                RingRecord::Dict(entry) => entries.push(entry),
            })
            .unwrap();
        }
        self.writer.write_dictionary(&entries).unwrap();
        let records =
            Records { events: &events, states: &states, arguments: &arguments, collectives: &collectives };
        self.writer.write_records(records, &[], &self.positions()).unwrap();
        if release {
            self.events.ring.release(self.events.ring.head());
            self.names.ring.release(self.names.ring.head());
        }
    }

    /// Dies, and is read.
    fn read(self) -> (Vec<Batch>, Vec<ReadError>, Option<Torn>, Vec<String>) {
        let mut reader = Run::open(self.folder.path()).unwrap().processes[0].reader();
        let (batches, errors) = read_all(&mut reader);
        let names = reader.dictionary().iter().map(|entry| entry.text.clone()).collect();
        (batches, errors, reader.torn().cloned(), names)
    }
}

fn times(batch: &Batch) -> Vec<u64> {
    batch.events.iter().map(|event| event.time).collect()
}

#[test]
fn events_states_and_names() {
    let mut traced = Traced::start();
    assert!(traced.names.ring.push_dict(&entry(1, "written")));
    for time in 1..=10 {
        assert!(traced.events.ring.push_event(&event(time)));
    }
    traced.drain(true);
    assert!(traced.names.ring.push_dict(&entry(2, "not written")));
    for time in 11..=60 {
        assert!(traced.events.ring.push_event(&event(time)));
    }
    assert!(traced.events.ring.push_state(&state(61)));
    assert!(traced.events.ring.push_argument(&argument(62)));
    assert!(traced.events.ring.push_collective(&collective(63)));

    let (batches, errors, torn, names) = traced.read();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.len(), 2);
    assert!(!batches[0].recovered && batches[1].recovered);
    assert_eq!(times(&batches[0]), (1..=10).collect::<Vec<_>>());
    assert_eq!(times(&batches[1]), (11..=60).collect::<Vec<_>>());
    assert_eq!(batches[1].events[0], Event { thread: 0, ..event(11) });
    assert_eq!(batches[1].states, [State { thread: 0, ..state(61) }]);
    assert_eq!(batches[1].arguments, [Argument { thread: 0, ..argument(62) }]);
    assert_eq!(batches[1].collectives, [Collective { thread: 0, ..collective(63) }]);
    let found = Torn {
        events_recovered: 50,
        states_recovered: 1,
        arguments_recovered: 1,
        collectives_recovered: 1,
        ..Torn::default()
    };
    assert_eq!(torn, Some(found));
    assert_eq!(names, ["written", "not written"]);
}

#[test]
fn and_nothing_twice_when_it_died_between_writing_and_releasing() {
    let mut traced = Traced::start();
    for time in 1..=10 {
        assert!(traced.events.ring.push_event(&event(time)));
    }
    traced.drain(false);
    assert!(traced.events.ring.push_event(&event(11)));
    let (batches, errors, ..) = traced.read();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.iter().flat_map(times).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
}

#[test]
fn and_nothing_twice_when_it_died_between_two_frames_of_a_block() {
    let mut traced = Traced::start();
    for time in 1..=10 {
        assert!(traced.events.ring.push_event(&event(time)));
        assert!(traced.events.ring.push_state(&state(time)));
        assert!(traced.events.ring.push_argument(&argument(time)));
        assert!(traced.events.ring.push_collective(&collective(time)));
    }
    let before = traced.writer.bytes_written();
    traced.drain(false);
    // Cut the file everywhere from the beginning of the block on.
    let path = traced.folder.path().join("host-42-0.tcs");
    let whole = std::fs::read(&path).unwrap();
    for length in before as usize..=whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut reader = Run::open(traced.folder.path()).unwrap().processes[0].reader();
        let (batches, errors) = read_all(&mut reader);
        assert!(errors.is_empty(), "{errors:?}");
        let mut all: Vec<u64> = batches.iter().flat_map(times).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=10).collect::<Vec<_>>(), "cut at {length}");
        let states: usize = batches.iter().map(|batch| batch.states.len()).sum();
        assert_eq!(states, 10, "cut at {length}");
        let arguments: usize = batches.iter().map(|batch| batch.arguments.len()).sum();
        assert_eq!(arguments, 10, "cut at {length}");
        let collectives: usize = batches.iter().map(|batch| batch.collectives.len()).sum();
        assert_eq!(collectives, 10, "cut at {length}");
    }
}

#[test]
fn and_what_the_ring_had_no_room_for_is_told() {
    let mut traced = Traced::start();
    for time in 1..=70 {
        traced.events.ring.push_event(&event(time));
    }
    let dropped = [Dropped { ring: 0, count: 4, reason: DropReason::RingFull }];
    traced.writer.write_block(&[], &[], &dropped, &[]).unwrap();
    let (batches, errors, ..) = traced.read();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches[0].dropped, dropped);
    // Six did not fit; a block had told of four.
    assert_eq!(batches[1].dropped, [Dropped { ring: 0, count: 2, reason: DropReason::RingFull }]);
    assert_eq!(times(&batches[1]), (1..=64).collect::<Vec<_>>());
}

#[test]
fn rings_alone_are_a_run_too() {
    let traced = Traced::start();
    traced.events.ring.push_event(&event(1));
    std::fs::remove_file(traced.folder.path().join("host-42-0.tcs")).unwrap();
    let (batches, errors, torn, _) = traced.read();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(times(&batches[0]), [1]);
    assert_eq!(torn.unwrap().events_recovered, 1);
}

/// As where there was no memory to write with.
#[test]
fn and_what_a_process_could_not_write_before_it_sealed() {
    let mut traced = Traced::start();
    traced.events.ring.push_event(&event(1));
    traced.drain(false);
    traced.events.ring.push_event(&event(2));
    let Traced { folder, writer, events: _events, names: _names } = traced;
    writer.seal(&Ending { reason: "no memory".to_owned(), ..Ending::default() }).unwrap();
    let mut reader = Run::open(folder.path()).unwrap().processes[0].reader();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.iter().flat_map(times).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(reader.torn(), None);
}

#[test]
fn a_ring_that_is_removed_while_the_run_is_read_is_no_error() {
    let mut traced = Traced::start();
    traced.events.ring.push_event(&event(1));
    traced.drain(true);
    let mut reader = Run::open(traced.folder.path()).unwrap().processes[0].reader();
    traced.writer.seal(&Ending { reason: "exit".to_owned(), ..Ending::default() }).unwrap();
    std::fs::remove_file(traced.folder.path().join("host-42-r0.ring")).unwrap();
    let (batches, errors) = read_all(&mut reader);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(batches.iter().flat_map(times).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_damaged_ring_is_an_error_that_names_it_and_the_rest_is_read() {
    let traced = Traced::start();
    traced.names.ring.push_dict(&entry(1, "name"));
    for time in 1..=10 {
        traced.events.ring.push_event(&event(time));
    }
    let path = traced.folder.path().join("host-42-r0.ring");
    damage(&path, HEADER_SIZE + 4 * 64, &[7]);
    let (batches, errors, _, names) = traced.read();
    assert_eq!(times(&batches[0]), [1, 2, 3, 4]);
    assert_eq!(names, ["name"]);
    let [ReadError::Ring { path: named, source: RingError::Record { position: 256, .. } }] = &errors[..]
    else {
        panic!("{errors:?}");
    };
    assert_eq!(*named, path);
}

#[test]
fn the_ring_of_another_process_is_not_taken() {
    let traced = Traced::start();
    let info = RingInfo { pid: 43, ..RingInfo::default() };
    let path = traced.folder.path().join("host-42-r7.ring");
    let other = FileRing::create(&path, 4096, &info);
    other.ring.push_event(&event(1));
    let (batches, errors, ..) = traced.read();
    assert!(batches.is_empty());
    assert!(matches!(&errors[..], [ReadError::Ring { path: named, .. }] if *named == path), "{errors:?}");
}

#[test]
fn a_record_that_says_it_is_longer_than_the_ring_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-r0.ring");
    let file = FileRing::create(&path, 8 * 64, &RingInfo { pid: 42, ..RingInfo::default() });
    for time in 0..8 {
        file.ring.push_event(&event(time));
    }
    // The last one as a state, and as a dictionary entry.
    for (kind, size) in [(200_u8, 128_u16), (201, 128), (201, 65_472), (202, 128)] {
        damage(&path, HEADER_SIZE + 7 * 64, &size.to_le_bytes());
        damage(&path, HEADER_SIZE + 7 * 64 + 2, &[kind]);
        let read = read_ring_file(&path, 0).unwrap();
        assert_eq!(read.records.len(), 7);
        let Some(RingError::Record { position: 448, what }) = read.damage else {
            panic!("{:?}", read.damage)
        };
        assert_eq!(what, "it is longer than what is left");
    }
}

fn damage(path: &Path, at: usize, with: &[u8]) {
    use std::os::unix::fs::FileExt;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(with, at as u64).unwrap();
}

#[test]
fn whatever_is_in_a_ring_file_reading_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-r0.ring");
    let file = FileRing::create(&path, 8 * 64, &RingInfo { pid: 42, ..RingInfo::default() });
    for round in 0..3 {
        file.ring.push_event(&event(round));
        file.ring.push_state(&state(round));
        file.ring.push_dict(&entry(1, "name"));
        if round < 2 {
            file.ring.release(file.ring.head());
        }
    }
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(read_ring_file(&path, 0).unwrap().records.len(), 3);
    let mut seen = [0_usize; 2];
    // The fields of the header, and the records.
    for at in (0..40).chain(128..144).chain(256..264).chain(HEADER_SIZE..whole.len()) {
        for byte in [0, 1, 64, 200, 202, 255] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            std::fs::write(folder.path().join("other"), bytes).unwrap();
            for from in [0, 192, 1 << 40] {
                let read = read_ring_file(folder.path().join("other"), from);
                seen[usize::from(read.is_ok_and(|read| read.damage.is_none()))] += 1;
            }
        }
    }
    assert!(seen[0] > 1000 && seen[1] > 1000, "both happen: {seen:?}");
    for length in 0..whole.len() {
        std::fs::write(folder.path().join("other"), &whole[..length]).unwrap();
        assert!(read_ring_file(folder.path().join("other"), 0).is_err(), "cut at {length}");
    }
}
