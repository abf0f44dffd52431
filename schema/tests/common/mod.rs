//! What the tests share: records, rings in files, and segments.
#![allow(dead_code, unused_imports, reason = "every test uses a part of it")]

pub mod damage;
mod records;

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use proptest::prelude::*;
pub use records::{
    argument, collective, entry, event, header, header_of, sample, sample_with_arguments, state,
};
use traincheck_schema::record::{
    Argument, Attribute, Collective, DictEntry, DictKind, EVENT_SIZE, Event, EventKind, STATE_KIND,
    STATE_SIZE, State, ValueKind, collective,
};
use traincheck_schema::ring::{Ring, RingInfo};
use traincheck_schema::run::{Batch, ProcessReader, ReadError};
use traincheck_schema::segment::ProcessHeader;

/// Any event. Call ids are below 2^62, as the format promises.
pub fn any_event() -> impl Strategy<Value = Event> {
    let ids = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
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
        context: ids.5,
        value,
        ..event(0)
    })
}

/// Any argument.
pub fn any_argument() -> impl Strategy<Value = Argument> {
    let bytes = (any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>());
    let wide = (0..1_u64 << 62, 0..1_u64 << 62, any::<u64>());
    // NaN is equal to nothing.
    let largest = any::<f32>().prop_filter("a number", |largest| !largest.is_nan());
    (bytes, wide, any::<[u32; 6]>(), largest).prop_map(|(bytes, (time, call, value), ids, largest)| {
        Argument {
            direction: bytes.0,
            value_kind: bytes.1,
            thread: bytes.2,
            flags: bytes.3,
            time,
            call,
            value,
            iteration: ids[0],
            function: ids[1],
            name: ids[2],
            text: ids[3],
            object: ids[4],
            storage: ids[5],
            largest,
            ..Argument::EMPTY
        }
    })
}

/// Any record of a collective.
pub fn any_collective() -> impl Strategy<Value = Collective> {
    let bytes = any::<[u8; 5]>();
    let wide = (any::<[u64; 2]>(), 0..1_u64 << 62, 0..1_u64 << 62, 0..1_u64 << 62);
    let contents = (any::<[u64; 2]>(), -1e300..1e300, 0_f32..1e30);
    (bytes, any::<[u16; 2]>(), wide, any::<[u32; 6]>(), any::<[i32; 2]>(), contents).prop_map(
        |(bytes, shorts, (elements, time, call, number), longs, signed, (hash, sum, l2))| {
            let has = shorts[1] & collective::CONTENTS != 0;
            Collective {
                event: bytes[0],
                stage: bytes[1],
                op: bytes[2],
                reduce: bytes[3],
                element_type: bytes[4],
                thread: shorts[0],
                flags: shorts[1],
                time,
                call,
                number,
                iteration: longs[0],
                step: longs[1],
                group: longs[2],
                sequence: longs[3],
                tensors: longs[4],
                message: longs[5],
                elements_in: elements[0],
                elements_out: elements[1],
                peer: signed[0],
                tag: signed[1],
                hash_low: if has { hash[0] } else { 0 },
                hash_high: if has { hash[1] } else { 0 },
                sum: if has { sum } else { 0.0 },
                l2: if has { l2 } else { 0.0 },
                ..Collective::EMPTY
            }
        },
    )
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
