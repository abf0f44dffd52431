//! Looks at variables, at the points where a change belongs to somebody.
//!
//! Contents are looked at in full or not at all: a whole-tensor fingerprint, and a record whether it changed or not,
//! so that "did not change" is as well founded as "changed". Identity, ownership and flags are compared at each look
//! and recorded where they differ from what was said last.

use super::fingerprint::fingerprint_if_readable;
use super::known::{self, Reader, When};
use super::ownership::Ownership;
use super::point::Point;
use super::position;
use super::value::Value;
use super::variables::{self, Said};
use super::{attributes, fills, hyperparameters, objects, optimizer_state, storages};
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::libtorch::tensor::TensorRef;
use crate::sink;
use crate::sink::cost::{self, Timer};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use traincheck_schema::record::{Attribute, Event, EventKind, VariableKind, look as bits};

/// A model with fewer elements is also looked at on entry of every optimizer step: that costs next to nothing.
const SMALL_MODEL: usize = 1 << 15;

/// Elements of all parameters at the last look at them.
static ELEMENTS: AtomicUsize = AtomicUsize::new(0);
/// A backward has run since parameters were last looked at.
static BACKWARD_PENDING: AtomicBool = AtomicBool::new(false);

static OWNERSHIP: Gil<Option<Ownership>> = Gil::new(None);

/// Whether the model is so small that a look at its parameters costs next to nothing.
pub fn is_small() -> bool {
    ELEMENTS.load(Ordering::Relaxed) <= SMALL_MODEL
}

/// Whether a backward has run since parameters were last looked at.
pub fn is_backward_pending() -> bool {
    BACKWARD_PENDING.load(Ordering::Relaxed)
}

/// Whether no optimizer is known that lives.
///
/// # Safety
/// The GIL is held.
pub unsafe fn no_optimizer_lives(python: &Python) -> bool {
    // SAFETY: the caller's word.
    unsafe { objects::optimizers(python).is_empty() }
}

/// Notes that parameters may be about to change.
pub fn backward_returned() {
    BACKWARD_PENDING.store(true, Ordering::Relaxed);
}

/// Looks at `what` (bits of [`traincheck_schema::record::look`]) at the entry or the return of the call `point`;
/// `enclosing` is the innermost call that is open.
///
/// # Safety
/// The GIL is held, no exception is set, the thread's calls are marked busy.
pub unsafe fn look(python: &Python, point: &Event, what: u64, enclosing: u64) {
    let timer = Timer::begin();
    // SAFETY: the caller's word.
    unsafe {
        let Some(reader) = Reader::new(python) else { return };
        let event = Event {
            call: point.call,
            parent: point.parent,
            name: point.name,
            object: point.object,
            site: point.site,
            value: what,
            ..position::event(EventKind::Look)
        };
        sink::emit(&event);
        let point = Point::of(&event);
        let mut look = Look { reader, point, what, enclosing, elements: 0 };
        OWNERSHIP.with(|ownership| {
            let ownership = ownership.get_or_insert_with(Ownership::default);
            let optimizers = objects::optimizers(python);
            let moved = ownership.find_holders(python, &optimizers);
            look.roots(ownership, moved);
            look.unreached(ownership);
            if what & bits::HYPERPARAMETERS != 0 {
                known::with(|known| hyperparameters::look(&look.reader, known, &point, &optimizers));
            }
        });
        if what & bits::PARAMETERS != 0 {
            ELEMENTS.store(look.elements, Ordering::Relaxed);
            if what & bits::AT_ENTRY == 0 {
                BACKWARD_PENDING.store(false, Ordering::Relaxed);
            }
        }
        timer.end(&cost::LOOKS);
    }
}

/// An optimizer has stepped; true the first time.
///
/// # Safety
/// The GIL is held.
pub unsafe fn optimizer_stepped(optimizer: u32) -> bool {
    // SAFETY: the caller's word; nothing in here runs Python code.
    unsafe {
        OWNERSHIP.with(|ownership| {
            optimizer != 0 && ownership.get_or_insert_with(Ownership::default).stepped(optimizer)
        })
    }
}

