//! What a loader gave: a fingerprint of every tensor and array of a batch, and the worker that made it.
//!
//! With them it can be seen that data repeats: in a pass, from pass to pass, or from worker to worker.

use super::fingerprint::{Fingerprint, fingerprint_if_readable};
use super::known::{Key, Name, Reader, When, with};
use super::point::Point;
use super::position;
use super::value::Value;
use super::{objects, rng, variables};
use crate::base::gil::Gil;
use crate::interpreter::api::{Buffer, Object, Python};
use crate::interpreter::names;
use crate::libtorch::view::{Dtype, TensorView};
use std::ffi::CStr;
use traincheck_schema::record::{Event, VariableKind};

/// A tensor with more bytes is only looked at in sampled iterations.
const LARGE: usize = 256 << 10;
/// Tensors and arrays of a batch that are looked at.
const MAX_PARTS: usize = 16;
/// Containers in containers.
const MAX_DEPTH: usize = 4;
/// Entries of one container.
const MAX_ENTRIES: isize = 64;

/// Looks at what the call `next` of a loader's iterator gave back.
///
/// # Safety
/// A live object; the GIL is held and no exception is set.
pub unsafe fn look(python: &Python, next: &Event, batch: Object) {
    // SAFETY: the caller's word; no Python code of the program runs.
    unsafe {
        let Some(reader) = Reader::new(python) else { return };
        if next.object == 0 {
            return;
        }
        let mut walk = Walk {
            reader,
            point: Point::now(next),
            loader: next.object,
            left: MAX_PARTS,
            path: [Step::Nothing; MAX_DEPTH],
            depth: 0,
        };
        walk.part(batch, Key::of(VariableKind::Batch, next.object));
    }
}

/// One level of the way to a part of a batch.
#[derive(Clone, Copy)]
enum Step {
    Nothing,
    Index(isize),
    /// The key of a dict, which lives as long as the batch.
    Name(Object),
}

struct Walk<'a> {
    reader: Reader<'a>,
    point: Point,
    loader: u32,
    left: usize,
    path: [Step; MAX_DEPTH],
    depth: usize,
}

impl Walk<'_> {
    unsafe fn part(&mut self, part: Object, key: Key) {
        let python = self.reader.python;
        // SAFETY: `look`'s contract. What a container holds lives as long as it does.
        unsafe {
            if self.left == 0 {
                return;
            }
            if self.reader.is_tensor(part) {
                self.left -= 1;
                let found = self.reader.with_tensor(part, fingerprint);
                self.say(key, found.unwrap_or(Some(None)));
            } else if is_array(python, part) {
                self.left -= 1;
                self.say(key, with_array(python, part, fingerprint).unwrap_or(Some(None)));
            } else if python.is_dict(part) {
                self.dict(part, key);
            } else if let Some(entries) = python.elements(part, MAX_ENTRIES) {
                for (index, entry) in entries {
                    self.below(Step::Index(index), entry, key.with(index as u64));
                }
            } else if python.is_instance(part, names::classes().map_or(std::ptr::null_mut(), |c| c.user_dict))
            {
                // What tokenizers give: an object around a dict.
                let data = python.instance_attribute(part, c"data");
                if python.is_dict(data) {
                    self.dict(data, key);
                }
            }
        }
    }

    unsafe fn dict(&mut self, dict: Object, key: Key) {
        let python = self.reader.python;
        let mut entries = 0;
        // SAFETY: as `part`.
        unsafe {
            variables::each_entry(python, dict, |name, entry| {
                let text = python.text(name);
                entries += 1;
                if !text.is_empty() && entries <= MAX_ENTRIES {
                    self.below(Step::Name(name), entry, key.named(text));
                }
            });
        }
    }

    unsafe fn below(&mut self, step: Step, part: Object, key: Key) {
        if let Some(slot) = self.path.get_mut(self.depth) {
            *slot = step;
            self.depth += 1;
            // SAFETY: as `part`.
            unsafe { self.part(part, key) };
            self.depth -= 1;
        }
    }

    /// Says what was found of a part; `None`: it was not looked at.
    unsafe fn say(&self, key: Key, found: Option<Option<Fingerprint>>) {
        let Some(found) = found else { return };
        // SAFETY: `look`'s contract: the GIL is held, the batch is alive, and no Python code runs.
        unsafe {
            let text = || {
                let mut text = format!("{}.batch", objects::name(self.loader));
                for step in self.path.get(..self.depth).unwrap_or_default() {
                    match step {
                        Step::Nothing => {}
                        Step::Index(index) => text += &format!("[{index}]"),
                        Step::Name(key) => text += &format!("['{}']", self.reader.python.text(*key)),
                    }
                }
                text
            };
            let name = Name { kind: VariableKind::Batch, owner: self.loader, text: &text };
            with(|known| known.contents(&self.point, key, &name, found));
        }
    }
}

