//! `tests/golden/vVERSION.tcs` was written once, when that version of the format was made, and is never written
//! again; beside it is what it says, as text. Reading it must always give that text.
//!
//! A new version gets new files: `cargo test -p traincheck-schema --test golden_files_of_every_version_are_read
//! -- --ignored` writes those that are missing.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use traincheck_schema::record::{
    Argument, ArgumentKind, Attribute, Collective, CollectiveEvent, CollectiveKind, DictEntry, DictKind,
    Direction, EVENT_SIZE, Event, EventKind, ObjectKind, ReduceKind, Role, STATE_KIND, STATE_SIZE, Stage,
    State, UnknownCase, ValueKind, VariableKind, collective, flags, look, tensor,
};
use traincheck_schema::segment::{
    BlockEnd, DropReason, Dropped, Ending, FormatVersion, Frame, Records, RingPosition, SegmentReader,
    SegmentWriter,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The versions that there are files of.
const VERSIONS: [&str; 7] = ["1", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"];

/// Flags of a tensor whose elements were looked at.
const LOOKED_AT: u16 = tensor::REQUIRES_GRAD | tensor::LARGEST_KNOWN;

/// Some records of every kind.
fn write(path: &Path) {
    let mut writer = SegmentWriter::create(path, &common::header()).unwrap();
    writer.write_dictionary(&dictionary()).unwrap();
    let dropped = [
        Dropped { ring: 0, count: 3, reason: DropReason::RingFull },
        Dropped { ring: 2, count: 1, reason: DropReason::DictionaryFull },
        Dropped { ring: 0, count: 7, reason: DropReason::DiskFull },
        Dropped { ring: 65_535, count: 1 << 33, reason: DropReason::BeforeStart },
    ];
    let positions = [RingPosition { ring: 0, position: 4096 }, RingPosition { ring: 2, position: 1 << 40 }];
    let records = Records {
        events: &events(),
        states: &states(),
        arguments: &arguments(),
        collectives: &collectives(),
    };
    writer.write_records(records, &dropped, &positions).unwrap();
    writer.write_block(&[], &[], &[], &positions).unwrap();
    writer.write_block(&events()[..2], &[], &[], &[]).unwrap();
    let account = vec![("python frames".to_owned(), 12_345), ("fingerprints".to_owned(), u64::MAX)];
    writer.seal(&Ending { reason: "exit".to_owned(), monotonic_ns: 9_999, account }).unwrap();
}

fn dictionary() -> Vec<DictEntry> {
    let entry = |id, kind: DictKind, detail, text: &str| DictEntry {
        id,
        kind: kind as u8,
        detail,
        text: text.to_owned(),
        ..DictEntry::default()
    };
    vec![
        DictEntry {
            file: "/usr/lib/python3/torch/optim/adamw.py".to_owned(),
            line: 163,
            ..entry(1, DictKind::Function, Role::OptimizerStep as u16, "torch.optim.adamw.AdamW.step")
        },
        DictEntry {
            file: "train.py".to_owned(),
            line: 31,
            ..entry(2, DictKind::Site, 0, "__main__.train_epoch")
        },
        DictEntry {
            owner: 4,
            ..entry(3, DictKind::Variable, VariableKind::Parameter as u16, "Net.größe.weight")
        },
        DictEntry {
            type_name: "__main__.Net".to_owned(),
            ..entry(4, DictKind::Object, ObjectKind::Module as u16, "Net")
        },
        entry(5, DictKind::Op, 0, "aten::addmm"),
        entry(6, DictKind::Text, 0, "4,7"),
        entry(7, DictKind::Context, 0, "autocast(cpu, bfloat16) deterministic"),
        entry(8, DictKind::Text, 0, "batch[0]"),
        entry(9, DictKind::Text, 0, "[8, 3] float32 cpu"),
        DictEntry {
            type_name: "gloo".to_owned(),
            file: "mesh_dp".to_owned(),
            owner: 1,
            line: 2,
            ..entry(10, DictKind::ProcessGroup, 0, "0")
        },
    ]
}

fn events() -> Vec<Event> {
    let kinds = (1..=23).filter_map(|kind| EventKind::try_from(kind).ok());
    let event = |(i, kind): (u64, EventKind)| Event {
        size: EVENT_SIZE as u16,
        kind: kind as u8,
        stage: (i % 4) as u8,
        flags: flags::GRAD << (i % 9),
        thread: (i % 3) as u16,
        time: 5_000_000_000 + i * i * 977,
        iteration: i as u32 / 4,
        step: i as u32 / 8,
        call: 100 - i,
        parent: if i == 3 { 0 } else { i },
        name: 1,
        site: 2,
        object: 4,
        context: if i % 2 == 0 { 0 } else { 7 },
        value: if kind == EventKind::Look { look::PARAMETERS | look::AT_ENTRY } else { i << (6 * i % 60) },
    };
    (0..).zip(kinds).map(event).collect()
}

fn arguments() -> Vec<Argument> {
    let kinds = (0..=255).filter_map(|kind| ArgumentKind::try_from(kind).ok());
    let argument = |(i, value_kind): (u64, ArgumentKind)| Argument {
        direction: Direction::try_from((i % 3) as u8).unwrap() as u8,
        value_kind: value_kind as u8,
        thread: (i % 3) as u16,
        time: 5_000_000_000 + i * i * 977,
        call: 100 - i,
        iteration: i as u32 / 4,
        function: 1,
        name: 8,
        text: if value_kind == ArgumentKind::Tensor { 9 } else { 0 },
        value: i << (6 * i),
        object: if value_kind == ArgumentKind::Object { 4 } else { 0 },
        storage: i as u32,
        flags: if value_kind == ArgumentKind::Tensor { LOOKED_AT } else { 1 << (i % 4) },
        largest: if value_kind == ArgumentKind::Tensor { 2.5 } else { 0.0 },
        ..Argument::EMPTY
    };
    (0..).zip(kinds).map(argument).collect()
}

fn collectives() -> Vec<Collective> {
    let events = (0..=255).filter_map(|event| CollectiveEvent::try_from(event).ok()).cycle();
    let ops = (0..=255).filter_map(|op| CollectiveKind::try_from(op).ok());
    let reductions = (0..=255).filter_map(|reduce| ReduceKind::try_from(reduce).ok()).cycle();
    let contents = |i: u64| if i.is_multiple_of(3) { collective::CONTENTS | collective::SUM } else { 0 };
    let one =
        |(i, ((event, op), reduce)): (u64, ((CollectiveEvent, CollectiveKind), ReduceKind))| Collective {
            event: event as u8,
            stage: (i % 4) as u8,
            op: op as u8,
            thread: (i % 3) as u16,
            time: 5_000_000_000 + i * i * 977,
            call: 100 - i,
            number: 1 + i / 2,
            iteration: i as u32 / 4,
            step: i as u32 / 8,
            group: 10,
            sequence: i as u32,
            elements_in: i << (2 * i),
            elements_out: i << (2 * i + 1),
            peer: i as i32 - 1,
            tag: if i % 2 == 0 { -1 } else { i as i32 },
            tensors: 1 + i as u32 % 2,
            flags: collective::ASYNC << (i % 4) | contents(i),
            reduce: reduce as u8,
            element_type: if i % 5 == 0 { u8::MAX } else { i as u8 },
            hash_low: if contents(i) == 0 { 0 } else { 0x0123_4567_89ab_cdef + i },
            hash_high: if contents(i) == 0 { 0 } else { 0xfedc_ba98_7654_3210 - i },
            sum: if contents(i) == 0 { 0.0 } else { -0.25 * i as f64 },
            l2: if contents(i) == 0 { 0.0 } else { 2.5 },
            message: i as u32 / 2,
            ..Collective::EMPTY
        };
    (0..).zip(events.zip(ops).zip(reductions)).map(one).collect()
}

fn states() -> Vec<State> {
    let kinds = (0..=6).filter_map(|kind| ValueKind::try_from(kind).ok());
    let state = |(i, value_kind): (u64, ValueKind)| {
        let mut state = State {
            size: STATE_SIZE as u16,
            kind: STATE_KIND,
            stage: (i % 4) as u8,
            attribute: 1 + i as u8,
            value_kind: value_kind as u8,
            thread: 0,
            time: 5_000_000_000 + i,
            iteration: 1,
            step: 0,
            call: 90,
            since: if i == 0 { 0 } else { 4_000_000_000 },
            variable: 3,
            text: 0,
            int: 0,
            float: 0.0,
            hash_low: 0,
            hash_high: 0,
            nan: 0,
            inf: 0,
            zeros: 0,
            elements: 0,
            min: 0.0,
            max: 0.0,
            l2: 0.0,
            point: 1,
            reserved: 0,
        };
        match value_kind {
            ValueKind::Bool => state.int = 1,
            ValueKind::Int => state.int = -77,
            ValueKind::Float => state.float = 0.001,
            ValueKind::Text => state.text = 6,
            ValueKind::Tensor => {
                (state.hash_low, state.hash_high) = (0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
                (state.nan, state.inf, state.zeros, state.elements) = (1, 2, 3, 1 << 33);
                (state.min, state.max, state.l2) = (-0.5, 2.5, 1e20);
            }
            ValueKind::None | ValueKind::Unreadable => {}
        }
        state
    };
    (0..).zip(kinds).map(state).collect()
}

/// A case by its name, or its number where it has none here.
fn case<T: std::fmt::Debug>(case: Result<T, UnknownCase>) -> String {
    case.map_or_else(|UnknownCase(number)| number.to_string(), |case| format!("{case:?}"))
}

fn dump_end(text: &mut String, end: &BlockEnd) {
    for Dropped { ring, count, reason } in &end.dropped {
        writeln!(text, "  dropped {count} of ring {ring}: {reason:?}").unwrap();
    }
    for RingPosition { ring, position } in &end.positions {
        writeln!(text, "  ring {ring} written up to {position}").unwrap();
    }
    writeln!(text, "  {}", if end.more { "more to come" } else { "end of block" }).unwrap();
}

fn dump(path: &Path) -> String {
    let mut text = String::new();
    let t = &mut text;
    let mut reader = SegmentReader::open(path).unwrap();
    while let Some(frame) = reader.next_frame() {
        match frame.unwrap() {
            Frame::Header(h) => {
                writeln!(
                    t,
                    "header of {}-{} (parent {}), segment {}",
                    h.host, h.pid, h.parent_pid, h.segment_index
                )
                .unwrap();
                writeln!(t, "  monotonic {} wall {}", h.monotonic_ns, h.wall_ns).unwrap();
                writeln!(
                    t,
                    "  agent {} python {} torch {}",
                    h.agent_version, h.python_version, h.torch_version
                )
                .unwrap();
                writeln!(t, "  profile {} executable {} script {}", h.profile, h.executable, h.script)
                    .unwrap();
                writeln!(t, "  rank {:?} of {:?}", h.rank, h.world_size).unwrap();
                if !h.launcher.is_empty() {
                    writeln!(t, "    by {}, local {:?} on node {:?}", h.launcher, h.local_rank, h.node)
                        .unwrap();
                    writeln!(t, "    attempt {:?} of {}", h.attempt, h.job).unwrap();
                }
            }
            Frame::Dictionary(entries) => {
                writeln!(t, "dictionary").unwrap();
                for e in entries {
                    let kind = case(DictKind::try_from(e.kind));
                    writeln!(t, "  {} {kind} {} {:?} at {:?}:{}", e.id, e.detail, e.text, e.file, e.line)
                        .unwrap();
                    writeln!(t, "    owner {} type {:?}", e.owner, e.type_name).unwrap();
                }
            }
            Frame::Events(events, end) => {
                writeln!(t, "events").unwrap();
                for e in events {
                    let (kind, stage) = (case(EventKind::try_from(e.kind)), case(Stage::try_from(e.stage)));
                    writeln!(t, "  {} {kind} in {stage} flags {:#x} thread {}", e.time, e.flags, e.thread)
                        .unwrap();
                    writeln!(
                        t,
                        "    iteration {} step {} call {} in {}",
                        e.iteration, e.step, e.call, e.parent
                    )
                    .unwrap();
                    writeln!(t, "    name {} site {} object {} value {}", e.name, e.site, e.object, e.value)
                        .unwrap();
                    if e.context != 0 {
                        writeln!(t, "    context {}", e.context).unwrap();
                    }
                }
                dump_end(t, &end);
            }
            Frame::States(states, end) => {
                writeln!(t, "states").unwrap();
                for s in states {
                    let (attribute, stage) =
                        (case(Attribute::try_from(s.attribute)), case(Stage::try_from(s.stage)));
                    writeln!(t, "  {} {attribute} of {} in {stage} thread {}", s.time, s.variable, s.thread)
                        .unwrap();
                    writeln!(
                        t,
                        "    iteration {} step {} call {} since {}",
                        s.iteration, s.step, s.call, s.since
                    )
                    .unwrap();
                    let kind = case(ValueKind::try_from(s.value_kind));
                    writeln!(t, "    at {} {kind} int {} float {} text {}", s.point, s.int, s.float, s.text)
                        .unwrap();
                    writeln!(
                        t,
                        "    hash {:016x}{:016x} nan {} inf {}",
                        s.hash_high, s.hash_low, s.nan, s.inf
                    )
                    .unwrap();
                    writeln!(
                        t,
                        "    zeros {} of {} min {} max {} l2 {}",
                        s.zeros, s.elements, s.min, s.max, s.l2
                    )
                    .unwrap();
                }
                dump_end(t, &end);
            }
            Frame::Arguments(arguments, end) => {
                writeln!(t, "arguments").unwrap();
                for a in arguments {
                    let direction = case(Direction::try_from(a.direction));
                    let kind = case(ArgumentKind::try_from(a.value_kind));
                    writeln!(t, "  {} {direction} {} of {} thread {}", a.time, a.name, a.function, a.thread)
                        .unwrap();
                    writeln!(t, "    iteration {} call {}", a.iteration, a.call).unwrap();
                    writeln!(t, "    {kind} value {:#x} text {} object {}", a.value, a.text, a.object)
                        .unwrap();
                    writeln!(t, "    storage {} flags {:#x}", a.storage, a.flags).unwrap();
                    if a.flags & tensor::LARGEST_KNOWN != 0 {
                        writeln!(t, "    largest {}", a.largest).unwrap();
                    }
                }
                dump_end(t, &end);
            }
            Frame::Collectives(collectives, end) => {
                writeln!(t, "collectives").unwrap();
                for c in collectives {
                    let event = case(CollectiveEvent::try_from(c.event));
                    let op = case(CollectiveKind::try_from(c.op));
                    let stage = case(Stage::try_from(c.stage));
                    writeln!(t, "  {} {event} {op} in {stage} thread {}", c.time, c.thread).unwrap();
                    writeln!(t, "    iteration {} step {} call {}", c.iteration, c.step, c.call).unwrap();
                    writeln!(t, "    number {} of group {} {}", c.number, c.group, c.sequence).unwrap();
                    let reduce = case(ReduceKind::try_from(c.reduce));
                    writeln!(t, "    {reduce} of {} to {}", c.elements_in, c.elements_out).unwrap();
                    writeln!(t, "    type {} tensors {} flags {:#x}", c.element_type, c.tensors, c.flags)
                        .unwrap();
                    writeln!(t, "    peer {} tag {}", c.peer, c.tag).unwrap();
                    if c.message != 0 {
                        writeln!(t, "    message {}", c.message).unwrap();
                    }
                    if c.has(collective::CONTENTS) {
                        let hash = format!("{:016x}{:016x}", c.hash_high, c.hash_low);
                        writeln!(t, "    hash {hash} sum {} l2 {}", c.sum, c.l2).unwrap();
                    }
                }
                dump_end(t, &end);
            }
            Frame::Footer(footer) => {
                writeln!(t, "footer: {} at {}", footer.ending.reason, footer.ending.monotonic_ns).unwrap();
                for (name, value) in &footer.ending.account {
                    writeln!(t, "  {name}: {value}").unwrap();
                }
                let totals = footer.totals;
                writeln!(
                    t,
                    "  {} events, {} states, {} entries",
                    totals.events, totals.states, totals.entries
                )
                .unwrap();
                writeln!(t, "  {} dropped, {} frames", totals.dropped, totals.frames).unwrap();
                if totals.arguments > 0 {
                    writeln!(t, "  {} arguments", totals.arguments).unwrap();
                }
                if totals.collectives > 0 {
                    writeln!(t, "  {} collectives", totals.collectives).unwrap();
                }
                for f in &footer.frames {
                    // Without offsets: they depend on how well the payloads were compressed.
                    writeln!(t, "  kind {} rows {} times {}-{}", f.kind, f.rows, f.first_time, f.last_time)
                        .unwrap();
                    writeln!(t, "    iterations {}-{}", f.first_iteration, f.last_iteration).unwrap();
                }
            }
            Frame::Unknown(kind) => writeln!(t, "a frame of kind {kind}").unwrap(),
        }
    }
    assert!(reader.is_sealed());
    text
}

#[test]
fn as_they_were_written() {
    for version in VERSIONS {
        let expected = std::fs::read_to_string(golden(&format!("v{version}.txt"))).unwrap();
        let found = dump(&golden(&format!("v{version}.tcs")));
        assert!(found == expected, "version {version} is read as\n{found}");
    }
}

#[test]
fn the_newest_is_that_which_is_written() {
    assert_eq!(VERSIONS.last().copied(), Some(FormatVersion::CURRENT.to_string().as_str()));
}

#[test]
fn and_what_is_written_now_says_the_same_as_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host-42-0.tcs");
    write(&path);
    let golden = golden(&format!("v{}.tcs", FormatVersion::CURRENT));
    assert_eq!(dump(&path), dump(&golden));
}

#[test]
#[ignore = "writes the golden files of a new version"]
fn write_those_that_are_missing() {
    let name = format!("v{}", FormatVersion::CURRENT);
    let path = golden(&format!("{name}.tcs"));
    if !path.exists() {
        write(&path);
        std::fs::write(golden(&format!("{name}.txt")), dump(&path)).unwrap();
    }
}
