//! Writes events and states as the agent does, one thread.

use std::collections::HashMap;

use traincheck_analyzer::source::{Batch, End, MemoryTrace};
use traincheck_schema::record::*;

/// Elements of every tensor.
const ELEMENTS: u64 = 64;

/// Records calls.
pub struct Recorder {
    dictionary: Vec<DictEntry>,
    index: HashMap<(u8, String, u32), u32>,
    events: Vec<Event>,
    states: Vec<State>,
    arguments: Vec<Argument>,
    collectives: Vec<Collective>,
    issued: u64,
    time: u64,
    calls: u64,
    /// Number, name, object and site of the open calls.
    open: Vec<(u64, u32, u32, u32, u16)>,
    /// Thread of what follows.
    pub thread: u16,
    /// Iteration of what follows.
    pub iteration: u32,
    /// Step of what follows.
    pub step: u32,
    /// Stage of what follows.
    pub stage: Stage,
    /// Whether gradients are enabled.
    pub grad: bool,
    /// Dictionary id of the context of what follows.
    pub context: u32,
    line: u32,
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder {
            dictionary: Vec::new(),
            index: HashMap::new(),
            events: Vec::new(),
            states: Vec::new(),
            arguments: Vec::new(),
            collectives: Vec::new(),
            issued: 0,
            time: 0,
            calls: 0,
            open: Vec::new(),
            thread: 0,
            iteration: 0,
            step: 0,
            stage: Stage::Init,
            grad: true,
            context: 0,
            line: 0,
        }
    }
}

impl Recorder {
    fn entry(&mut self, kind: DictKind, text: &str, detail: u16, owner: u32, class: &str, line: u32) -> u32 {
        let key = (kind as u8, text.to_owned(), line);
        if let Some(&id) = self.index.get(&key) {
            return id;
        }
        let id = self.dictionary.len() as u32 + 1;
        let file = if kind == DictKind::Site { "train.py" } else { "" };
        self.dictionary.push(DictEntry {
            id,
            kind: kind as u8,
            detail,
            line,
            owner,
            text: text.into(),
            file: file.into(),
            type_name: class.into(),
        });
        self.index.insert(key, id);
        id
    }

    pub fn function(&mut self, name: &str, role: Role) -> u32 {
        self.entry(DictKind::Function, name, role as u16, 0, "", 0)
    }

    pub fn object(&mut self, name: &str, kind: ObjectKind, class: &str) -> u32 {
        self.entry(DictKind::Object, name, kind as u16, 0, class, 0)
    }

    /// A module in the root module `root`: of those that are defined right behind it.
    pub fn module_below(&mut self, root: u32, name: &str, class: &str) -> u32 {
        self.entry(DictKind::Object, name, ObjectKind::Module as u16, root, class, 0)
    }

    pub fn variable(&mut self, name: &str, kind: VariableKind, owner: u32) -> u32 {
        self.entry(DictKind::Variable, name, kind as u16, owner, "", 0)
    }

    /// The name of what has this id.
    pub fn name(&self, id: u32) -> String {
        self.dictionary[id as usize - 1].text.clone()
    }

    /// A group of processes, of which this one is number `rank`.
    pub fn group(&mut self, name: &str, rank: u32, size: u32) -> u32 {
        self.entry(DictKind::ProcessGroup, name, 0, rank, "gloo", size)
    }

    /// Something happens to a collective; one that is issued gets its numbers, which are given back: its own, and its place.
    pub fn collective(&mut self, event: CollectiveEvent, record: Collective) -> (u64, u32) {
        self.time += 10;
        let mut record = Collective {
            event: event as u8,
            stage: self.stage as u8,
            thread: self.thread,
            time: self.time,
            iteration: self.iteration,
            step: self.step,
            ..record
        };
        if event == CollectiveEvent::Issued {
            self.issued += 1;
            (record.number, record.sequence) = (self.issued, self.issued as u32);
        }
        self.collectives.push(record);
        (record.number, record.sequence)
    }

    pub fn text(&mut self, text: &str) -> u32 {
        self.entry(DictKind::Text, text, 0, 0, "", 0)
    }

    /// What follows runs under this context; empty: none.
    pub fn under(&mut self, context: &str) {
        self.context =
            if context.is_empty() { 0 } else { self.entry(DictKind::Context, context, 0, 0, "", 0) };
    }

    /// Calls that follow come from this line of the script.
    pub fn at(&mut self, line: u32) -> &mut Self {
        self.line = line;
        self
    }

