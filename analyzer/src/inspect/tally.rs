//! Counting events and states as they are read.

use std::collections::HashMap;
use std::fmt;

use super::cost::LeftOut;
use serde::Serialize;
use traincheck_schema::dictionary::Dictionary;
use traincheck_schema::record::{
    Attribute, DictKind, Event, EventKind, ObjectKind, Role, Stage, State, ValueKind, VariableKind, flags,
    look,
};
use traincheck_schema::run::Batch;
use traincheck_schema::segment::DropReason;

use super::arguments::{LastCalls, Value};
use super::collectives::Together;

/// The calls of one function, or the records of one op.
#[derive(Debug, Default, Serialize)]
pub struct Calls {
    /// Its name.
    pub name: String,
    /// What it does, as far as the analysis cares; empty for an op.
    pub role: String,
    /// Where it is defined; empty: not known.
    pub file: String,
    /// Line of its definition; 0: not known.
    pub line: u32,
    /// How often it was called.
    pub calls: u64,
    /// How many of the calls were left by an exception.
    pub raised: u64,
    /// How many have no end in the trace.
    pub unfinished: u64,
    /// Time in all calls that have an end, and in suspended ones while they ran, with what they called.
    pub total_ns: u64,
    /// The same without the recorded calls inside them.
    pub own_ns: u64,
    /// After how many calls it was no longer recorded; none: it always was.
    pub thinned_after: Option<u64>,
    /// What its last call was given of which that was recorded.
    pub arguments: Vec<Value>,
    /// What that call gave back, or the exception that left it.
    pub results: Vec<Value>,
}

/// An object that the script made.
#[derive(Debug, Serialize)]
pub struct Object {
    /// `AdamW`, `Net#2`.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Optimizer, scheduler, ...
    pub kind: String,
}

/// What was seen of a variable.
#[derive(Debug, Default, Serialize)]
pub struct Variable {
    /// `Net.conv1.weight`.
    pub name: String,
    /// Parameter, buffer, ...
    pub kind: String,
    /// Shape and type of its elements, as seen last.
    pub shape: String,
    /// How often its contents (or its value) were looked at.
    pub looks: u64,
    /// How often they differed from the look before.
    pub changes: u64,
    /// How often its gradient was looked at.
    pub gradient_looks: u64,
    /// How often there was one.
    pub gradients: u64,
    /// Whether it requires a gradient, as seen last.
    pub requires_grad: Option<bool>,
    /// Its value as seen last: of a hyperparameter or a mode as it is, of a tensor its norm.
    pub last: String,
    /// What filled it before the first iteration, in order: functions of `torch.nn.init`, and ops.
    pub filled_by: Vec<String>,
}

/// Where variables were looked at, and how often.
#[derive(Debug, Serialize)]
pub struct Look {
    /// The function; empty: the end of an iteration.
    pub at: String,
    /// Whether at its entry; else at its return.
    pub at_entry: bool,
    /// How often.
    pub count: u64,
}

/// Records that are missing.
#[derive(Debug, Serialize)]
pub struct Lost {
    /// Why.
    pub reason: String,
    /// Index of the ring (the thread).
    pub ring: u16,
    /// How many.
    pub count: u64,
    /// The iteration up to which everything was there.
    pub after_iteration: u32,
}

/// Time in one stage.
#[derive(Debug, Serialize)]
pub struct StageTime {
    /// Its name.
    pub stage: String,
    /// How long, nanoseconds.
    pub ns: u64,
    /// How many modules were called, with no other module call around them.
    pub calls: u64,
}

/// How a quantity is spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Half are at most this.
    pub median: u64,
    /// 95 of 100 are.
    pub p95: u64,
}

impl Spread {
    /// That of these; none of none.
    pub fn of(mut values: Vec<u64>) -> Option<Spread> {
        values.sort_unstable();
        let at =
            |percent: usize| values.get((values.len() * percent / 100).min(values.len().saturating_sub(1)));
        Some(Spread { median: *at(50)?, p95: *at(95)? })
    }
}

