//! Records as the agent writes them, for one thread.

use std::collections::HashMap;

use traincheck_schema::record::*;
use traincheck_schema::run::Batch;

use super::Block;

/// Numbers that look random, the same for the same seed.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// SplitMix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}

/// A function that is called from one line, on one object.
#[derive(Clone, Copy)]
pub struct Call {
    pub name: u32,
    pub site: u32,
    pub object: u32,
    pub flags: u16,
    pub op: bool,
}

/// Of these `call` and `parent` are the enclosing call.
fn kind_is_no_call(kind: EventKind) -> bool {
    matches!(kind, EventKind::Iteration | EventKind::Stage | EventKind::Created)
}

/// A value of a state or an argument.
#[derive(Clone, Copy)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(u32),
    /// Contents of so many elements, told apart by this number.
    Tensor(u64, u64),
}

pub struct Recorder {
    /// The same on all ranks.
    pub noise: Noise,
    /// Each rank's own.
    pub own: Noise,
    pub iteration: u32,
    pub step: u32,
    pub stage: Stage,
    pub grad: bool,
    /// Whether ops and arguments are recorded.
    pub sampled: bool,
    time: u64,
    calls: u64,
    /// How many collectives were issued.
    issued: u32,
    open: Vec<(u64, Call)>,
    names: HashMap<(u8, String, u32), u32>,
    new_names: Vec<DictEntry>,
    records: Batch,
    taken: u64,
    last_looks: HashMap<(u32, u8), u64>,
}

impl Recorder {
    pub fn new(seed: u64, rank: u32) -> Recorder {
        Recorder {
            noise: Noise::new(seed),
            own: Noise::new(seed ^ u64::from(rank + 1) << 32),
            iteration: 0,
            step: 0,
            stage: Stage::Init,
            grad: true,
            sampled: true,
            time: 1_000_000_000,
            calls: 0,
            issued: 0,
            open: Vec::new(),
            names: HashMap::new(),
            new_names: Vec::new(),
            records: Batch::default(),
            taken: 0,
            last_looks: HashMap::new(),
        }
    }

    /// Events that have not been taken.
    pub fn waiting(&self) -> usize {
        self.records.events.len()
    }

    /// Events since the beginning.
    pub fn events_made(&self) -> u64 {
        self.taken + self.records.events.len() as u64
    }

    /// The first `most` events with what belongs to them; none if there are none.
    pub fn take(&mut self, most: usize) -> Option<Block> {
        if self.records.events.is_empty() {
            return None;
        }
        let later = self.records.events.split_off(most.min(self.records.events.len()));
        let events = std::mem::replace(&mut self.records.events, later);
        // Names and looks may come before the events that they belong to, but not behind them.
        let until = self.records.events.first().map_or(u64::MAX, |event| event.time);
        let states = self.records.states.partition_point(|state| state.time < until);
        let arguments = self.records.arguments.partition_point(|argument| argument.time < until);
        let collectives = self.records.collectives.partition_point(|collective| collective.time < until);
        self.taken += events.len() as u64;
        let records = Batch {
            events,
            states: self.records.states.drain(..states).collect(),
            arguments: self.records.arguments.drain(..arguments).collect(),
            collectives: self.records.collectives.drain(..collectives).collect(),
            ..Batch::default()
        };
        Some(Block { names: std::mem::take(&mut self.new_names), records })
    }

    fn name(&mut self, entry: DictEntry) -> u32 {
        let key = (entry.kind, entry.text.clone(), entry.line);
        let next = self.names.len() as u32 + 1;
        *self.names.entry(key).or_insert_with(|| {
            self.new_names.push(DictEntry { id: next, ..entry });
            next
        })
    }

    pub fn text(&mut self, text: &str) -> u32 {
        self.name(DictEntry { kind: DictKind::Text as u8, text: text.into(), ..DictEntry::default() })
    }

