//! The ring against a model of it, and with a producer and a consumer at once.

mod common;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::{FileRing, argument, collective, entry, event, state};
use proptest::prelude::*;
use traincheck_schema::record::{Argument, Collective, DictEntry, Event, State};
use traincheck_schema::ring::{GRAIN, MAX_TEXT, RingError, RingInfo, RingRecord};

const INFO: RingInfo = RingInfo { pid: 42, index: 5, thread: 4711, dictionary: false, made_wall_ns: 1 };

fn ring(data: usize) -> (tempfile::TempDir, FileRing) {
    let folder = tempfile::tempdir().unwrap();
    let ring = FileRing::create(&folder.path().join("host-42-r5.ring"), data, &INFO);
    (folder, ring)
}

fn take(ring: &FileRing) -> Vec<RingRecord> {
    let ring = &ring.ring;
    let (mut records, head) = (Vec::new(), ring.head());
    ring.read(ring.tail(), head, |record| records.push(record)).unwrap();
    ring.release(head);
    records
}

#[derive(Clone, Debug)]
enum Action {
    Event(u64),
    State(u64),
    Argument(u64),
    Collective(u64),
    /// An entry whose texts have these lengths.
    Dict(usize, usize, usize),
    /// The consumer takes all there is.
    Take,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => any::<u64>().prop_map(Action::Event),
        2 => any::<u64>().prop_map(Action::State),
        2 => any::<u64>().prop_map(Action::Argument),
        2 => any::<u64>().prop_map(Action::Collective),
        2 => (0..200_usize, 0..80_usize, 0..40_usize).prop_map(|(a, b, c)| Action::Dict(a, b, c)),
        1 => Just(Action::Take),
    ]
}

/// Bytes that a record takes without a pad before it.
fn size(record: &RingRecord) -> u64 {
    match record {
        RingRecord::Event(_) | RingRecord::Argument(_) => 64,
        RingRecord::State(_) | RingRecord::Collective(_) => 128,
        RingRecord::Dict(entry) => {
            (32 + entry.text.len() + entry.file.len() + entry.type_name.len()).next_multiple_of(GRAIN) as u64
        }
    }
}

proptest! {
    #[test]
    fn as_a_queue_would(grains in 16..40_usize, actions in prop::collection::vec(action(), 0..300)) {
        let capacity = (grains * GRAIN) as u64;
        let (_folder, file) = ring(capacity as usize);
        let mut model: VecDeque<RingRecord> = VecDeque::new();
        let (mut head, mut tail, mut dropped) = (0_u64, 0_u64, 0_u64);
        for action in actions {
            let (record, pushed) = match action {
                Action::Event(n) => {
                    let event = Event { thread: INFO.index, ..event(n) };
                    (RingRecord::Event(event), file.ring.push_event(&Event { size: 0, thread: 9, ..event }))
                }
                Action::State(n) => {
                    let state = State { thread: INFO.index, ..state(n) };
                    (RingRecord::State(state), file.ring.push_state(&State { size: 0, kind: 0, ..state }))
                }
                Action::Argument(n) => {
                    let argument = Argument { thread: INFO.index, ..argument(n) };
                    let pushed = file.ring.push_argument(&Argument { size: 0, kind: 0, ..argument });
                    (RingRecord::Argument(argument), pushed)
                }
                Action::Collective(n) => {
                    let collective = Collective { thread: INFO.index, ..collective(n) };
                    let pushed = file.ring.push_collective(&Collective { size: 0, kind: 0, ..collective });
                    (RingRecord::Collective(collective), pushed)
                }
                Action::Dict(a, b, c) => {
                    let [text, file_name, type_name] = [a, b, c].map(|n| "x".repeat(n));
                    let entry = DictEntry { file: file_name, type_name, line: 7, ..entry(a as u32, &text) };
                    (RingRecord::Dict(entry.clone()), file.ring.push_dict(&entry))
                }
                Action::Take => {
                    prop_assert_eq!(take(&file), model.drain(..).collect::<Vec<_>>());
                    tail = head;
                    continue;
                }
            };
            let to_end = capacity - head % capacity;
            let pad = if to_end < size(&record) { to_end } else { 0 };
            let fits = head + pad + size(&record) - tail <= capacity;
            prop_assert_eq!(pushed, fits);
            if fits {
                head += pad + size(&record);
                model.push_back(record);
            } else {
                dropped += 1;
            }
            prop_assert_eq!((file.ring.head(), file.ring.tail(), file.ring.dropped()), (head, tail, dropped));
        }
        prop_assert_eq!(take(&file), Vec::from(model));
    }
}