/// Looks at what the optimizer `call` was made on keeps for its parameters.
///
/// # Safety
/// As [`look`].
pub unsafe fn optimizer_state(python: &Python, call: &Event, enclosing: u64) {
    let timer = Timer::begin();
    // SAFETY: the caller's word. Optimizers live as `objects::optimizers` gives them back; no Python code runs.
    unsafe {
        let Some(reader) = Reader::new(python) else { return };
        let optimizers = objects::optimizers(python);
        let Some(optimizer) = optimizers.iter().find(|(_, id)| *id == call.object) else { return };
        let point = Point::now(call);
        let mut parameters = FastMap::default();
        variables::each_root(python, enclosing, |root, items, _| {
            for (item, slot) in items.iter().zip(&root.slots) {
                parameters.entry(item.value as usize).or_insert(slot.variable);
            }
        });
        known::with(|known| {
            optimizer_state::look(&reader, known, &point, *optimizer, &parameters);
        });
        timer.end(&cost::LOOKS);
    }
}

/// Looks at the attributes of the scheduler or scaler `object` that `call` was made on: all of them in a sampled
/// iteration, else those that changed.
///
/// # Safety
/// As [`look`]; `object` lives.
pub unsafe fn attributes(python: &Python, call: &Event, object: Object, kind: VariableKind) {
    // SAFETY: the caller's word.
    unsafe {
        let Some(reader) = Reader::new(python) else { return };
        if call.object == 0 || object.is_null() {
            return;
        }
        let point = Point::now(call);
        let when = if position::is_sampled() { When::Always } else { When::Changed };
        known::with(|known| {
            attributes::look_at_object(&reader, known, &point, (object, call.object), kind, when);
        });
    }
}

struct Look<'a> {
    reader: Reader<'a>,
    point: Point,
    what: u64,
    /// The innermost call that is open.
    enclosing: u64,
    elements: usize,
}

