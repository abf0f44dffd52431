//! What is done with the bytes that a fuzzer makes up; shared by the fuzz targets and by the tests that replay them.
//!
//! Whatever the bytes are, nothing may panic, hang, or take memory that grows faster than they do.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use traincheck_analyzer::check::check;
use traincheck_analyzer::infer::{Reference, infer};
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::report::Report;
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::sketch::{Counted, Identity, Sketch};
use traincheck_analyzer::source::{Batch, MemoryTrace};
use traincheck_benches::synthetic::Synthetic;
use traincheck_schema::record::*;
use traincheck_schema::run::Run;

#[allow(dead_code)]
#[path = "../../../schema/tests/common/damage.rs"]
mod damage;
#[path = "../../tests/support/sketched.rs"]
mod sketched;

/// A target, and what to begin with.
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&[u8]),
    /// Inputs that get far.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "segment", run: segment, seeds: seeds_of_segment },
    Target { name: "records", run: records, seeds: seeds_of_records },
    Target { name: "invariants", run: invariants, seeds: seeds_of_invariants },
    Target { name: "sketch", run: sketch, seeds: seeds_of_sketch },
];

/// A short training, in memory.
static TRACE: LazyLock<MemoryTrace> = LazyLock::new(|| Synthetic { events: 9_000, ..short(1) }.memory());

/// What it teaches.
static LEARNED: LazyLock<Invariants> = LazyLock::new(|| infer(vec![Reference::of("run", &TRACE)]));

fn short(seed: u64) -> Synthetic {
    Synthetic { seed, events: 1, blocks: 1, ..Synthetic::default() }
}

fn learn_and_check(trace: &MemoryTrace) {
    let own = infer(vec![Reference::of("run", trace)]);
    for invariants in [&own, &*LEARNED] {
        let checked = check(&mut trace.source(), invariants, "host-1");
        Report::new("run".into(), invariants, &checked);
    }
}

/// The bytes as the one segment of a run: it is learned from and checked. The first byte says whether its checksums
/// are made right first.
pub fn segment(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if how % 2 == 1 {
        damage::reseal(&mut bytes);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("host-1-0.tcs"), bytes).expect("room for a segment");
    let Ok(run) = Run::open(folder.path()) else { return };
    let (sketch, _) = runs::sketch(std::slice::from_ref(&run), &Progress::default()).expect("one run");
    for invariants in [&infer(sketch.into_references()), &*LEARNED] {
        let checked = runs::check(&run, invariants, &Progress::default());
        Report::new("run".into(), invariants, &checked);
    }
}

fn seeds_of_segment() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |(number, sealed): (u64, bool)| {
        let path = folder.path().join(number.to_string());
        short(number).write(&path, sealed).expect("room for a segment");
        fs::read(path.join("synthetic-1-0.tcs")).expect("what was written")
    };
    let segments = [(1, true), (2, false)].map(write);
    (0..2).flat_map(|how| segments.clone().map(|bytes| [&[how], &bytes[..]].concat())).collect()
}

/// A name of every kind and role that there is.
static NAMES: LazyLock<Vec<DictEntry>> = LazyLock::new(|| {
    let mut names = Vec::new();
    let mut add = |kind: DictKind, detail: u16, text: String, owner: u32| {
        let id = names.len() as u32 + 1;
        let type_name = if kind == DictKind::Object { format!("torch.{text}") } else { String::new() };
        names.push(DictEntry {
            id,
            kind: kind as u8,
            detail,
            text,
            owner,
            type_name,
            ..DictEntry::default()
        });
    };
    for detail in 0..30 {
        add(DictKind::Function, detail, format!("torch.Class.function_{detail}"), 0);
    }
    add(DictKind::Function, Role::User as u16, "__main__.other".into(), 0);
    for detail in 0..6 {
        add(DictKind::Object, detail, format!("Object_{detail}"), 0);
    }
    add(DictKind::Object, ObjectKind::Module as u16, "Object_0.part".into(), 32);
    for detail in 0..14 {
        add(DictKind::Variable, detail, format!("Object_0.variable_{detail}"), 32);
    }
    for text in ["33", "33,34", "", "x", "[8, 3] float32", "32", "99999999999"] {
        add(DictKind::Text, 0, text.into(), 0);
    }
    add(DictKind::Site, 0, "main".into(), 0);
    add(DictKind::Context, 0, "autocast(cpu, bfloat16)".into(), 0);
    names
});

/// Bytes of one record.
const RECORD: usize = 12;