#[derive(Default)]
struct Count {
    calls: u64,
    ended: u64,
    raised: u64,
    total_ns: u64,
    inner_ns: u64,
    thinned_after: Option<u64>,
}

/// A call that has begun.
struct Open {
    name: u32,
    /// The call around it, which another may be after it was suspended.
    parent: u64,
    /// Since when it runs; `None` while it is suspended.
    since: Option<u64>,
    inner_ns: u64,
}

impl Open {
    fn at(event: &Event) -> Open {
        Open { name: event.name, parent: event.parent, since: Some(event.time), inner_ns: 0 }
    }

    /// How long it ran since it began or was resumed.
    fn stretch(&self, now: u64) -> u64 {
        self.since.map_or(0, |since| now.saturating_sub(since))
    }
}

#[derive(Default)]
struct Seen {
    looks: u64,
    changes: u64,
    gradient_looks: u64,
    gradients: u64,
    shape: u32,
    requires_grad: Option<bool>,
    last: Option<State>,
    filled_by: Vec<u32>,
}

/// Everything that is counted.
#[derive(Default)]
pub struct Tally {
    events: u64,
    states: u64,
    first: Option<u64>,
    last: u64,
    iteration: u32,
    steps: u32,
    backward: Option<u32>,
    with_backward: u32,
    begins: Vec<(u32, u64)>,
    stage_since: Option<(Stage, u64)>,
    stage_ns: [u64; STAGES.len()],
    stage_calls: [u64; STAGES.len()],
    open: HashMap<u64, Open>,
    functions: HashMap<u32, Count>,
    ops: HashMap<u32, Count>,
    created: Vec<u32>,
    variables: HashMap<u32, Seen>,
    looks: HashMap<(u32, bool), u64>,
    hooks_off: Vec<u32>,
    lost: Vec<Lost>,
    last_calls: LastCalls,
    /// What the process did together with others.
    pub together: Together,
    /// What was left out to keep to a budget.
    pub left_out: LeftOut,
}

const STAGES: [Stage; 4] = [Stage::Init, Stage::Training, Stage::Evaluation, Stage::Checkpointing];

impl Tally {
    /// Counts what is in `batch`.
    pub fn add(&mut self, batch: &Batch, dictionary: &Dictionary) {
        // A block says what is missing since the one before it.
        for dropped in &batch.dropped {
            self.lost.push(Lost {
                reason: reason(dropped.reason).to_owned(),
                ring: dropped.ring,
                count: dropped.count,
                after_iteration: self.iteration,
            });
        }
        for event in &batch.events {
            self.event(event, dictionary);
        }
        for state in &batch.states {
            self.state(state);
        }
        for argument in &batch.arguments {
            self.last_calls.add(argument);
        }
        for collective in &batch.collectives {
            self.time(collective.time);
            self.together.add(collective);
        }
    }