#[test]
fn while_it_is_read() {
    let (_folder, file) = ring(97 * GRAIN);
    const COUNT: u64 = 100_000;
    // A consumer that has failed takes nothing more; the producer must not wait for it for ever.
    let deadline = Instant::now() + Duration::from_secs(120);
    std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut time = 0;
            while time < COUNT {
                let pushed = match time % 7 {
                    3 => file.ring.push_state(&state(time)),
                    4 => file.ring.push_argument(&argument(time)),
                    2 => file.ring.push_collective(&collective(time)),
                    5 => file.ring.push_dict(&entry(time as u32, &"n".repeat(time as usize % 150))),
                    _ => file.ring.push_event(&event(time)),
                };
                time += u64::from(pushed);
                if !pushed {
                    assert!(Instant::now() < deadline, "nothing is taken");
                    std::thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < COUNT {
            for record in take(&file) {
                match record {
                    RingRecord::Event(read) => assert_eq!(read, Event { thread: 5, ..event(next) }),
                    RingRecord::State(read) => assert_eq!(read, State { thread: 5, ..state(next) }),
                    RingRecord::Argument(read) => assert_eq!(read, Argument { thread: 5, ..argument(next) }),
                    RingRecord::Collective(read) => {
                        assert_eq!(read, Collective { thread: 5, ..collective(next) });
                    }
                    RingRecord::Dict(read) => {
                        assert_eq!(read, entry(next as u32, &"n".repeat(next as usize % 150)));
                    }
                }
                next += 1;
            }
            assert!(next == COUNT || !producer.is_finished() || file.ring.head() != file.ring.tail());
        }
    });
    assert_eq!(file.ring.head(), file.ring.tail());
}

#[test]
fn and_counts_what_found_no_room() {
    let (_folder, file) = ring(4 * GRAIN);
    let pushed: Vec<bool> = (0..6).map(|time| file.ring.push_event(&event(time))).collect();
    assert_eq!(pushed, [true, true, true, true, false, false]);
    assert_eq!(file.ring.dropped(), 2);
    assert_eq!(take(&file).len(), 4);
    assert!(file.ring.push_event(&event(7)));
    assert!(!file.ring.push_dict(&entry(1, &"x".repeat(1000))), "it is longer than the ring");
    assert_eq!(file.ring.dropped(), 3);
}

#[test]
fn with_texts_cut_to_what_a_record_holds() {
    let (_folder, file) = ring(1 << 16);
    let long = "é".repeat(5000);
    let pushed = DictEntry { file: long.clone(), type_name: long.clone(), ..entry(1, &long) };
    assert!(file.ring.push_dict(&pushed));
    let [RingRecord::Dict(read)] = &take(&file)[..] else { panic!("one entry") };
    for text in [&read.text, &read.file, &read.type_name] {
        assert_eq!(text.len(), MAX_TEXT);
        assert!(long.starts_with(text.as_str()));
    }
}

#[test]
fn and_drops_everything_where_there_is_no_room_at_all() {
    let (_folder, file) = ring(GRAIN - 1);
    assert!(!file.ring.push_event(&event(1)));
    assert_eq!((file.ring.capacity(), file.ring.head(), file.ring.tail()), (0, 0, 0));
    file.ring.release(64);
}

#[test]
fn and_says_whose_it_is() {
    let (_folder, file) = ring(GRAIN * 8);
    assert_eq!(file.ring.info(), INFO);
    assert_eq!(file.ring.capacity(), GRAIN * 8);
}

#[test]
fn but_not_at_positions_that_cannot_be() {
    let (_folder, file) = ring(GRAIN * 8);
    for time in 0..8 {
        file.ring.push_event(&event(time));
    }
    for (from, to) in [(64, 0), (0, 640), (1, 64), (0, 65), (0, u64::MAX), (u64::MAX - 63, u64::MAX)] {
        let read = file.ring.read(from, to, |_| panic!("nothing is to be read"));
        assert!(matches!(read, Err(RingError::Positions { .. })), "{from}..{to}: {read:?}");
    }
}