    pub fn object(&mut self, name: &str, kind: ObjectKind, class: &str, owner: u32) -> u32 {
        self.name(DictEntry {
            kind: DictKind::Object as u8,
            detail: kind as u16,
            owner,
            text: name.into(),
            type_name: class.into(),
            ..DictEntry::default()
        })
    }

    pub fn variable(&mut self, name: &str, kind: VariableKind, owner: u32) -> u32 {
        self.name(DictEntry {
            kind: DictKind::Variable as u8,
            detail: kind as u16,
            owner,
            text: name.into(),
            ..DictEntry::default()
        })
    }

    pub fn function(&mut self, name: &str, role: Role, line: u32, object: u32) -> Call {
        let place = |kind: DictKind, text: &str, line| DictEntry {
            kind: kind as u8,
            line,
            text: text.into(),
            file: "/home/somebody/train.py".into(),
            ..DictEntry::default()
        };
        let name = self.name(DictEntry { detail: role as u16, ..place(DictKind::Function, name, 0) });
        let site = self.name(place(DictKind::Site, "main", line));
        Call { name, site, object, flags: 0, op: false }
    }

    pub fn op(&mut self, name: &str) -> Call {
        let name =
            self.name(DictEntry { kind: DictKind::Op as u8, text: name.into(), ..DictEntry::default() });
        Call { name, site: 0, object: 0, flags: 0, op: true }
    }

    fn event(&mut self, kind: EventKind, number: u64, call: Call, value: u64) {
        self.time += 300 + self.own.next() % 20_000;
        let around = self.open.iter().rev().find(|open| open.0 != number || kind_is_no_call(kind));
        let parent = around.map_or(0, |open| open.0);
        let grad = if self.grad { flags::GRAD } else { 0 };
        let sampled = if self.sampled { flags::ALL_OPS } else { 0 };
        self.records.events.push(Event {
            kind: kind as u8,
            stage: self.stage as u8,
            flags: call.flags | grad | sampled,
            time: self.time,
            iteration: self.iteration,
            step: self.step,
            call: number,
            parent,
            name: call.name,
            site: call.site,
            object: call.object,
            value,
            ..Event::EMPTY
        });
    }

    pub fn enter(&mut self, call: Call) {
        self.calls += 1;
        let number = self.calls;
        self.event(if call.op { EventKind::OpEnter } else { EventKind::Enter }, number, call, 0);
        self.open.push((number, call));
    }

    fn leave(&mut self, raised: bool) {
        let Some((number, mut call)) = self.open.pop() else { return };
        call.flags |= if raised { flags::RAISED } else { 0 };
        self.event(if call.op { EventKind::OpExit } else { EventKind::Exit }, number, call, 0);
        self.open.push((number, call));
    }

    pub fn exit(&mut self) {
        self.leave(false);
        self.open.pop();
    }

    pub fn raise(&mut self) {
        self.leave(true);
        self.open.pop();
    }

    pub fn call(&mut self, call: Call) {
        self.enter(call);
        self.exit();
    }

    /// The innermost call returns, and `then` looks at what it has done.
    pub fn exit_and(&mut self, then: impl FnOnce(&mut Recorder)) {
        self.leave(false);
        then(self);
        self.open.pop();
    }

    pub fn has_open_calls(&self) -> bool {
        !self.open.is_empty()
    }

    /// An event that is no call, within the innermost one.
    pub fn happened(&mut self, kind: EventKind, object: u32, value: u64) {
        let (number, call) = self.open.last().copied().unwrap_or((0, Call::NONE));
        self.event(kind, number, Call { name: 0, object, flags: 0, ..call }, value);
    }

    /// A look at the entry or return of the innermost call.
    pub fn look(&mut self, bits: u64) {
        let (number, call) = self.open.last().copied().unwrap_or((0, Call::NONE));
        self.event(EventKind::Look, number, Call { flags: 0, ..call }, bits);
    }