    fn site(&mut self) -> u32 {
        if self.line == 0 {
            return 0;
        }
        self.entry(DictKind::Site, "<module>", 0, 0, "", self.line)
    }

    pub fn event(&mut self, kind: EventKind, call: u64, name: u32, object: u32, flags: u16, value: u64) {
        self.time += 10;
        let site = self.site();
        let parent = self.open.iter().rev().find(|open| open.0 != call).map_or(0, |open| open.0);
        self.events.push(Event {
            size: EVENT_SIZE as u16,
            kind: kind as u8,
            stage: self.stage as u8,
            flags: flags | if self.grad { flags::GRAD } else { 0 },
            thread: self.thread,
            time: self.time,
            iteration: self.iteration,
            step: self.step,
            call,
            parent,
            name,
            site,
            object,
            context: self.context,
            value,
        });
    }

    pub fn enter(&mut self, name: &str, role: Role, object: u32, flags: u16) -> u64 {
        let name = self.function(name, role);
        self.calls += 1;
        let call = self.calls;
        self.event(EventKind::Enter, call, name, object, flags, 0);
        self.open.push((call, name, object, 0, flags));
        call
    }

    pub fn exit(&mut self, raised: bool) {
        let (call, name, object, _, flags) = self.open.pop().expect("a call is open");
        let raised = if raised { flags::RAISED } else { 0 };
        self.event(EventKind::Exit, call, name, object, flags | raised, 0);
    }

    /// The innermost call is a generator's, and is suspended.
    pub fn suspend(&mut self) -> Suspended {
        let open = self.open.pop().expect("a call is open");
        self.event(EventKind::Suspend, open.0, open.1, open.2, open.4, 0);
        Suspended(open)
    }

    /// It goes on.
    pub fn resume(&mut self, suspended: Suspended) {
        let open = suspended.0;
        self.event(EventKind::Resume, open.0, open.1, open.2, open.4, 0);
        self.open.push(open);
    }

    /// A call with nothing in it.
    pub fn call(&mut self, name: &str, role: Role, object: u32) {
        self.enter(name, role, object, 0);
        self.exit(false);
    }

    /// An op with nothing in it, or a node that autograd evaluates.
    pub fn op(&mut self, name: &str) {
        let name = self.entry(DictKind::Op, name, 0, 0, "", 0);
        self.calls += 1;
        self.event(EventKind::OpEnter, self.calls, name, 0, 0, 0);
        self.event(EventKind::OpExit, self.calls, name, 0, 0, 0);
    }

    /// Before the first iteration, the parameter was filled by an op in a call from this function of the script.
    pub fn filled(&mut self, variable: u32, by: &str, from: &str) {
        let by = self.entry(DictKind::Op, by, 0, 0, "", 0);
        let site = self.entry(DictKind::Site, from, 0, 0, "", 7);
        self.event(EventKind::Filled, 0, by, 0, 0, variable.into());
        self.events.last_mut().expect("it").site = site;
    }

    /// A look at variables at the entry or return of the innermost open call.
    pub fn look(&mut self, at_entry: bool) {
        let (call, name, object, ..) = *self.open.last().expect("a call is open");
        let value = if at_entry { look::AT_ENTRY } else { 0 } | look::PARAMETERS;
        self.event(EventKind::Look, call, name, object, 0, value);
    }

    /// What the look found.
    pub fn state(&mut self, variable: u32, attribute: Attribute, value: Value) {
        let (call, point, ..) = *self.open.last().expect("a call is open");
        let nan = u32::from(matches!(value, Value::NonFinite(_)));
        let text = match &value {
            Value::Text(text) => self.text(text),
            _ => 0,
        };
        let elements = if matches!(value, Value::Empty) { 0 } else { ELEMENTS };
        let (min, max) = match value {
            Value::Tensor(0) | Value::Whole(0) | Value::Empty => (0.0, 0.0),
            Value::Whole(_) => (-1000.0, 1000.0),
            _ => (-1000.0, 1000.5),
        };
        let (kind, int, float, hash, zeros) = match value {
            Value::None => (ValueKind::None, 0, 0.0, 0, 0),
            Value::Bool(b) => (ValueKind::Bool, b.into(), 0.0, 0, 0),
            Value::Float(f) => (ValueKind::Float, 0, f, 0, 0),
            Value::Text(_) => (ValueKind::Text, 0, 0.0, 0, 0),
            Value::Int(i) => (ValueKind::Int, i, 0.0, 0, 0),
            Value::Empty => (ValueKind::Tensor, 0, 0.0, 0, 0),
            Value::Tensor(hash) | Value::NonFinite(hash) | Value::Whole(hash) => {
                (ValueKind::Tensor, 0, 0.0, hash, if hash == 0 { ELEMENTS } else { 0 })
            }
        };
        self.states.push(State {
            size: STATE_SIZE as u16,
            kind: STATE_KIND,
            stage: self.stage as u8,
            attribute: attribute as u8,
            value_kind: kind as u8,
            thread: self.thread,
            time: self.time,
            iteration: self.iteration,
            step: self.step,
            call,
            since: 0,
            variable,
            text,
            int,
            float,
            hash_low: hash,
            hash_high: 0,
            nan,
            inf: 0,
            zeros,
            elements,
            min,
            max,
            // A small number is the norm itself; else other contents are not of another size.
            l2: if hash < 1000 { hash as f32 } else { 100.0 + (hash % 100) as f32 / 100.0 },
            point,
            reserved: 0,
        });
    }