    fn event(&mut self, event: &Event, dictionary: &Dictionary) {
        self.events += 1;
        self.time(event.time);
        self.iteration = self.iteration.max(event.iteration);
        self.steps = self.steps.max(event.step);
        let Ok(kind) = EventKind::try_from(event.kind) else { return };
        match kind {
            EventKind::Enter => {
                self.functions.entry(event.name).or_default().calls += 1;
                self.open.insert(event.call, Open::at(event));
                if event.flags & flags::OUTERMOST != 0
                    && let Some(calls) = self.stage_calls.get_mut(usize::from(event.stage))
                {
                    *calls += 1;
                }
                let backward =
                    dictionary.get(event.name).is_some_and(|entry| entry.detail == Role::Backward as u16);
                if backward && event.iteration > 0 && self.backward != Some(event.iteration) {
                    self.backward = Some(event.iteration);
                    self.with_backward += 1;
                }
            }
            EventKind::Exit => {
                let Some(open) = self.open.remove(&event.call) else { return };
                let spent = open.stretch(event.time);
                let count = self.functions.entry(open.name).or_default();
                count.ended += 1;
                count.raised += u64::from(event.flags & flags::RAISED != 0);
                count.total_ns += spent;
                count.inner_ns += open.inner_ns;
                if let Some(parent) = self.open.get_mut(&open.parent) {
                    parent.inner_ns += spent;
                }
            }
            EventKind::Suspend => {
                let Some(open) = self.open.get_mut(&event.call) else { return };
                let spent = open.stretch(event.time);
                open.since = None;
                let count = self.functions.entry(open.name).or_default();
                count.total_ns += spent;
                count.inner_ns += std::mem::take(&mut open.inner_ns);
                let parent = open.parent;
                if let Some(parent) = self.open.get_mut(&parent) {
                    parent.inner_ns += spent;
                }
            }
            EventKind::Resume => {
                if let Some(open) = self.open.get_mut(&event.call) {
                    open.since = Some(event.time);
                    open.parent = event.parent;
                }
            }
            EventKind::OpEnter => {
                self.ops.entry(event.name).or_default().calls += 1;
                self.open.insert(event.call, Open::at(event));
            }
            EventKind::OpExit => {
                let Some(open) = self.open.remove(&event.call) else { return };
                let count = self.ops.entry(open.name).or_default();
                count.ended += 1;
                count.total_ns += open.stretch(event.time);
            }
            EventKind::Iteration => self.begins.push((event.iteration, event.time)),
            EventKind::Stage => {
                self.leave_stage(event.time);
                self.stage_since = Stage::try_from(event.stage).ok().map(|stage| (stage, event.time));
            }
            EventKind::Created => self.created.push(event.object),
            EventKind::Look => {
                *self.looks.entry((event.name, event.value & look::AT_ENTRY != 0)).or_default() += 1;
            }
            EventKind::Thinned => {
                self.functions.entry(event.name).or_default().thinned_after = Some(event.value);
            }
            EventKind::HookOff => self.hooks_off.push(event.name),
            EventKind::Filled => {
                if let Ok(variable) = u32::try_from(event.value) {
                    self.variables.entry(variable).or_default().filled_by.push(event.name);
                }
            }
            EventKind::Paused | EventKind::Resumed | EventKind::LooksSpaced => {
                self.left_out.event(kind, event);
            }
        }
    }

    fn state(&mut self, state: &State) {
        self.states += 1;
        self.time(state.time);
        let Ok(attribute) = Attribute::try_from(state.attribute) else { return };
        let seen = self.variables.entry(state.variable).or_default();
        match attribute {
            Attribute::Data | Attribute::Value | Attribute::Training => {
                seen.looks += 1;
                if seen.last.is_some_and(|last| differ(&last, state)) {
                    seen.changes += 1;
                }
                seen.last = Some(*state);
            }
            Attribute::Grad => {
                seen.gradient_looks += 1;
                seen.gradients += u64::from(state.value_kind != ValueKind::None as u8);
            }
            Attribute::RequiresGrad => seen.requires_grad = Some(state.int != 0),
            Attribute::Shape => seen.shape = state.text,
            Attribute::Storage | Attribute::HeldBy | Attribute::ReachedFrom => {}
        }
    }

    fn time(&mut self, time: u64) {
        if self.first.is_none_or(|first| time < first) {
            self.first = Some(time);
        }
        self.last = self.last.max(time);
    }

    fn leave_stage(&mut self, time: u64) {
        let (stage, since) = self.stage_since.unwrap_or((Stage::Init, self.first.unwrap_or(time)));
        self.stage_ns[stage as usize] += time.saturating_sub(since);
    }

    pub fn events(&self) -> u64 {
        self.events
    }

    pub fn states(&self) -> u64 {
        self.states
    }

    pub fn arguments(&self) -> u64 {
        self.last_calls.count()
    }

    /// Calls of Python functions.
    pub fn calls(&self) -> u64 {
        self.functions.values().map(|count| count.calls).sum()
    }

