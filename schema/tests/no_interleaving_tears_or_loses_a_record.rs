//! Producer and consumer of a small ring at once: what is read was pushed, whole and in order, and what is not read was
//! counted as dropped. Under `--cfg loom` in every interleaving, else in those that happen.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{event, state};
#[cfg(loom)]
use loom::{sync::Arc, thread};
#[cfg(not(loom))]
use std::{sync::Arc, thread};
use traincheck_schema::ring::{GRAIN, HEADER_SIZE, Ring, RingInfo, RingRecord};

fn model(test: impl Fn() + Sync + Send + 'static) {
    #[cfg(loom)]
    {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(test);
    }
    #[cfg(not(loom))]
    (0..if cfg!(miri) { 20 } else { 500 }).for_each(|_| test());
}

/// A ring with its memory; the model has memory of its own.
struct Owned {
    ring: Ring,
    memory: *mut [u64],
}

// SAFETY: the memory is used through the ring only, as long as that is there.
unsafe impl Send for Owned {}
// SAFETY: as above.
unsafe impl Sync for Owned {}

impl Owned {
    fn new(grains: usize) -> Arc<Owned> {
        let size = HEADER_SIZE + grains * GRAIN;
        let memory = Box::into_raw(vec![0_u64; size / 8].into_boxed_slice());
        // SAFETY: it is zeroed, `size` long, aligned to what is stored in it, and freed with the ring.
        let ring = unsafe { Ring::format(memory.cast(), size, &RingInfo::default()) };
        Arc::new(Owned { ring, memory })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: from a box in `new`; the ring goes at the same time.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}

fn take(ring: &Ring, found: &mut Vec<u64>) {
    let head = ring.head();
    ring.read(ring.tail(), head, |record| match record {
        RingRecord::Event(read) => {
            assert_eq!(read, event(read.time));
            found.push(read.time);
        }
        RingRecord::State(read) => {
            assert_eq!(read, state(read.time));
            found.push(read.time);
        }
        other => panic!("never pushed: {other:?}"),
    })
    .unwrap();
    ring.release(head);
}

/// Pushes `times` with `push` on a thread, and looks `looks` times at the same time.
fn check(grains: usize, times: u64, looks: usize, push: fn(&Ring, u64)) {
    let owned = Owned::new(grains);
    let producer = {
        let owned = owned.clone();
        thread::spawn(move || (1..=times).for_each(|time| push(&owned.ring, time)))
    };
    let mut found = Vec::new();
    for _ in 0..looks {
        take(&owned.ring, &mut found);
        thread::yield_now();
    }
    producer.join().unwrap();
    take(&owned.ring, &mut found);
    assert!(found.is_sorted_by(|before, behind| before < behind), "{found:?}");
    assert_eq!(found.len() as u64 + owned.ring.dropped(), times);
}

#[test]
fn of_one_grain_each() {
    model(|| check(2, 4, 2, |ring, time| _ = ring.push_event(&event(time))));
}

#[test]
fn with_pads_before_the_end_of_the_data_area() {
    model(|| check(3, 3, 2, |ring, time| _ = ring.push_state(&state(time))));
}

#[test]
fn of_both_kinds() {
    model(|| {
        check(3, 4, 2, |ring, time| {
            _ = if time % 2 == 0 { ring.push_event(&event(time)) } else { ring.push_state(&state(time)) };
        });
    });
}
