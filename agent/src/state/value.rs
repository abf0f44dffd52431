//! Values that are no tensors: numbers, flags and texts, read from Python objects without running any Python code.

use crate::base::hash::FastHasher;
use crate::base::memory;
use crate::interpreter::api::{Object, Python};
use crate::libtorch::view::{Dtype, TensorView};
use half::{bf16, f16};
use std::hash::Hasher;
use traincheck_schema::record::ValueKind;

/// Longer texts are no settings.
const LONGEST_TEXT: usize = 200;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A float, or a tensor with one.
    Float(f64),
    /// A str.
    Text(&'a str),
    /// A tensor that cannot be read.
    Unreadable,
}

impl<'a> Value<'a> {
    /// The value of a Python bool, int, float or str, subclasses included: what they override is not asked.
    ///
    /// # Safety
    /// A live object; the GIL is held and no exception is set. The text lives as long as the object.
    pub unsafe fn of(python: &Python, object: Object) -> Option<Value<'a>> {
        // SAFETY: the caller's word. Of objects of these types the conversions read a field.
        unsafe {
            let class = python.type_of(object);
            if class == python.float_type || python.is_instance(object, python.float_type) {
                Some(Value::Float((python.float_as_double)(object)))
            } else if class == python.bool_type {
                Some(Value::Bool((python.is_true)(object) == 1))
            } else if python.is_int(object) {
                // No exception is made for one that is too large.
                let mut overflow = 0;
                let int = (python.long_and_overflow)(object, &raw mut overflow);
                (overflow == 0).then_some(Value::Int(int))
            } else if python.is_str(object) {
                let text = python.text(object);
                (text.len() <= LONGEST_TEXT).then_some(Value::Text(text))
            } else {
                None
            }
        }
    }

    /// The one element of a tensor; `None` where it has more or fewer.
    pub fn of_tensor(view: &TensorView) -> Option<Value<'static>> {
        if view.elements() != 1 {
            return None;
        }
        let mut copied = [0u8; 16];
        let copied = copied.get_mut(..view.dtype().size())?;
        let at = if !view.is_owned_elsewhere() {
            view.data()
        } else if memory::copy(view.data() as usize, copied) {
            copied.as_ptr()
        } else {
            return Some(Value::Unreadable);
        };
        // SAFETY: the maker of the view guarantees that its element, of the type that it names, can be read; what was
        // copied is as long.
        unsafe {
            Some(match view.dtype() {
                Dtype::Bool => Value::Bool(*at != 0),
                Dtype::U8 => Value::Int(i64::from(*at)),
                Dtype::I8 => Value::Int(i64::from(at.cast::<i8>().read())),
                Dtype::U16 => Value::Int(i64::from(at.cast::<u16>().read_unaligned())),
                Dtype::I16 => Value::Int(i64::from(at.cast::<i16>().read_unaligned())),
                Dtype::U32 => Value::Int(i64::from(at.cast::<u32>().read_unaligned())),
                Dtype::I32 => Value::Int(i64::from(at.cast::<i32>().read_unaligned())),
                Dtype::I64 => Value::Int(at.cast::<i64>().read_unaligned()),
                Dtype::U64 => Value::Int(i64::try_from(at.cast::<u64>().read_unaligned()).ok()?),
                Dtype::F16 => Value::Float(f16::from_bits(at.cast::<u16>().read_unaligned()).to_f64()),
                Dtype::Bf16 => Value::Float(bf16::from_bits(at.cast::<u16>().read_unaligned()).to_f64()),
                Dtype::F32 => Value::Float(f64::from(at.cast::<f32>().read_unaligned())),
                Dtype::F64 => Value::Float(at.cast::<f64>().read_unaligned()),
                _ => return None,
            })
        }
    }

    /// How a record says it.
    pub fn kind(self) -> ValueKind {
        match self {
            Value::None => ValueKind::None,
            Value::Bool(_) => ValueKind::Bool,
            Value::Int(_) => ValueKind::Int,
            Value::Float(_) => ValueKind::Float,
            Value::Text(_) => ValueKind::Text,
            Value::Unreadable => ValueKind::Unreadable,
        }
    }

    /// Tells values of one kind apart. NaN is equal to itself.
    pub fn bits(self) -> u64 {
        match self {
            Value::None | Value::Unreadable => 0,
            Value::Bool(flag) => u64::from(flag),
            Value::Int(int) => int.cast_unsigned(),
            Value::Float(float) => float.to_bits(),
            Value::Text(text) => {
                let mut hasher = FastHasher::default();
                hasher.write(text.as_bytes());
                hasher.write_usize(text.len());
                hasher.finish()
            }
        }
    }
}