    pub fn last(&self) -> Option<u64> {
        self.first.map(|_| self.last)
    }

    pub fn recorded_ns(&self) -> u64 {
        self.last - self.first.unwrap_or(self.last)
    }

    pub fn iterations(&self) -> u32 {
        self.iteration
    }

    pub fn iterations_with_backward(&self) -> u32 {
        self.with_backward
    }

    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// From the beginning of one iteration to that of the next, where both are there.
    pub fn iteration_ns(&self) -> Option<Spread> {
        let mut begins = self.begins.clone();
        begins.sort_unstable();
        let lengths: Vec<u64> = begins
            .windows(2)
            .filter(|pair| pair[1].0 == pair[0].0 + 1)
            .map(|pair| pair[1].1.saturating_sub(pair[0].1))
            .collect();
        Spread::of(lengths)
    }

    /// Time in the stages that were seen.
    pub fn stages(&self) -> Vec<StageTime> {
        let mut ns = self.stage_ns;
        let (stage, since) = self.stage_since.unwrap_or((Stage::Init, self.first.unwrap_or(self.last)));
        ns[stage as usize] += self.last.saturating_sub(since);
        STAGES
            .into_iter()
            .filter(|stage| ns[*stage as usize] > 0)
            .map(|stage| StageTime {
                stage: lower(stage),
                ns: ns[stage as usize],
                calls: self.stage_calls[stage as usize],
            })
            .collect()
    }

    /// The functions, those with the most time first.
    pub fn functions(&self, dictionary: &Dictionary) -> Vec<Calls> {
        named(&self.functions, &self.last_calls, dictionary)
    }

    /// The ops, those with the most time first.
    pub fn ops(&self, dictionary: &Dictionary) -> Vec<Calls> {
        named(&self.ops, &LastCalls::default(), dictionary)
    }

    /// The objects, in the order of their construction.
    pub fn objects(&self, dictionary: &Dictionary) -> Vec<Object> {
        self.created
            .iter()
            .filter_map(|id| dictionary.get(*id))
            .map(|entry| Object {
                name: entry.text.clone(),
                class: entry.type_name.clone(),
                kind: ObjectKind::try_from(entry.detail).map_or_else(|_| "unknown".to_owned(), lower),
            })
            .collect()
    }

    /// The variables, in the order in which they were found.
    pub fn variables(&self, dictionary: &Dictionary) -> Vec<Variable> {
        let mut ids: Vec<_> = self.variables.keys().copied().collect();
        ids.sort_unstable();
        ids.into_iter()
            .map(|id| {
                let seen = &self.variables[&id];
                let detail = dictionary.get(id).map(|entry| VariableKind::try_from(entry.detail));
                Variable {
                    name: name(id, dictionary),
                    kind: detail.and_then(Result::ok).map_or_else(|| "unknown".to_owned(), words),
                    shape: dictionary.text(seen.shape).to_owned(),
                    looks: seen.looks,
                    changes: seen.changes,
                    gradient_looks: seen.gradient_looks,
                    gradients: seen.gradients,
                    requires_grad: seen.requires_grad,
                    last: seen.last.map_or_else(String::new, |state| match detail {
                        // Of the state of a random stream and of a batch it matters whether it is the same.
                        Some(Ok(VariableKind::Rng)) => format!("hash {:08x}", state.hash_low >> 32),
                        Some(Ok(VariableKind::Batch)) if state.value_kind == ValueKind::Tensor as u8 => {
                            let hash = state.hash_low >> 32;
                            format!("{}, hash {hash:08x}", value(&state, dictionary))
                        }
                        _ => value(&state, dictionary),
                    }),
                    filled_by: seen.filled_by.iter().map(|by| dictionary.text(*by).to_owned()).collect(),
                }
            })
            .collect()
    }

