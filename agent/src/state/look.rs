//! Looks at variables, at the points where a change belongs to somebody.
//!
//! Contents are looked at in full or not at all: a whole-tensor fingerprint, and a record whether it changed or not,
//! so that "did not change" is as well founded as "changed". Identity, ownership and flags are compared at each look
//! and recorded where they differ from what was said last.

use super::fingerprint::{Digest, digest};
use super::objects;
use super::variables::{self, Said};
use crate::calls::Calls;
use crate::gil::Gil;
use crate::hash::FastMap;
use crate::python::api::{Object, Python};
use crate::python::names::{self, Classes};
use crate::torch::tensor::{TensorRef, Tensors};
use crate::{native, progress, sink};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use traincheck_schema::record::{Attribute, Event, EventKind, State, ValueKind, VariableKind, look as bits};

/// A model with fewer elements is also looked at on entry of every optimizer step: that costs next to nothing.
const SMALL_MODEL: usize = 1 << 15;

/// Elements of all parameters at the last look at them.
static ELEMENTS: AtomicUsize = AtomicUsize::new(0);
/// A backward has run since parameters were last looked at.
static BACKWARD_PENDING: AtomicBool = AtomicBool::new(false);
/// Time spent in looks, ns.
static COST: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct Ownership {
    /// Addresses of what the optimizers hold, in order, as last seen: optimizer id, group, parameter.
    held: Vec<(u32, u32, usize)>,
    /// Text id of the holders' ids, by address of the parameter.
    holders: FastMap<usize, u32>,
    /// Optimizers that have stepped: the models they train have run.
    stepped: Vec<u32>,
    /// Addresses that the roots reach, as last seen.
    reached: Vec<usize>,
    /// What optimizers hold and no root reaches.
    unreached: Vec<Unreached>,
    /// Variable ids of unreached parameters, by optimizer, group and position.
    ids: FastMap<u64, u32>,
    storages: FastMap<usize, u32>,
    hyperparameters: FastMap<u64, Hyperparameter>,
}

#[derive(Clone, Copy)]
struct Unreached {
    value: Object,
    variable: u32,
    said: Said,
}

#[derive(Clone, Copy)]
struct Hyperparameter {
    variable: u32,
    kind: ValueKind,
    bits: u64,
}

static OWNERSHIP: Gil<Option<Ownership>> = Gil::new(None);

/// Nanoseconds spent in looks so far.
pub fn cost() -> u64 {
    COST.load(Ordering::Relaxed)
}

/// Whether parameters are to be looked at on entry of an optimizer step, too.
pub fn wants_entry_look() -> bool {
    sink::is_started() && (progress::is_sampled() || ELEMENTS.load(Ordering::Relaxed) <= SMALL_MODEL)
}

/// Notes that parameters may be about to change.
pub fn backward_returned() {
    BACKWARD_PENDING.store(true, Ordering::Relaxed);
}

/// An iteration may be about to begin. Where no optimizer looks after the parameters they are looked at here, or
/// what a loop of the user's own does to them would go unseen.
///
/// # Safety
/// As [`look`].
pub unsafe fn iteration_may_begin(python: &Python, calls: &Calls) {
    if !BACKWARD_PENDING.load(Ordering::Relaxed) || !sink::is_started() {
        return;
    }
    // SAFETY: the caller's word.
    unsafe {
        if progress::is_sampled() || objects::optimizers(python).is_empty() {
            let enclosing = calls.innermost().call;
            let point = Event { call: enclosing, parent: enclosing, ..progress::event(EventKind::Look) };
            look(python, &point, bits::PARAMETERS | bits::BUFFERS);
        }
    }
}

/// Looks at `what` (bits of [`traincheck_schema::record::look`]) at the entry or the return of the call `point`.
///
/// # Safety
/// The GIL is held, no exception is set, the thread's calls are marked busy.
pub unsafe fn look(python: &Python, point: &Event, what: u64) {
    // SAFETY: the caller's word.
    unsafe {
        let (Some(tensors), Some(classes)) = (native::tensors(), names::classes()) else { return };
        let event = Event {
            call: point.call,
            parent: point.parent,
            name: point.name,
            object: point.object,
            site: point.site,
            value: what,
            ..progress::event(EventKind::Look)
        };
        sink::emit(&event);
        let mut look = Look { python, tensors, classes, event, what, elements: 0 };
        OWNERSHIP.with(|ownership| {
            let ownership = ownership.get_or_insert_with(Ownership::default);
            let optimizers = objects::optimizers(python);
            let mut moved = look.holders(ownership, &optimizers);
            let at_step = what & bits::HYPERPARAMETERS != 0 && what & bits::PARAMETERS != 0;
            if at_step && point.object != 0 && !ownership.stepped.contains(&point.object) {
                ownership.stepped.push(point.object);
                moved = true;
            }
            look.roots(ownership, moved);
            look.unreached(ownership);
            if what & bits::HYPERPARAMETERS != 0 {
                look.hyperparameters(ownership, &optimizers);
            }
        });
        if what & bits::PARAMETERS != 0 {
            ELEMENTS.store(look.elements, Ordering::Relaxed);
            if what & bits::AT_ENTRY == 0 {
                BACKWARD_PENDING.store(false, Ordering::Relaxed);
            }
        }
        COST.fetch_add(sink::now().saturating_sub(event.time), Ordering::Relaxed);
    }
}

