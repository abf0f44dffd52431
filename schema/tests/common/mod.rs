//! What the tests share: records, rings in files, and segments.
#![allow(dead_code, reason = "every test uses a part of it")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use proptest::prelude::*;
use traincheck_schema::record::{
    Attribute, DictEntry, DictKind, EVENT_SIZE, Event, EventKind, STATE_KIND, STATE_SIZE, State, ValueKind,
};
use traincheck_schema::ring::{Ring, RingInfo};
use traincheck_schema::run::{Batch, ProcessReader, ReadError};
use traincheck_schema::segment::ProcessHeader;

pub fn event(time: u64) -> Event {
    Event {
        size: EVENT_SIZE as u16,
        kind: EventKind::Enter as u8,
        stage: 1,
        flags: 1,
        thread: 0,
        time,
        iteration: (time / 1000) as u32,
        step: 0,
        call: time,
        parent: time / 2,
        name: 1,
        site: 2,
        object: 0,
        reserved: 0,
        value: 0,
    }
}

pub fn state(time: u64) -> State {
    State {
        size: STATE_SIZE as u16,
        kind: STATE_KIND,
        stage: 1,
        attribute: Attribute::Data as u8,
        value_kind: ValueKind::Tensor as u8,
        thread: 0,
        time,
        iteration: (time / 1000) as u32,
        step: 0,
        call: time,
        since: time / 2,
        variable: 3,
        text: 0,
        int: 0,
        float: 0.0,
        hash_low: time.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        hash_high: time.wrapping_mul(0xc2b2_ae3d_27d4_eb4f),
        nan: 0,
        inf: 0,
        zeros: 1,
        elements: 64,
        min: -1.5,
        max: 2.25,
        l2: 8.0,
        point: 1,
        reserved: 0,
    }
}

pub fn entry(id: u32, text: &str) -> DictEntry {
    DictEntry { id, kind: DictKind::Function as u8, text: text.to_owned(), ..DictEntry::default() }
}

pub fn header() -> ProcessHeader {
    ProcessHeader {
        host: "host".to_owned(),
        pid: 42,
        parent_pid: 1,
        monotonic_ns: 1_000,
        wall_ns: 1_700_000_000_000_000_000,
        agent_version: "0.1.0".to_owned(),
        python_version: "3.11.2".to_owned(),
        torch_version: "2.6.0".to_owned(),
        profile: "training".to_owned(),
        executable: "/usr/bin/python3".to_owned(),
        script: "train.py".to_owned(),
        rank: Some(3),
        ..ProcessHeader::default()
    }
}

/// Any event. Call ids are below 2^62, as the format promises.
pub fn any_event() -> impl Strategy<Value = Event> {
    let ids = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let bytes = (1..200_u8, any::<u8>(), any::<u16>(), any::<u16>());
    let wide = (any::<u64>(), 0..1_u64 << 62, 0..1_u64 << 62, any::<u64>());
    (bytes, wide, ids).prop_map(|((kind, stage, flags, thread), (time, call, parent, value), ids)| Event {
        kind,
        stage,
        flags,
        thread,
        time,
        iteration: ids.0,
        step: ids.1,
        call,
        parent,
        name: ids.2,
        site: ids.3,
        object: ids.4,
        value,
        ..event(0)
    })
}

/// Any state whose fields are those that its kind of value has.
pub fn any_state() -> impl Strategy<Value = State> {
    let fixed = (any::<u8>(), any::<u8>(), 0..9_u8, any::<u16>(), any::<u32>(), any::<u32>());
    let wide = (any::<u64>(), any::<u64>(), 0..1_u64 << 62, any::<u32>(), any::<u32>());
    let digest = (any::<[u64; 4]>(), any::<[u32; 5]>());
    (fixed, wide, digest, any::<(i64, u64, u32)>()).prop_map(|(fixed, wide, (quads, longs), value)| {
        let (stage, attribute, value_kind, thread, iteration, step) = fixed;
        let mut state = State {
            stage,
            attribute,
            value_kind,
            thread,
            iteration,
            step,
            time: wide.0,
            call: wide.1,
            since: wide.2,
            variable: wide.3,
            point: wide.4,
            ..blank_state()
        };
        // The distance between the two times must be below 2^63.
        state.time = state.time.min(1 << 62);
        match ValueKind::try_from(value_kind) {
            Ok(ValueKind::Bool | ValueKind::Int) => state.int = value.0,
            Ok(ValueKind::Float) => state.float = f64::from_bits(value.1),
            Ok(ValueKind::Text) => state.text = value.2,
            Ok(ValueKind::Tensor) => {
                [state.hash_low, state.hash_high, state.zeros, state.elements] = quads;
                (state.nan, state.inf) = (longs[0], longs[1]);
                [state.min, state.max, state.l2] = [2, 3, 4].map(|i| f32::from_bits(longs[i]));
            }
            _ => {}
        }
        state
    })
}