    /// What was found of a variable, at the time of the last event.
    pub fn state(&mut self, variable: u32, attribute: Attribute, value: Value) {
        let (call, point) = self.open.last().map_or((0, 0), |(number, call)| (*number, call.name));
        let since = self.last_looks.insert((variable, attribute as u8), self.time).unwrap_or(0);
        let mut state = State {
            stage: self.stage as u8,
            attribute: attribute as u8,
            time: self.time,
            iteration: self.iteration,
            step: self.step,
            call,
            since,
            variable,
            point,
            ..State::EMPTY
        };
        state.value_kind = match value {
            Value::None => ValueKind::None,
            Value::Bool(flag) => {
                state.int = flag.into();
                ValueKind::Bool
            }
            Value::Int(number) => {
                state.int = number;
                ValueKind::Int
            }
            Value::Float(number) => {
                state.float = number;
                ValueKind::Float
            }
            Value::Text(text) => {
                state.text = text;
                ValueKind::Text
            }
            Value::Tensor(elements, contents) => {
                let mut noise = Noise::new(contents);
                (state.elements, state.hash_low, state.hash_high) = (elements, noise.next(), noise.next());
                (state.min, state.max) = (-noise.share(), noise.share());
                state.l2 = (elements as f32).sqrt() * (0.1 + noise.share());
                ValueKind::Tensor
            }
        } as u8;
        self.records.states.push(state);
    }

    /// A group of all ranks.
    pub fn group(&mut self, rank: u32, size: u32) -> u32 {
        self.name(DictEntry {
            kind: DictKind::ProcessGroup as u8,
            text: "0".into(),
            type_name: "gloo".into(),
            owner: rank,
            line: size,
            ..DictEntry::default()
        })
    }

    /// An `all_reduce` that the innermost call issues, at the time of the last event, and that has ended.
    pub fn all_reduce(&mut self, group: u32, elements: u64) {
        self.issued += 1;
        for event in [CollectiveEvent::Issued, CollectiveEvent::Completed, CollectiveEvent::Waited] {
            self.records.collectives.push(Collective {
                event: event as u8,
                stage: self.stage as u8,
                op: CollectiveKind::AllReduce as u8,
                time: self.time,
                call: self.open.last().map_or(0, |(number, _)| *number),
                number: self.issued.into(),
                iteration: self.iteration,
                step: self.step,
                group,
                sequence: self.issued,
                elements_in: elements,
                elements_out: elements,
                tensors: 1,
                reduce: ReduceKind::Sum as u8,
                element_type: 6,
                ..Collective::EMPTY
            });
        }
    }

    /// What the innermost call was given or gave back, at the time of the last event.
    pub fn argument(&mut self, direction: Direction, name: u32, value: Value) {
        let Some(&(number, call)) = self.open.last() else { return };
        let mut argument = Argument {
            direction: direction as u8,
            time: self.time,
            call: number,
            iteration: self.iteration,
            function: call.name,
            name,
            ..Argument::EMPTY
        };
        argument.value_kind = match value {
            Value::None => ArgumentKind::None,
            Value::Bool(flag) => {
                argument.value = flag.into();
                ArgumentKind::Bool
            }
            Value::Int(number) => {
                argument.value = number as u64;
                ArgumentKind::Int
            }
            Value::Float(number) => {
                argument.value = number.to_bits();
                ArgumentKind::Float
            }
            Value::Text(text) => {
                argument.text = text;
                ArgumentKind::Text
            }
            Value::Tensor(shape, storage) => {
                (argument.text, argument.storage) = (shape as u32, storage as u32);
                ArgumentKind::Tensor
            }
        } as u8;
        self.records.arguments.push(argument);
    }
}

impl Call {
    const NONE: Call = Call { name: 0, site: 0, object: 0, flags: 0, op: false };

    pub fn with(self, flags: u16) -> Call {
        Call { flags: self.flags | flags, ..self }
    }
}