/// The fingerprint of contents that are small, or of all in a sampled iteration.
fn fingerprint(view: &TensorView<'_>) -> Option<Option<Fingerprint>> {
    let small = view.elements().saturating_mul(view.dtype().size()) <= LARGE;
    (small || position::is_sampled()).then(|| fingerprint_if_readable(view))
}

/// Whether it is a numpy array, and none of a subclass.
unsafe fn is_array(python: &Python, object: Object) -> bool {
    /// The type, once it was seen: it lives as long as the interpreter.
    static ARRAY: Gil<usize> = Gil::new(0);
    // SAFETY: the callers': a live object, the GIL held. The type is kept by its name.
    unsafe {
        let class = python.type_of(object);
        let known = ARRAY.with(|array| *array);
        if known != 0 {
            return known == class as usize;
        }
        if names::type_name(python, class) != "numpy.ndarray" {
            return false;
        }
        ARRAY.with(|array| *array = class as usize);
        true
    }
}

/// Does `then` with the contents of an array; `None` where they cannot be read.
unsafe fn with_array<R>(
    python: &Python,
    array: Object,
    then: impl FnOnce(&TensorView<'_>) -> Option<R>,
) -> Option<Option<R>> {
    /// Strides and the type of elements are wanted, writing is not.
    const STRIDED: i32 = 0x10 | 0x08 | 0x04;
    // SAFETY: the callers': a live `numpy.ndarray`, the GIL held, no exception set. Its buffer is given by numpy's own
    // code and given back below; shape, strides and contents live until then.
    unsafe {
        let mut buffer = std::mem::zeroed::<Buffer>();
        if (python.get_buffer)(array, &raw mut buffer, STRIDED) != 0 {
            (python.error_clear)();
            return None;
        }
        let result = as_view(&buffer, then);
        (python.release_buffer)(&raw mut buffer);
        result
    }
}

unsafe fn as_view<R>(buffer: &Buffer, then: impl FnOnce(&TensorView<'_>) -> Option<R>) -> Option<Option<R>> {
    const MOST_DIMENSIONS: usize = 32;
    // SAFETY: `with_array`'s contract: a buffer as numpy fills it in, with shape and strides for each dimension.
    unsafe {
        let dtype = element(CStr::from_ptr(buffer.format).to_bytes())?;
        let dimensions = usize::try_from(buffer.dimensions).ok().filter(|count| *count <= MOST_DIMENSIONS)?;
        let (mut sizes, mut strides) = ([0i64; MOST_DIMENSIONS], [0i64; MOST_DIMENSIONS]);
        let width = dtype.size() as isize;
        for dimension in 0..dimensions {
            let stride = buffer.strides.add(dimension).read();
            if stride % width != 0 {
                return None;
            }
            sizes[dimension] = buffer.shape.add(dimension).read() as i64;
            strides[dimension] = (stride / width) as i64;
        }
        let view = TensorView::new(dtype, buffer.data, &sizes[..dimensions], &strides[..dimensions])?;
        // It may be a file that is mapped (`numpy.memmap`).
        Some(then(&view.owned_elsewhere()))
    }
}

/// The type of elements of a buffer's format, where it is one number in the machine's own order.
fn element(format: &[u8]) -> Option<Dtype> {
    Some(match format {
        b"?" => Dtype::Bool,
        b"B" => Dtype::U8,
        b"b" => Dtype::I8,
        b"H" => Dtype::U16,
        b"h" => Dtype::I16,
        b"I" => Dtype::U32,
        b"i" => Dtype::I32,
        b"L" | b"Q" => Dtype::U64,
        b"l" | b"q" => Dtype::I64,
        b"e" => Dtype::F16,
        b"f" => Dtype::F32,
        b"d" => Dtype::F64,
        b"Zf" => Dtype::C64,
        b"Zd" => Dtype::C128,
        _ => return None,
    })
}

/// What the iterator with this address will give next, as far as it can be told before it does: the number of the
/// batch, and the worker that has it.
struct Expected {
    iterator: usize,
    number: i64,
    worker: i64,
}

static EXPECTED: Gil<Vec<Expected>> = Gil::new(Vec::new());
/// Iterators that are asked at the same time, by several threads or one inside another.
const MAX_EXPECTED: usize = 16;

/// The next batch is about to be asked for. Batches come in the order of their numbers; the worker that was given a
/// number is in a table of the iterator, which forgets it with the batch.
///
/// # Safety
/// A live object or null; the GIL is held and no exception is set.
pub unsafe fn expect(python: &Python, iterator: Object) {
    // SAFETY: the caller's word. The tables are the iterator's own attributes; the number is an int and of no subclass, so
    // that its hash is no Python code.
    unsafe {
        let tasks = python.instance_attribute(iterator, c"_task_info");
        let next = python.instance_attribute(iterator, c"_rcvd_idx");
        if !python.is_dict(tasks) || !python.is_int(next) || python.type_of(next) != python.long_type {
            return;
        }
        let in_order = python.instance_attribute(iterator, c"_in_order");
        let is_bool = |object: Object| python.type_of(object) == python.bool_type;
        if !(in_order.is_null() || is_bool(in_order) && (python.is_true)(in_order) == 1) {
            return;
        }
        let Some(Value::Int(number)) = Value::of(python, next) else { return };
        let task = (python.dict_get)(tasks, next);
        if !(python.error_occurred)().is_null() {
            (python.error_clear)();
        }
        if !python.is_tuple(task) || (python.tuple_size)(task) == 0 {
            return;
        }
        let Some(Value::Int(worker)) = Value::of(python, (python.tuple_get)(task, 0)) else { return };
        let iterator = iterator as usize;
        EXPECTED.with(|expected| {
            expected.retain(|one| one.iterator != iterator);
            if expected.len() >= MAX_EXPECTED {
                expected.remove(0);
            }
            expected.push(Expected { iterator, number, worker });
        });
    }
}

/// The batch has come: says which worker made it, and what its seed is where that is new. Nothing where the batch is
/// not the one that was expected, because a worker had no more.
///
/// # Safety
/// A live object or null; the GIL is held and no exception is set.
pub unsafe fn came(python: &Python, next: &Event, iterator: Object) {
    // SAFETY: the caller's word; no Python code runs.
    unsafe {
        let address = iterator as usize;
        let expected = EXPECTED.with(|expected| {
            let at = expected.iter().position(|one| one.iterator == address)?;
            Some(expected.swap_remove(at))
        });
        let Some(Expected { number, worker, .. }) = expected else { return };
        let now = python.instance_attribute(iterator, c"_rcvd_idx");
        if next.object == 0 || !python.is_int(now) || Value::of(python, now) != Some(Value::Int(number + 1)) {
            return;
        }
        let point = Point::now(next);
        let key = Key::of(VariableKind::Worker, next.object);
        let text = || format!("{}.worker", objects::name(next.object));
        let name = Name { kind: VariableKind::Worker, owner: next.object, text: &text };
        with(|known| known.value(&point, key, &name, Value::Int(worker), When::Always));
        rng::compare_workers(python, next, iterator, number);
        let base = python.instance_attribute(iterator, c"_base_seed");
        if base.is_null() || !python.is_int(base) {
            return;
        }
        if let Some(Value::Int(base)) = Value::of(python, base) {
            let key = key.with(worker.cast_unsigned());
            let seed = Value::Int(base.wrapping_add(worker));
            let text = || format!("{}.worker[{worker}].seed", objects::name(next.object));
            let name = Name { kind: VariableKind::Worker, owner: next.object, text: &text };
            with(|known| known.value(&point, key, &name, seed, When::Changed));
        }
    }
}