/// The bytes as records, twelve each: any kinds in any order, of names that there are. What they make up is learned
/// from and checked.
pub fn records(data: &[u8]) {
    let mut trace = MemoryTrace { dictionary: NAMES.clone(), ..MemoryTrace::default() };
    let mut batch = Batch::default();
    let (mut time, mut iteration) = (1_u64, 0_u32);
    for bytes in data.chunks_exact(RECORD).take(2_000) {
        let [kind, call, parent, name, object, low, high, value, step, thread, extra, number] =
            bytes.first_chunk::<RECORD>().copied().unwrap_or_default();
        time += u64::from(step % 8);
        iteration = iteration.wrapping_add(u32::from(step / 64)).max(u32::from(step == 255) * u32::MAX);
        let flags = u16::from_le_bytes([low, high]);
        match kind % 32 {
            24..=28 => batch.states.push(State {
                stage: low % 5,
                attribute: object % 10,
                value_kind: value % 8,
                thread: (thread % 3).into(),
                time,
                iteration,
                step: iteration,
                call: call.into(),
                variable: name.into(),
                text: extra.into(),
                int: number.into(),
                float: [0.0, 1.0, f64::NAN, f64::INFINITY, -1e300, 1e-300][usize::from(extra % 6)],
                hash_low: number.into(),
                nan: (extra == 7).into(),
                inf: (extra == 8).into(),
                zeros: (number % 9).into(),
                elements: 8,
                l2: [1.0, 0.0, f32::NAN, f32::INFINITY, f32::MAX][usize::from(parent % 5)],
                min: -1.0,
                max: f32::from(number),
                point: parent.into(),
                ..State::EMPTY
            }),
            29 | 30 => batch.arguments.push(Argument {
                direction: low % 4,
                value_kind: value % 12,
                thread: (thread % 3).into(),
                time,
                call: call.into(),
                iteration,
                function: name.into(),
                name: object.into(),
                text: extra.into(),
                value: u64::from(number) << (parent % 64),
                object: parent.into(),
                storage: (extra % 4).into(),
                flags,
                ..Argument::EMPTY
            }),
            31 => {
                batch.lost = (number % 4).into();
                trace.batches.push(std::mem::take(&mut batch));
            }
            kind => batch.events.push(Event {
                kind,
                stage: high >> 4,
                flags,
                thread: if thread == 255 { u16::MAX } else { (thread % 3).into() },
                time,
                iteration,
                step: iteration,
                call: call.into(),
                parent: parent.into(),
                name: name.into(),
                site: extra.into(),
                object: object.into(),
                context: extra.into(),
                value: value.into(),
                ..Event::EMPTY
            }),
        }
    }
    trace.batches.push(batch);
    learn_and_check(&trace);
}

/// A training, told in such records.
fn seeds_of_records() -> Vec<Vec<u8>> {
    let enter = |call, parent, role: Role, object, flags: u16| {
        let [low, high] = flags.to_le_bytes();
        [EventKind::Enter as u8, call, parent, role as u8 + 1, object, low, high, 0, 1, 0, 57, 0]
    };
    let exit = |call, parent, role: Role, object| {
        [EventKind::Exit as u8, call, parent, role as u8 + 1, object, 1, 0x10, 0, 1, 0, 57, 0]
    };
    let event = |kind: EventKind, call, name, object, step| {
        [kind as u8, call, 0, name, object, 1, 0x10, 0, step, 0, 57, 0]
    };
    let state = |attribute: Attribute, value: ValueKind, call, number, text| {
        [24, call, 0, 39, attribute as u8, 0, 0, value as u8, 0, 0, text, number]
    };
    let mut training = vec![event(EventKind::Created, 0, 0, 32, 1), event(EventKind::Created, 0, 0, 33, 1)];
    for number in 0..8 {
        training.push(event(EventKind::Iteration, 0, 0, 0, 65));
        let grad = flags::GRAD | flags::OUTERMOST | flags::MODULE_TRAIN;
        for (call, role, object, attribute) in [
            (1, Role::ModuleCall, 32, Attribute::Value),
            (2, Role::Backward, 0, Attribute::Grad),
            (3, Role::OptimizerStep, 33, Attribute::Data),
            (4, Role::ZeroGrad, 33, Attribute::HeldBy),
        ] {
            let call = number * 8 + call;
            training.push(enter(call, 0, role, object, grad));
            training.push([29, call, 0, role as u8 + 1, 55, 0, 0, 2, 0, 0, 57, number]);
            training.push(exit(call, 0, role, object));
            training.push(event(EventKind::Look, call, role as u8 + 1, object, 1));
            let (value, text) =
                if attribute == Attribute::HeldBy { (ValueKind::Text, 53) } else { (ValueKind::Tensor, 0) };
            training.push(state(attribute, value, call, number, text));
        }
    }
    vec![training.concat()]
}

/// The bytes as a file of invariants: what can be read is written again, and a good run is checked with it.
pub fn invariants(data: &[u8]) {
    let Ok(read) = Invariants::parse(data, Path::new("fuzzed.json")) else { return };
    let again =
        Invariants::parse(read.to_json().as_bytes(), Path::new("again.json")).expect("what was written");
    assert_eq!(again, read);
    let checked = check(&mut TRACE.source(), &read, "host-1");
    Report::new("run".into(), &read, &checked);
}

fn seeds_of_invariants() -> Vec<Vec<u8>> {
    // Some of each relation are enough.
    let mut few = LEARNED.clone();
    let mut seen = std::collections::BTreeMap::new();
    few.invariants.retain(|invariant| {
        let count = seen.entry(invariant.claim.relation()).or_insert(0);
        *count += 1;
        *count <= 3
    });
    vec![few.to_json().into_bytes()]
}

/// The bytes as a sketch: it is merged, written and learned from. The first byte says whether they are only its lines, and a
/// sketch is made of them.
pub fn sketch(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 1 { sketched::with_lines(&SKETCH, rest) } else { rest.to_vec() };
    let Ok(read) = Sketch::parse(&bytes, Path::new("fuzzed.sketch")) else { return };
    let written = read.to_bytes().expect("memory");
    assert_eq!(Sketch::parse(&written, Path::new("again.sketch")).expect("what was written"), read);
    infer(Sketch::merge([read]).expect("each run once").into_references());
}

/// What was counted of the short training, as a file.
static SKETCH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let reference = Reference::of("run", &Synthetic { events: 1_000, ..short(1) }.memory());
    let identity = Identity { folder: "/run".into(), recordings: Vec::new() };
    Sketch::of(Counted { identity, reference }).to_bytes().expect("memory")
});

fn seeds_of_sketch() -> Vec<Vec<u8>> {
    vec![[&[0], &SKETCH[..]].concat(), [&[1], &sketched::lines(&SKETCH)[..]].concat()]
}