fn blank_state() -> State {
    let mut blank = state(0);
    (blank.zeros, blank.elements, blank.min, blank.max, blank.l2) = (0, 0, 0.0, 0.0, 0.0);
    blank
}

/// Any entry that a writer would not cut.
pub fn any_entry(id: u32) -> impl Strategy<Value = DictEntry> {
    (any::<u8>(), any::<u16>(), any::<u32>(), any::<u32>(), "\\PC{0,60}", "\\PC{0,20}", ".{0,20}").prop_map(
        move |(kind, detail, line, owner, text, file, type_name)| DictEntry {
            id,
            kind,
            detail,
            line,
            owner,
            text,
            file,
            type_name,
        },
    )
}

/// The bytes of a record, to compare floats by their bits.
pub fn bits(state: &State) -> [u8; STATE_SIZE] {
    // SAFETY: a `State` is 128 bytes without padding.
    unsafe { std::mem::transmute(*state) }
}

/// Everything that a process's reader gives.
pub fn read_all(reader: &mut ProcessReader) -> (Vec<Batch>, Vec<ReadError>) {
    let (mut batches, mut errors) = (Vec::new(), Vec::new());
    while let Some(next) = reader.next_batch() {
        match next {
            Ok(batch) => batches.push(batch),
            Err(error) => errors.push(error),
        }
    }
    (batches, errors)
}

/// A ring in a shared mapping of a file, as a traced process has.
pub struct FileRing {
    pub ring: Ring,
    base: *mut u8,
    length: usize,
    _file: File,
}

impl FileRing {
    pub fn create(path: &Path, data: usize, info: &RingInfo) -> FileRing {
        let length = traincheck_schema::ring::HEADER_SIZE + data;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.set_len(length as u64).unwrap();
        // SAFETY: a new mapping of a file that is long enough; nobody shortens it.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let base = base.cast::<u8>();
        // SAFETY: the mapping is page-aligned, zeroed, `length` long, and lives as long as the ring.
        let ring = unsafe { Ring::format(base, length, info) };
        FileRing { ring, base, length, _file: file }
    }
}

impl Drop for FileRing {
    fn drop(&mut self) {
        // SAFETY: mapped in `create`; the ring goes with it.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

/// A small sealed segment of every kind of frame, and where its frames begin.
pub fn sample(path: &Path) -> (Vec<u8>, Vec<u64>) {
    use traincheck_schema::segment::{DropReason, Dropped, Ending, RingPosition, SegmentWriter};
    let mut writer = SegmentWriter::create(path, &header()).unwrap();
    let mut begins = vec![traincheck_schema::segment::FILE_HEADER_SIZE as u64];
    begins.push(writer.bytes_written());
    writer
        .write_dictionary(&[entry(1, "torch.optim.adamw.AdamW.step"), entry(3, "Net.conv1.weight")])
        .unwrap();
    for block in 0..3_u64 {
        begins.push(writer.bytes_written());
        let events: Vec<Event> = (0..20).map(|i| event(10_000 + block * 5_000 + i * 37)).collect();
        writer.write_block(&events, &[], &[], &[RingPosition { ring: 0, position: 64 * block }]).unwrap();
        begins.push(writer.bytes_written());
        let states: Vec<State> = (0..5).map(|i| state(10_000 + block * 5_000 + i)).collect();
        let dropped = [Dropped { ring: 0, count: 2, reason: DropReason::RingFull }];
        writer.write_block(&[], &states, &dropped, &[]).unwrap();
    }
    begins.push(writer.bytes_written());
    writer.seal(&Ending { reason: "exit".to_owned(), monotonic_ns: 5, account: Vec::new() }).unwrap();
    (std::fs::read(path).unwrap(), begins)
}

/// All frames and errors of a segment that is in memory. Fails if there is no end to them.
pub fn read_frames(bytes: Vec<u8>) -> (Vec<traincheck_schema::segment::Frame>, Vec<ReadError>, bool, u64) {
    let most = bytes.len() + 10;
    let mut reader = traincheck_schema::segment::SegmentReader::new(bytes, Path::new("memory.tcs")).unwrap();
    let (mut frames, mut errors) = (Vec::new(), Vec::new());
    while let Some(next) = reader.next_frame() {
        match next {
            Ok(frame) => frames.push(frame),
            Err(error) => errors.push(error),
        }
        assert!(frames.len() + errors.len() <= most, "no end");
    }
    let behind = reader.bytes_after_last_frame().unwrap();
    (frames, errors, reader.is_sealed(), behind)
}
