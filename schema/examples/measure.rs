//! Prints how large a trace gets and how fast it is written and read, on the records of a made-up training of a
//! small transformer: 12 blocks, an AdamW, one look at 150 parameters and gradients in every iteration.
//!
//! `cargo run --release -p traincheck-schema --example measure`

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{entry, event, header, state};
use traincheck_schema::record::{Attribute, Event, EventKind, State};
use traincheck_schema::ring::{HEADER_SIZE, Ring, RingInfo, RingRecord};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{Ending, SegmentWriter};

/// Numbers that look random, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

struct Training {
    noise: Noise,
    time: u64,
    calls: u64,
    iteration: u32,
    stack: Vec<Event>,
    events: Vec<Event>,
    states: Vec<State>,
}

impl Training {
    fn enter(&mut self, name: u32) {
        self.time += 2_000 + self.noise.next() % 30_000;
        self.calls += 1;
        let parent = self.stack.last().map_or(0, |event| event.call);
        let enter = Event {
            call: self.calls,
            parent,
            name,
            site: 1000 + name,
            object: name,
            iteration: self.iteration,
            step: self.iteration,
            ..event(self.time)
        };
        self.stack.push(enter);
        self.events.push(enter);
    }

    fn exit(&mut self) {
        self.time += 2_000 + self.noise.next() % 30_000;
        if let Some(enter) = self.stack.pop() {
            self.events.push(Event { kind: EventKind::Exit as u8, time: self.time, ..enter });
        }
    }

    fn call(&mut self, name: u32) {
        self.enter(name);
        self.exit();
    }

    fn look(&mut self, attribute: Attribute, point: u32) {
        for variable in 0..150 {
            self.states.push(State {
                attribute: attribute as u8,
                time: self.time,
                since: self.time - 50_000_000,
                call: self.calls,
                iteration: self.iteration,
                step: self.iteration,
                variable: 2000 + variable,
                hash_low: self.noise.next(),
                hash_high: self.noise.next(),
                min: -1.0 - (self.noise.next() % 1000) as f32 / 1e3,
                max: 1.0 + (self.noise.next() % 1000) as f32 / 1e3,
                l2: (self.noise.next() % 100_000) as f32 / 1e3,
                zeros: 0,
                elements: 1 << (variable % 20),
                point,
                ..state(0)
            });
        }
    }

    fn iterate(&mut self) {
        self.iteration += 1;
        self.call(1); // next of the loader
        self.call(2); // zero_grad
        self.enter(3);
        for block in 0..12 {
            self.enter(10 + block * 8);
            for layer in 1..8 {
                self.call(10 + block * 8 + layer);
            }
            self.exit();
        }
        self.exit();
        self.enter(4); // Tensor.backward
        self.call(5); // autograd.backward
        self.exit();
        self.look(Attribute::Grad, 4);
        self.call(6); // clip_grad_norm_
        self.call(7); // AdamW.step
        self.look(Attribute::Data, 7);
        self.call(8); // scheduler
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64() / 1e6
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut training = Training {
        noise: Noise(1),
        time: 1_000_000_000,
        calls: 0,
        iteration: 0,
        stack: Vec::new(),
        events: Vec::new(),
        states: Vec::new(),
    };
    while training.events.len() < 2_000_000 {
        training.iterate();
    }
    let Training { events, states, calls, .. } = training;

    let names: Vec<_> = (1..3000).map(|id| entry(id, "torch.nn.modules.linear.Linear.__call__")).collect();
    for (what, states) in [("events only", &[][..]), ("with states", &states[..])] {
        let path = folder.path().join(format!("{}-1-0.tcs", what.replace(' ', "_")));
        let mut writer = SegmentWriter::create(&path, &header()).expect("a segment");
        writer.write_dictionary(&names).expect("dictionary");
        let begin = Instant::now();
        let blocks = events.len() / 4096 + 1;
        let states_a_block = states.len() / blocks + 1;
        let mut states_left = states.chunks(states_a_block);
        for block in events.chunks(4096) {
            writer.write_block(block, states_left.next().unwrap_or(&[]), &[], &[]).expect("block");
        }
        let wrote = begin.elapsed();
        let bytes = writer.bytes_written();
        writer.seal(&Ending::default()).expect("footer");

        let mut reader = Run::open(&path).expect("a run").processes[0].reader();
        let begin = Instant::now();
        let mut rows = 0;
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("a batch");
            rows += batch.events.len() + batch.states.len();
        }
        let read = begin.elapsed();
        assert_eq!(rows, events.len() + states.len());
        println!(
            "{what}: {:.2} bytes a call (enter and exit), written at {:.2} million rows a second, read at {:.2}",
            bytes as f64 / calls as f64,
            per_second(rows, wrote),
            per_second(rows, read)
        );
        if !states.is_empty() {
            println!(
                "  {} states: {:.1} bytes each with the events",
                states.len(),
                bytes as f64 / states.len() as f64
            );
        }
    }

    let mut memory = vec![0_u64; (HEADER_SIZE + (1 << 20)) / 8];
    // SAFETY: the memory outlives the ring, is aligned to 8 bytes (pages are only for the kernel's sake) and
    // zeroed, and nothing else uses it.
    let ring = unsafe { Ring::format(memory.as_mut_ptr().cast(), memory.len() * 8, &RingInfo::default()) };
    let (mut pushing, mut popping, mut popped) = (Duration::ZERO, Duration::ZERO, 0);
    for chunk in events.chunks(8192) {
        let begin = Instant::now();
        for event in chunk {
            ring.push_event(event);
        }
        pushing += begin.elapsed();
        let begin = Instant::now();
        let head = ring.head();
        let count = |record| popped += usize::from(matches!(record, RingRecord::Event(_)));
        ring.read(ring.tail(), head, count).expect("records");
        ring.release(head);
        popping += begin.elapsed();
    }
    assert_eq!(popped, events.len());
    println!(
        "ring: {:.1} ns a push, {:.1} ns a read",
        pushing.as_nanos() as f64 / events.len() as f64,
        popping.as_nanos() as f64 / events.len() as f64
    );
}