    /// What the call that was entered or left last was given or gave back.
    pub fn argument(&mut self, direction: Direction, name: &str, value: Passed<'_>) {
        let last = *self.events.last().expect("a call was recorded");
        let name = self.text(name);
        let mut argument = Argument {
            direction: direction as u8,
            thread: last.thread,
            time: last.time,
            call: last.call,
            iteration: last.iteration,
            function: last.name,
            name,
            ..Argument::EMPTY
        };
        let kind = match value {
            Passed::Object(object) => {
                argument.object = object;
                ArgumentKind::Object
            }
            Passed::Int(int) => {
                argument.value = int as u64;
                ArgumentKind::Int
            }
            Passed::Float(float) => {
                argument.value = float.to_bits();
                ArgumentKind::Float
            }
            Passed::Container(size) => {
                argument.value = size;
                ArgumentKind::Container
            }
            Passed::Stored(storage) => {
                argument.storage = storage;
                ArgumentKind::Tensor
            }
            Passed::Looked(text, largest) => {
                argument.text = self.text(text);
                argument.flags = tensor::REQUIRES_GRAD | tensor::LARGEST_KNOWN;
                argument.largest = largest;
                ArgumentKind::Tensor
            }
            Passed::Tensor(text, requires_grad) => {
                argument.text = self.text(text);
                argument.flags = if requires_grad { tensor::REQUIRES_GRAD } else { 0 };
                ArgumentKind::Tensor
            }
        };
        argument.value_kind = kind as u8;
        self.arguments.push(argument);
    }

    /// The trace so far, in blocks of `block` events. A state lies in the block of its look or in the next one.
    pub fn finish(self, block: usize, torn: Option<&str>) -> MemoryTrace {
        let mut batches: Vec<Batch> = Vec::new();
        let mut states = self.states.into_iter().peekable();
        let mut arguments = self.arguments.into_iter().peekable();
        let mut collectives = self.collectives.into_iter().peekable();
        for events in self.events.chunks(block.max(1)) {
            let mut batch = Batch { events: events.to_vec(), ..Batch::default() };
            let until = events.last().map_or(0, |event| event.time);
            while states.peek().is_some_and(|state| state.time <= until) {
                batch.states.extend(states.next());
            }
            while arguments.peek().is_some_and(|argument| argument.time <= until) {
                batch.arguments.extend(arguments.next());
            }
            while collectives.peek().is_some_and(|collective| collective.time <= until) {
                batch.collectives.extend(collectives.next());
            }
            batches.push(batch);
        }
        if let Some(last) = batches.last_mut() {
            last.collectives.extend(collectives);
        }
        MemoryTrace {
            batches,
            dictionary: self.dictionary,
            end: End { torn: torn.map(Into::into), stopped: None },
            world_size: 0,
        }
    }
}

/// A suspended call.
pub struct Suspended((u64, u32, u32, u32, u16));

/// A value that a call is given or gives back.
pub enum Passed<'a> {
    /// With this dictionary id.
    Object(u32),
    Int(i64),
    Float(f64),
    /// As the agent describes it, and whether it requires a gradient.
    Tensor(&'a str, bool),
    /// The same with a look at its elements: the largest magnitude.
    Looked(&'a str, f32),
    /// A tensor in the storage with this number.
    Stored(u32),
    /// A container of so many elements.
    Container(u64),
}

/// A value that a look finds.
#[derive(Clone, Debug)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// With this content hash; 0: all elements are zero.
    Tensor(u64),
    /// The same with a NaN among its elements.
    NonFinite(u64),
    /// The same of whole numbers: labels, a mask.
    Whole(u64),
    /// A tensor without elements.
    Empty,
}