impl Look<'_> {
    /// Looks at what the roots reach.
    unsafe fn roots(&mut self, ownership: &mut Ownership, moved: bool) {
        let mut reached = ownership.to_find();
        // SAFETY: `look`'s contract. Looking at tensors runs no Python code.
        unsafe {
            variables::each_root(self.reader.python, self.enclosing, |root, items, training| {
                if root.slots.is_empty() {
                    return;
                }
                let (mode, said) = &mut root.mode;
                if said.replace(training) != Some(training) {
                    self.point.value(*mode, Attribute::Training, Value::Bool(training), 0);
                }
                let (owner, reached_from) = (root.id, root.reached_from);
                for (item, slot) in items.iter().zip(&mut root.slots) {
                    if slot.kind == VariableKind::Parameter {
                        reached.push(item.value as usize);
                    }
                    let variable = Variable { id: slot.variable, kind: slot.kind, owner, reached_from };
                    self.variable(item.value, &variable, &mut slot.said, ownership);
                }
            });
            ownership.found(reached, moved);
        }
    }

    unsafe fn unreached(&mut self, ownership: &mut Ownership) {
        if ownership.unreached.is_empty() {
            return;
        }
        let reached_from = sink::text("");
        let mut unreached = std::mem::take(&mut ownership.unreached);
        for found in &mut unreached {
            let variable = Variable {
                id: found.variable,
                kind: VariableKind::Unreached,
                owner: found.owner,
                reached_from,
            };
            // SAFETY: `look`'s contract: the optimizer holds the parameter, as `find_holders` has just seen.
            unsafe { self.variable(found.value, &variable, &mut found.said, ownership) };
        }
        ownership.unreached = unreached;
    }

    /// Looks at one tensor.
    unsafe fn variable(
        &mut self,
        value: Object,
        variable: &Variable,
        said: &mut Said,
        ownership: &mut Ownership,
    ) {
        let tensors = self.reader.tensors;
        let id = variable.id;
        let is_parameter = variable.kind != VariableKind::Buffer;
        let wanted = if is_parameter { bits::PARAMETERS } else { bits::BUFFERS };
        // SAFETY: `look`'s contract; `value` is live: a module or an optimizer holds it.
        unsafe {
            let class = self.reader.python.type_of(value);
            let exact = class == self.reader.classes.parameter || class == self.reader.classes.tensor;
            let Some(tensor) = exact.then(|| tensors.from_python(value)).flatten() else {
                if self.what & wanted != 0 {
                    self.point.contents(id, Attribute::Data, &mut said.data, None);
                }
                return;
            };
            let is_new = said.address != value as usize;
            said.address = value as usize;
            if is_new && is_parameter {
                for fill in fills::of(value as usize, tensors.storage_id(tensor)) {
                    self.point.filled(id, &fill);
                }
            }
            if is_parameter {
                self.ownership(tensor, value, variable, said, ownership);
                let at_step = self.what & (bits::GRADIENTS | bits::HYPERPARAMETERS | bits::AT_ENTRY) != 0;
                if is_new || !at_step || (self.what & bits::HYPERPARAMETERS != 0 && position::is_sampled()) {
                    known::with(|known| {
                        attributes::look_at_parameter(
                            &self.reader,
                            known,
                            &self.point,
                            value,
                            id,
                            variable.owner,
                        );
                    });
                }
            }
            let storage = storages::number(tensors.storage_id(tensor));
            let storage_is_new = said.storage != storage;
            if storage_is_new {
                said.storage = storage;
                self.point.value(id, Attribute::Storage, Value::Int(i64::from(storage)), 0);
            }
            if self.what & wanted != 0 {
                match tensors.view(tensor) {
                    Ok(view) => {
                        if is_new || storage_is_new || said.elements != view.elements() {
                            said.elements = view.elements();
                            self.point.text(id, Attribute::Shape, sink::text(&view.to_string()));
                        }
                        if is_parameter {
                            self.elements += view.elements();
                        }
                        let found = fingerprint_if_readable(&view);
                        self.point.contents(id, Attribute::Data, &mut said.data, found);
                    }
                    Err(_) => self.point.contents(id, Attribute::Data, &mut said.data, None),
                }
            }
            if self.what & bits::GRADIENTS != 0 && is_parameter {
                match tensors.grad(tensor) {
                    None => self.point.nothing(id, Attribute::Grad, &mut said.gradient),
                    Some(gradient) => {
                        let found =
                            tensors.view(gradient).ok().and_then(|view| fingerprint_if_readable(&view));
                        self.point.contents(id, Attribute::Grad, &mut said.gradient, found);
                    }
                }
            }
        }
    }

    /// Whether a parameter wants a gradient, who holds it and who reaches it: where that changed.
    unsafe fn ownership(
        &self,
        tensor: TensorRef,
        value: Object,
        variable: &Variable,
        said: &mut Said,
        ownership: &Ownership,
    ) {
        // SAFETY: `variable`'s contract.
        let requires_grad = unsafe { self.reader.tensors.requires_grad(tensor) };
        let marked = u8::from(requires_grad) + 1;
        if said.requires_grad != marked {
            said.requires_grad = marked;
            self.point.value(variable.id, Attribute::RequiresGrad, Value::Bool(requires_grad), 0);
        }
        let held_by = ownership.holders_of(value);
        if said.held_by != Some(held_by) {
            if said.held_by.is_none() {
                self.point.text(variable.id, Attribute::ReachedFrom, variable.reached_from);
            }
            said.held_by = Some(held_by);
            self.point.text(variable.id, Attribute::HeldBy, held_by);
        }
    }
}

/// Who a tensor is.
struct Variable {
    /// Dictionary id.
    id: u32,
    kind: VariableKind,
    /// The root or the optimizer.
    owner: u32,
    /// Text id.
    reached_from: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optimizer_steps_for_the_first_time_once_whether_or_not_anything_is_looked_at() {
        // SAFETY: no interpreter runs here, so nobody else holds the lock; no other test touches what is owned.
        let stepped = |optimizer| unsafe { optimizer_stepped(optimizer) };
        assert!(stepped(7) && stepped(8));
        assert!(!stepped(7) && !stepped(8));
        assert!(!stepped(0), "one that is not followed has no first step");
    }
}
