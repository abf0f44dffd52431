//! What several threads emit is in the run: all of it, once, in order; or it is counted as lost.

mod common;

use common::{event, files, info, is_inner, read, run_inner, state};
use std::time::{Duration, Instant};
use traincheck::sink;
use traincheck_schema::segment::DropReason;

const THREADS: u64 = 4;

/// The field that tells the threads of a test apart, whatever numbers the sink gave them.
fn marked(thread: u64, sequence: u64) -> traincheck_schema::record::Event {
    traincheck_schema::record::Event { parent: thread, ..event(sequence) }
}

/// Waits for `condition`. It takes a second or so; what takes minutes never comes.
fn eventually(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(300), "it never comes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_fits_into_the_rings_is_not_lost() {
    // With their states they need 56,000 of the 65,472 places in a ring, however late the writer comes.
    const EACH: u64 = 40_000;
    if is_inner() {
        assert!(sink::start(info()));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for sequence in 0..EACH {
                        sink::emit(&marked(thread, sequence));
                        if sequence % 5 == 0 {
                            sink::emit_state(&state(sequence));
                        }
                        // So that several blocks are written meanwhile.
                        if sequence % 4_000 == 0 {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                });
            }
        });
        sink::seal("exit");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("what_fits_into_the_rings_is_not_lost", folder.path());
    let found = read(folder.path());
    assert_eq!(found.dropped, []);
    assert_eq!(found.events.len() as u64, THREADS);
    for (index, events) in &found.events {
        let thread = events[0].parent;
        let mut last = 0;
        for (sequence, found) in events.iter().enumerate() {
            let sequence = sequence as u64;
            let expected = marked(thread, sequence);
            let expected = traincheck_schema::record::Event { time: found.time, thread: *index, ..expected };
            assert_eq!(*found, expected);
            assert!(found.time >= last);
            last = found.time;
        }
        assert_eq!(events.len() as u64, EACH);
        let states = &found.states[index];
        assert_eq!(states.len() as u64, EACH / 5);
        for (at, found) in states.iter().enumerate() {
            let expected = state(at as u64 * 5);
            assert_eq!(
                *found,
                traincheck_schema::record::State { time: found.time, thread: *index, ..expected }
            );
        }
    }
    assert_eq!(found.ending.unwrap().reason, "exit");
    assert_eq!(files(folder.path()).iter().filter(|name| name.ends_with(".ring")).count(), 0);
}

#[test]
fn what_threads_without_a_pause_lose_is_counted() {
    const EACH: u64 = 1_000_000;
    if is_inner() {
        assert!(sink::start(info()));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || (0..EACH).for_each(|sequence| sink::emit(&marked(thread, sequence))));
            }
        });
        sink::seal("exit");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("what_threads_without_a_pause_lose_is_counted", folder.path());
    let found = read(folder.path());
    let mut lost = 0;
    for (index, events) in &found.events {
        assert!(events.windows(2).all(|pair| pair[0].value < pair[1].value && pair[0].time <= pair[1].time));
        assert!(events.iter().all(|event| event.parent == events[0].parent));
        let missing = EACH - events.len() as u64;
        assert_eq!(missing, found.dropped_of(*index), "thread {index}");
        lost += missing;
    }
    assert_eq!(found.events.len() as u64, THREADS);
    assert!(lost > 0, "nothing was lost: the test shows nothing");
    assert_eq!(lost, found.dropped_for(DropReason::RingFull));
}

#[test]
fn what_happened_before_the_start_comes_first() {
    const MANY: u64 = 20_000;
    const KEPT: u64 = 16_384;
    if is_inner() {
        let early = sink::text("defined early");
        (0..MANY).for_each(|sequence| {
            sink::emit(&traincheck_schema::record::Event { name: early, ..event(sequence) })
        });
        assert!(!sink::is_started());
        assert!(sink::start(info()));
        assert!(sink::start(info()), "a second start only tells");
        let late = sink::text("defined late");
        sink::emit(&traincheck_schema::record::Event { name: late, ..event(MANY) });
        assert_eq!(sink::text("defined early"), early);
        sink::account("batches", 17);
        return; // The end of the process seals the run.
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("what_happened_before_the_start_comes_first", folder.path());
    let found = read(folder.path());
    let events = &found.events[&0];
    let sequences: Vec<u64> = events.iter().map(|event| event.value).collect();
    let expected: Vec<u64> = (0..KEPT).chain([MANY]).collect();
    assert_eq!(sequences, expected);
    assert_eq!(found.dropped_for(DropReason::BeforeStart), MANY - KEPT);
    assert_eq!(found.names[&events[0].name], "defined early");
    assert_eq!(found.names[&events[events.len() - 1].name], "defined late");
    let ending = found.ending.unwrap();
    assert_eq!(ending.reason, "exit");
    assert!(ending.account.contains(&("batches".into(), 17)));
    assert!(ending.account.iter().any(|(name, value)| name == "writer_cpu_ns" && *value > 0));
}

#[test]
fn the_ring_of_a_thread_that_has_ended_is_removed() {
    if is_inner() {
        assert!(sink::start(info()));
        for round in 0..5 {
            std::thread::spawn(move || (0..1000).for_each(|i| sink::emit(&marked(round, i)))).join().unwrap();
        }
        sink::emit(&marked(5, 0));
        // That of this thread and that of the dictionary stay.
        let folder = std::env::var("TRAINCHECK_RUN_DIR").unwrap();
        let rings = || files(folder.as_ref()).iter().filter(|name| name.ends_with(".ring")).count();
        eventually(|| rings() == 2);
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
        eventually(|| maps().lines().filter(|line| line.contains("/SYSV")).count() == 2);
        std::thread::spawn(|| sink::emit(&marked(6, 0))).join().unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("the_ring_of_a_thread_that_has_ended_is_removed", folder.path());
    let found = read(folder.path());
    assert_eq!(found.count(), 5_002);
    assert_eq!(found.events.len(), 2, "a thread that has ended leaves its number to the next");
}

#[test]
fn blocks_are_written_without_being_asked_for() {
    if is_inner() {
        assert!(sink::start(info()));
        sink::emit(&event(1));
        let found = || read(std::env::var("TRAINCHECK_RUN_DIR").unwrap().as_ref());
        eventually(|| found().count() == 1 && found().recovered == 0);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("blocks_are_written_without_being_asked_for", folder.path());
}