    /// Where variables were looked at, the most frequent first.
    pub fn looks(&self, dictionary: &Dictionary) -> Vec<Look> {
        let mut looks: Vec<_> = self
            .looks
            .iter()
            .map(|((name, at_entry), count)| Look {
                at: dictionary.text(*name).to_owned(),
                at_entry: *at_entry,
                count: *count,
            })
            .collect();
        looks.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (&a.at, a.at_entry).cmp(&(&b.at, b.at_entry)))
        });
        looks
    }

    /// What was lost, where. It is moved out: there is none the next time.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// Notes on what could not be recorded.
    pub fn hooks_off(&self, dictionary: &Dictionary) -> Vec<String> {
        self.hooks_off.iter().map(|id| name(*id, dictionary)).collect()
    }
}

/// The counts under their names, by total time and then by name, so that the order is always the same.
fn named(counts: &HashMap<u32, Count>, last: &LastCalls, dictionary: &Dictionary) -> Vec<Calls> {
    let mut calls: Vec<_> = counts
        .iter()
        .map(|(id, count)| {
            let entry = dictionary.get(*id);
            let (arguments, results) = last.of(*id, dictionary);
            let function = entry.filter(|entry| entry.kind == DictKind::Function as u8);
            Calls {
                name: name(*id, dictionary),
                role: function
                    .and_then(|entry| Role::try_from(entry.detail).ok())
                    .map_or_else(String::new, |role| format!("{role:?}")),
                file: entry.map_or_else(String::new, |entry| entry.file.clone()),
                line: entry.map_or(0, |entry| entry.line),
                calls: count.calls,
                raised: count.raised,
                unfinished: count.calls.saturating_sub(count.ended),
                total_ns: count.total_ns,
                own_ns: count.total_ns.saturating_sub(count.inner_ns),
                thinned_after: count.thinned_after,
                arguments,
                results,
            }
        })
        .collect();
    calls.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.name.cmp(&b.name)));
    calls
}

/// The name of `id`. Its entry may be lost.
fn name(id: u32, dictionary: &Dictionary) -> String {
    dictionary.get(id).map_or_else(|| format!("(unnamed {id})"), |entry| entry.text.clone())
}

/// Whether two looks at one attribute found different values. Where a tensor could not be read nothing is known.
fn differ(a: &State, b: &State) -> bool {
    let unreadable = ValueKind::Unreadable as u8;
    if a.value_kind == unreadable || b.value_kind == unreadable {
        return false;
    }
    let bits = |state: &State| {
        (state.value_kind, state.int, state.float.to_bits(), state.text, state.hash_low, state.hash_high)
    };
    bits(a) != bits(b)
}

/// A value as text.
fn value(state: &State, dictionary: &Dictionary) -> String {
    match ValueKind::try_from(state.value_kind) {
        Ok(ValueKind::None) => "none".to_owned(),
        Ok(ValueKind::Bool) => (state.int != 0).to_string(),
        Ok(ValueKind::Int) => state.int.to_string(),
        Ok(ValueKind::Float) => state.float.to_string(),
        Ok(ValueKind::Text) => dictionary.text(state.text).to_owned(),
        Ok(ValueKind::Tensor) => match (state.nan, state.inf) {
            (0, 0) => format!("norm {:.4}", state.l2),
            (nan, inf) => format!("norm {:.4}, {nan} NaN, {inf} infinite", state.l2),
        },
        Ok(ValueKind::Unreadable) => "unreadable".to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}

fn reason(reason: DropReason) -> &'static str {
    match reason {
        DropReason::RingFull => "the ring of the thread was full",
        DropReason::DictionaryFull => "the dictionary was full",
        DropReason::DiskFull => "the disk was full, or the file could not be written",
        DropReason::BeforeStart => "it happened before the recording began",
        DropReason::Unknown => "unknown",
    }
}

/// `OptimizerState` as `optimizer state`.
fn words(case: impl fmt::Debug) -> String {
    let mut text = String::new();
    for letter in format!("{case:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// `Training` as `training`.
fn lower(case: impl fmt::Debug) -> String {
    format!("{case:?}").to_lowercase()
}
