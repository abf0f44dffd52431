//! Records and a segment to try things on.

use std::path::Path;

use traincheck_schema::record::{
    ARGUMENT_KIND, ARGUMENT_SIZE, Argument, ArgumentKind, Attribute, Collective, CollectiveEvent,
    CollectiveKind, DictEntry, DictKind, EVENT_SIZE, Event, EventKind, STATE_KIND, STATE_SIZE, State,
    ValueKind,
};
use traincheck_schema::segment::{
    DropReason, Dropped, Ending, FILE_HEADER_SIZE, ProcessHeader, Records, RingPosition, SegmentReader,
    SegmentWriter,
};

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
        context: 0,
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

pub fn argument(time: u64) -> Argument {
    Argument {
        size: ARGUMENT_SIZE as u16,
        kind: ARGUMENT_KIND,
        value_kind: ArgumentKind::Int as u8,
        time,
        call: time,
        iteration: (time / 1000) as u32,
        function: 1,
        name: 3,
        value: time.wrapping_neg(),
        ..Argument::EMPTY
    }
}

pub fn collective(time: u64) -> Collective {
    Collective {
        event: CollectiveEvent::Issued as u8,
        op: CollectiveKind::AllReduce as u8,
        time,
        call: time,
        number: time / 2,
        iteration: (time / 1000) as u32,
        group: 3,
        sequence: time as u32,
        elements_in: 64,
        elements_out: 64,
        tensors: 1,
        element_type: 6,
        ..Collective::EMPTY
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
        launcher: "torch".to_owned(),
        local_rank: Some(1),
        node: Some(1),
        attempt: Some(2),
        job: "torchelastic-exp-7".to_owned(),
        ..ProcessHeader::default()
    }
}

/// The header of segment `number`.
pub fn header_of(number: u64) -> ProcessHeader {
    ProcessHeader { segment_index: number as u32, ..header() }
}

/// A small sealed segment of every kind of frame, and where its frames begin.
pub fn sample(path: &Path) -> (Vec<u8>, Vec<u64>) {
    let mut writer = SegmentWriter::create(path, &header()).unwrap();
    let mut begins = vec![FILE_HEADER_SIZE as u64];
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

/// A small sealed segment with arguments and collectives, and where its frames begin.
pub fn sample_with_arguments(path: &Path) -> (Vec<u8>, Vec<u64>) {
    let mut writer = SegmentWriter::create(path, &header()).unwrap();
    let arguments: Vec<Argument> = (0..20).map(|i| argument(10_000 + i * 37)).collect();
    writer.write_records(Records { arguments: &arguments, ..Records::default() }, &[], &[]).unwrap();
    let collectives: Vec<Collective> = (0..20).map(|i| collective(10_000 + i * 37)).collect();
    writer.write_records(Records { collectives: &collectives, ..Records::default() }, &[], &[]).unwrap();
    writer.seal(&Ending::default()).unwrap();
    let mut reader = SegmentReader::open(path).unwrap();
    let begins = std::iter::from_fn(|| {
        reader.next_frame()?.unwrap();
        Some(reader.frame_offset())
    });
    let begins = begins.collect();
    (std::fs::read(path).unwrap(), begins)
}