struct Look<'a> {
    python: &'a Python,
    tensors: &'a Tensors,
    classes: Classes,
    event: Event,
    what: u64,
    elements: usize,
}

impl Look<'_> {
    /// Brings up to date who holds which parameter; true if that changed.
    unsafe fn holders(&self, ownership: &mut Ownership, optimizers: &[(Object, u32)]) -> bool {
        let mut held = Vec::with_capacity(ownership.held.len());
        // SAFETY: `look`'s contract; the optimizers live.
        unsafe {
            for (optimizer, id) in optimizers {
                each_group(self.python, *optimizer, |group, dict| {
                    let list = (self.python.dict_get_string)(dict, c"params".as_ptr());
                    if self.python.is_list(list) {
                        for index in 0..(self.python.list_size)(list) {
                            held.push((*id, group, (self.python.list_get)(list, index) as usize));
                        }
                    }
                });
            }
        }
        if held == ownership.held {
            return false;
        }
        let mut holders: FastMap<usize, Vec<u32>> = FastMap::default();
        for (id, _, parameter) in &held {
            let ids = holders.entry(*parameter).or_default();
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ownership.holders = holders
            .into_iter()
            .map(|(parameter, mut ids)| {
                ids.sort_unstable();
                let text = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
                (parameter, sink::text(&text))
            })
            .collect();
        ownership.held = held;
        true
    }

    /// Looks at what the roots reach.
    unsafe fn roots(&mut self, ownership: &mut Ownership, mut moved: bool) {
        let mut reached = Vec::with_capacity(ownership.reached.len());
        // SAFETY: `look`'s contract. Looking at tensors runs no Python code.
        unsafe {
            variables::each_root(self.python, |root, items, training| {
                if root.slots.is_empty() {
                    return;
                }
                let (mode, said) = &mut root.mode;
                if said.replace(training) != Some(training) {
                    self.say(*mode, Attribute::Training, ValueKind::Bool, i64::from(training), 0.0, 0);
                }
                let reached_from = root.reached_from;
                for (item, slot) in items.iter().zip(&mut root.slots) {
                    if slot.kind == VariableKind::Parameter {
                        reached.push(item.value as usize);
                    }
                    self.variable(
                        item.value,
                        slot.variable,
                        slot.kind,
                        &mut slot.said,
                        reached_from,
                        ownership,
                    );
                }
            });
        }
        moved |= reached != ownership.reached;
        ownership.reached = reached;
        if moved {
            self.find_unreached(ownership);
        }
    }

    /// What optimizers hold that have stepped, and no root reaches.
    fn find_unreached(&self, ownership: &mut Ownership) {
        let reached: FastMap<usize, ()> = ownership.reached.iter().map(|address| (*address, ())).collect();
        let old: FastMap<u32, Said> =
            ownership.unreached.iter().map(|unreached| (unreached.variable, unreached.said)).collect();
        ownership.unreached.clear();
        let mut position = 0;
        let mut last = (0, 0);
        for (optimizer, group, parameter) in &ownership.held {
            position = if last == (*optimizer, *group) { position + 1 } else { 0 };
            last = (*optimizer, *group);
            if reached.contains_key(parameter) || !ownership.stepped.contains(optimizer) {
                continue;
            }
            let key = (u64::from(*optimizer) << 40) ^ (u64::from(*group) << 24) ^ position;
            let variable = *ownership.ids.entry(key).or_insert_with(|| {
                // SAFETY: `look`'s contract: the GIL is held.
                let name = unsafe { objects::name(*optimizer) };
                let text = format!("{name}.param_groups[{group}].params[{position}]");
                variables::define(text, VariableKind::Unreached, *optimizer)
            });
            ownership.unreached.push(Unreached {
                value: *parameter as Object,
                variable,
                said: old.get(&variable).copied().unwrap_or_default(),
            });
        }
    }

    unsafe fn unreached(&mut self, ownership: &mut Ownership) {
        if ownership.unreached.is_empty() {
            return;
        }
        let none = sink::text("");
        let mut unreached = std::mem::take(&mut ownership.unreached);
        for variable in &mut unreached {
            // SAFETY: `look`'s contract: the optimizer holds the parameter, as `holders` has just seen.
            unsafe {
                self.variable(
                    variable.value,
                    variable.variable,
                    VariableKind::Unreached,
                    &mut variable.said,
                    none,
                    ownership,
                );
            }
        }
        ownership.unreached = unreached;
    }

    /// Looks at one tensor.
    unsafe fn variable(
        &mut self,
        value: Object,
        variable: u32,
        kind: VariableKind,
        said: &mut Said,
        reached_from: u32,
        ownership: &mut Ownership,
    ) {
        // SAFETY: `look`'s contract; `value` is live: a module or an optimizer holds it.
        unsafe {
            let class = self.python.type_of(value);
            let exact = class == self.classes.parameter || class == self.classes.tensor;
            let Some(tensor) = exact.then(|| self.tensors.from_python(value)).flatten() else {
                self.unreadable(variable, kind, said);
                return;
            };
            let is_new = said.address != value as usize;
            said.address = value as usize;
            let requires_grad = u8::from(self.tensors.requires_grad(tensor)) + 1;
            let is_parameter = kind != VariableKind::Buffer;
            if is_parameter && said.requires_grad != requires_grad {
                said.requires_grad = requires_grad;
                self.say(
                    variable,
                    Attribute::RequiresGrad,
                    ValueKind::Bool,
                    i64::from(requires_grad - 1),
                    0.0,
                    0,
                );
            }
            if is_parameter {
                let held_by =
                    ownership.holders.get(&(value as usize)).copied().unwrap_or_else(|| sink::text(""));
                if said.held_by != Some(held_by) {
                    if said.held_by.is_none() {
                        self.say(variable, Attribute::ReachedFrom, ValueKind::Text, 0, 0.0, reached_from);
                    }
                    said.held_by = Some(held_by);
                    self.say(variable, Attribute::HeldBy, ValueKind::Text, 0, 0.0, held_by);
                }
            }
            let storages = &mut ownership.storages;
            let next = storages.len() as u32 + 1;
            let storage = *storages.entry(self.tensors.storage_id(tensor)).or_insert(next);
            let storage_is_new = said.storage != storage;
            if storage_is_new {
                said.storage = storage;
                self.say(variable, Attribute::Storage, ValueKind::Int, i64::from(storage), 0.0, 0);
            }
            let wanted = if kind == VariableKind::Buffer { bits::BUFFERS } else { bits::PARAMETERS };
            if self.what & wanted != 0 {
                match self.tensors.view(tensor) {
                    Ok(view) => {
                        if is_new || storage_is_new || said.elements != view.elements() {
                            said.elements = view.elements();
                            let shape = sink::text(&view.to_string());
                            self.say(variable, Attribute::Shape, ValueKind::Text, 0, 0.0, shape);
                        }
                        if wanted == bits::PARAMETERS {
                            self.elements += view.elements();
                        }
                        self.contents(variable, Attribute::Data, &mut said.data, Some(digest(&view)));
                    }
                    Err(_) => self.contents(variable, Attribute::Data, &mut said.data, None),
                }
            }
            if self.what & bits::GRADIENTS != 0 && is_parameter {
                self.gradient(tensor, variable, said);
            }
        }
    }

    unsafe fn gradient(&mut self, tensor: TensorRef, variable: u32, said: &mut Said) {
        // SAFETY: `variable`'s contract.
        unsafe {
            match self.tensors.grad(tensor) {
                None => {
                    let mut state = self.state(variable, Attribute::Grad, ValueKind::None);
                    state.since = std::mem::replace(&mut said.gradient, self.event.time);
                    sink::emit_state(&state);
                }
                Some(gradient) => {
                    let found = self.tensors.view(gradient).ok().map(|view| digest(&view));
                    self.contents(variable, Attribute::Grad, &mut said.gradient, found);
                }
            }
        }
    }

    fn unreadable(&self, variable: u32, kind: VariableKind, said: &mut Said) {
        let wanted = if kind == VariableKind::Buffer { bits::BUFFERS } else { bits::PARAMETERS };
        if self.what & wanted != 0 {
            self.contents(variable, Attribute::Data, &mut said.data, None);
        }
    }

    /// Records contents; `None`: they cannot be read.
    fn contents(&self, variable: u32, attribute: Attribute, last: &mut u64, found: Option<Digest>) {
        let kind = if found.is_some() { ValueKind::Tensor } else { ValueKind::Unreadable };
        let mut state = self.state(variable, attribute, kind);
        state.since = std::mem::replace(last, self.event.time);
        if let Some(found) = found {
            state.hash_low = found.hash_low;
            state.hash_high = found.hash_high;
            state.nan = found.nan;
            state.inf = found.inf;
            state.zeros = found.zeros;
            state.elements = found.elements;
            state.min = found.min;
            state.max = found.max;
            state.l2 = found.l2;
        }
        sink::emit_state(&state);
    }

    fn say(&self, variable: u32, attribute: Attribute, kind: ValueKind, int: i64, float: f64, text: u32) {
        sink::emit_state(&State { int, float, text, ..self.state(variable, attribute, kind) });
    }

    fn state(&self, variable: u32, attribute: Attribute, kind: ValueKind) -> State {
        State {
            stage: self.event.stage,
            attribute: attribute as u8,
            value_kind: kind as u8,
            time: self.event.time,
            iteration: self.event.iteration,
            step: self.event.step,
            call: self.event.call,
            variable,
            point: self.event.name,
            ..State::EMPTY
        }
    }

    /// Numbers in the groups of the optimizers: `lr`, `weight_decay`, `betas[0]`, ...
    unsafe fn hyperparameters(&self, ownership: &mut Ownership, optimizers: &[(Object, u32)]) {
        let python = self.python;
        // SAFETY: `look`'s contract; the optimizers live and no Python code runs.
        unsafe {
            for (optimizer, id) in optimizers {
                each_group(python, *optimizer, |group, dict| {
                    variables::each_entry(python, dict, |key, value| {
                        if python.is_tuple(value) {
                            for index in 0..(python.tuple_size)(value).min(8) {
                                let element = (python.tuple_get)(value, index);
                                self.hyperparameter(ownership, *id, group, key, index as i32, element);
                            }
                        } else {
                            self.hyperparameter(ownership, *id, group, key, -1, value);
                        }
                    });
                });
            }
        }
    }

    unsafe fn hyperparameter(
        &self,
        ownership: &mut Ownership,
        optimizer: u32,
        group: u32,
        key: Object,
        index: i32,
        value: Object,
    ) {
        let python = self.python;
        // SAFETY: `hyperparameters`' contract. Numbers of exact built-in types convert without Python code.
        unsafe {
            let class = python.type_of(value);
            let (kind, int, float) = if class == python.float_type {
                (ValueKind::Float, 0, (python.float_as_double)(value))
            } else if class == python.bool_type {
                (ValueKind::Bool, i64::from((python.is_true)(value) == 1), 0.0)
            } else if class == python.long_type {
                let int = (python.long_as_long)(value);
                if int == -1 && !(python.error_occurred)().is_null() {
                    (python.error_clear)();
                    return;
                }
                (ValueKind::Int, int, 0.0)
            } else {
                return;
            };
            let bits = if kind == ValueKind::Float { float.to_bits() } else { int as u64 };
            // Keys of groups are interned strings that live as long as the program.
            let slot = (key as u64)
                .wrapping_mul(31)
                .wrapping_add((u64::from(optimizer) << 40) ^ (u64::from(group) << 8))
                .wrapping_add(index as u64);
            let known = ownership.hyperparameters.get(&slot).copied();
            if known.is_some_and(|known| known.kind == kind && known.bits == bits) {
                return;
            }
            let variable = known.map_or_else(
                || {
                    let element = if index < 0 { String::new() } else { format!("[{index}]") };
                    let text = format!(
                        "{}.param_groups[{group}].{}{element}",
                        objects::name(optimizer),
                        python.text(key)
                    );
                    variables::define(text, VariableKind::Hyperparameter, optimizer)
                },
                |known| known.variable,
            );
            ownership.hyperparameters.insert(slot, Hyperparameter { variable, kind, bits });
            self.say(variable, Attribute::Value, kind, int, float, 0);
        }
    }
}

/// Calls `each` with the number and the dict of every parameter group of an optimizer.
unsafe fn each_group(python: &Python, optimizer: Object, mut each: impl FnMut(u32, Object)) {
    // SAFETY: the callers': a live optimizer, the GIL held. The interned key is one of the program's own.
    unsafe {
        let key = (python.unicode_intern)(c"param_groups".as_ptr());
        let groups = python.instance_get(optimizer, key);
        (python.dec_ref)(key);
        if python.is_list(groups) {
            for index in 0..(python.list_size)(groups) {
                let dict = (python.list_get)(groups, index);
                if python.is_dict(dict) {
                    each(index as u32, dict);
                }
            }
        }
    }
}
