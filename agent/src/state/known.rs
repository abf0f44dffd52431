//! What was last said of the variables that no module owns, found again by what they are part of and how they are
//! called there. Addresses would not do: a checkpoint brings new objects under the old names.

use super::fingerprint::fingerprint_if_readable;
use super::point::Point;
use super::value::Value;
use super::variable_names;
use crate::base::gil::Gil;
use crate::base::hash::{FastHasher, FastMap};
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names::Classes;
use crate::libtorch::tensor::Tensors;
use crate::sink;
use std::hash::Hasher;
use traincheck_schema::record::{Attribute, ValueKind, VariableKind};

/// A program can make any number of optimizers and schedulers and throw them away: with so many variables those that
/// were not looked at lately are forgotten.
const CROWDED: usize = 1 << 16;
/// More variables than any job has at a time; beyond, new ones are not followed.
const MAX_KNOWN: usize = 1 << 17;
/// Elements of a list or tuple of numbers that are looked at.
const MAX_ELEMENTS: isize = 8;

/// Which variable, as one number.
#[derive(Clone, Copy, Debug)]
pub struct Key(u64);

impl Key {
    /// Of something that belongs to `owner`: an object, a parameter.
    pub fn of(kind: VariableKind, owner: u32) -> Key {
        Key(0x9E37_79B9).with((u64::from(owner) << 16) | kind as u64)
    }

    /// Further down: the `number`-th, or that of the variable `number`.
    pub fn with(self, number: u64) -> Key {
        let mut hasher = FastHasher::default();
        hasher.write_u64(self.0);
        hasher.write_u64(number.wrapping_add(1));
        Key(hasher.finish())
    }

    /// Further down: the one of this name.
    pub fn named(self, name: &str) -> Key {
        let mut hasher = FastHasher::default();
        hasher.write_u64(self.0);
        hasher.write(name.as_bytes());
        hasher.write_usize(name.len());
        Key(hasher.finish())
    }
}

/// What was last said of one.
#[derive(Clone, Copy, Debug)]
struct Said {
    variable: u32,
    kind: ValueKind,
    bits: u64,
    /// Of the last look, ns; 0: never.
    time: u64,
}

/// What was last said.
#[derive(Debug, Default)]
pub struct Known {
    said: FastMap<u64, Said>,
    /// With so many variables it is time to forget some.
    crowded_at: usize,
    /// When that was done last, ns.
    tidied: u64,
}

static KNOWN: Gil<Option<Known>> = Gil::new(None);

/// What was last said of the variables of the process.
///
/// # Safety
/// The GIL is held; `use_it` runs no Python code and does not come here again.
pub unsafe fn with<R: Default>(use_it: impl FnOnce(&mut Known) -> R) -> R {
    // SAFETY: the caller's word.
    unsafe { KNOWN.with(|known| use_it(known.get_or_insert_with(Known::default))) }
}

/// Whether a value is said when it is what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Only if it changed.
    Changed,
    /// Always.
    Always,
}

/// Who a variable is, for the case that it is new: its name is only built then.
pub struct Name<'a> {
    /// What it is.
    pub kind: VariableKind,
    /// The object that it belongs to.
    pub owner: u32,
    /// Gives its name.
    pub text: &'a dyn Fn() -> String,
}

impl Known {
    fn find(&mut self, key: Key, name: &Name<'_>, element: Option<isize>) -> Option<&mut Said> {
        if self.said.len() >= self.crowded_at.max(CROWDED) && !self.said.contains_key(&key.0) {
            self.tidy();
            if self.said.len() >= MAX_KNOWN {
                return None;
            }
        }
        Some(self.said.entry(key.0).or_insert_with(|| {
            let mut text = (name.text)();
            if let Some(element) = element {
                text += &format!("[{element}]");
            }
            // SAFETY: `with`'s contract: the GIL is held.
            let variable = unsafe { variable_names::define(text, name.kind, name.owner) };
            Said { variable, kind: ValueKind::None, bits: 0, time: 0 }
        }))
    }

    /// Forgets what has not been looked at since this was done last.
    fn tidy(&mut self) {
        let tidied = std::mem::replace(&mut self.tidied, sink::now());
        self.said.retain(|_, said| said.time >= tidied);
        self.crowded_at = (2 * self.said.len()).min(MAX_KNOWN);
    }

    /// Says a value.
    pub fn value(&mut self, point: &Point, key: Key, name: &Name<'_>, value: Value<'_>, when: When) {
        self.value_of(point, key, name, None, value, when);
    }

    fn value_of(
        &mut self,
        point: &Point,
        key: Key,
        name: &Name<'_>,
        element: Option<isize>,
        value: Value<'_>,
        when: When,
    ) {
        let Some(said) = self.find(key, name, element) else { return };
        let (kind, bits) = (value.kind(), value.bits());
        let since = std::mem::replace(&mut said.time, point.time());
        if when == When::Always || since == 0 || (said.kind, said.bits) != (kind, bits) {
            (said.kind, said.bits) = (kind, bits);
            point.value(said.variable, Attribute::Value, value, since);
        }
    }

    /// Says the contents of a tensor; `None`: they cannot be read.
    pub fn contents(
        &mut self,
        point: &Point,
        key: Key,
        name: &Name<'_>,
        found: Option<super::fingerprint::Fingerprint>,
    ) {
        if let Some(said) = self.find(key, name, None) {
            point.contents(said.variable, Attribute::Data, &mut said.time, found);
        }
    }
}

/// Reads objects that are no variables of modules: numbers, flags, texts, small lists of them, tensors.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The interpreter.
    pub python: &'a Python,
    /// Reads tensors.
    pub tensors: &'a Tensors,
    /// Tells them.
    pub classes: Classes,
}

impl Reader<'_> {
    /// One that is ready; `None` where tensors cannot be read.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn new(python: &Python) -> Option<Reader<'_>> {
        // SAFETY: the caller's word.
        unsafe {
            let (tensors, classes) =
                (crate::libtorch::proven::tensors()?, crate::interpreter::names::classes()?);
            Some(Reader { python, tensors, classes })
        }
    }

    /// Whether it is a tensor (or of a subclass, which is not read).
    ///
    /// # Safety
    /// A live object; the GIL is held.
    pub unsafe fn is_tensor(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.python.is_instance(object, self.classes.tensor) }
    }

    /// Does `then` with a tensor's contents; `None` where they cannot be read.
    ///
    /// # Safety
    /// As [`Reader::is_tensor`]; `then` runs no Python code.
    pub unsafe fn with_tensor<R>(
        &self,
        object: Object,
        then: impl FnOnce(&crate::libtorch::view::TensorView<'_>) -> R,
    ) -> Option<R> {
        // SAFETY: the caller's word: the type is checked before the tensor is taken out of the object.
        unsafe {
            let class = self.python.type_of(object);
            if class != self.classes.tensor && class != self.classes.parameter {
                return None;
            }
            let view = self.tensors.view(self.tensors.from_python(object)?).ok()?;
            Some(then(&view))
        }
    }

    /// The value of a number, a flag, a text, or a tensor with one element; `None` for anything else.
    ///
    /// # Safety
    /// As [`Reader::is_tensor`]. A text lives as long as the object.
    pub unsafe fn value<'v>(&self, object: Object) -> Option<Value<'v>> {
        // SAFETY: the caller's word.
        unsafe {
            if !self.is_tensor(object) {
                return Value::of(self.python, object);
            }
            self.with_tensor(object, Value::of_tensor).unwrap_or(Some(Value::Unreadable))
        }
    }

    /// Says what `object` is: a value, or the values of a list or tuple.
    ///
    /// # Safety
    /// As [`Reader::is_tensor`].
    pub unsafe fn say(
        &self,
        known: &mut Known,
        point: &Point,
        key: Key,
        name: &Name<'_>,
        object: Object,
        when: When,
    ) {
        let python = self.python;
        // SAFETY: the caller's word.
        unsafe {
            let Some(elements) = python.elements(object, MAX_ELEMENTS) else {
                if let Some(value) = self.value(object) {
                    known.value(point, key, name, value, when);
                }
                return;
            };
            for (index, element) in elements {
                if let Some(value) = self.value(element) {
                    known.value_of(point, key.with(index as u64), name, Some(index), value, when);
                }
            }
        }
    }

    /// Says what a tensor holds: a number where it has no dimension, else a fingerprint.
    ///
    /// # Safety
    /// As [`Reader::is_tensor`].
    pub unsafe fn say_tensor(
        &self,
        known: &mut Known,
        point: &Point,
        key: Key,
        name: &Name<'_>,
        object: Object,
    ) {
        // SAFETY: the caller's word.
        unsafe {
            let scalar = |view: &crate::libtorch::view::TensorView<'_>| {
                if view.sizes().is_empty() { Value::of_tensor(view) } else { None }
            };
            match self.with_tensor(object, |view| scalar(view).ok_or_else(|| fingerprint_if_readable(view))) {
                Some(Ok(value)) => known.value(point, key, name, value, When::Always),
                Some(Err(found)) => known.contents(point, key, name, found),
                None => known.contents(point, key, name, None),
            }
        }
    }
}
