//! What calls were given and what they gave back.

use super::{ARGUMENT_KIND, ARGUMENT_SIZE, UnknownCase};
#[cfg(doc)]
use super::{Attribute, DictKind, Event};

/// Which end of a call an [`Argument`] belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Passed to the call. `name` is a parameter, or a place in one: `batch[0]`.
    Argument = 0,
    /// Returned by it. `name` is `result`, or a place in it: `result[1]`.
    Result = 1,
    /// The exception that left it. `name` is `exception`; the value an object of its type.
    Exception = 2,
}

/// How to read the value of an [`Argument`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ArgumentKind {
    /// `None`.
    None = 0,
    /// `value` is 0 or 1.
    Bool = 1,
    /// `value` is an `i64`.
    Int = 2,
    /// `value` are the bits of an `f64`.
    Float = 3,
    /// `text` is the text, shortened.
    Text = 4,
    /// `text` describes it (`[8, 3] float32 cpu`), `storage` and `value` (its version counter) tell which it is;
    /// `flags` are of [`tensor`].
    Tensor = 5,
    /// Anything else: `text` is its type, `object` its id if it is followed.
    Object = 6,
    /// A tuple, list, dict or set: `text` is its type, `value` how many elements it has. The records of the first of
    /// them follow.
    Container = 7,
    /// `value` elements of the container `name` are not recorded.
    Truncated = 8,
    /// A value that is nobody's business: nothing of it is recorded.
    Redacted = 9,
    /// An integer that 64 bits do not hold; `value` is its sign.
    BigInt = 10,
}

/// Bits of [`Argument::flags`] of a tensor.
pub mod tensor {
    /// It requires a gradient.
    pub const REQUIRES_GRAD: u16 = 1 << 0;
    /// It is a leaf: no operation that is differentiated made it.
    pub const LEAF: u16 = 1 << 1;
    /// Its elements do not lie one behind the other in their logical order.
    pub const NON_CONTIGUOUS: u16 = 1 << 2;
    /// Its version counter is known, and in `value`.
    pub const VERSION_KNOWN: u16 = 1 << 3;
    /// All of its elements were looked at, of which there are some, and [`Argument::largest`](super::Argument::largest) says
    /// what was found. Since version 1.3.
    pub const LARGEST_KNOWN: u16 = 1 << 4;
    /// Some of the elements that were looked at are NaN or infinite. Since version 1.3.
    pub const NOT_FINITE: u16 = 1 << 5;
}

/// One argument or result of a call, or one element of it. 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Argument {
    /// Size of the record in the ring, in bytes: [`ARGUMENT_SIZE`].
    pub size: u16,
    /// Always [`ARGUMENT_KIND`]: tells it from an [`Event`] in a ring.
    pub kind: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// An [`ArgumentKind`].
    pub value_kind: u8,
    /// Reserved, zero.
    pub reserved: u8,
    /// As in [`Event::thread`].
    pub thread: u16,
    /// Time of the call's enter or exit.
    pub time: u64,
    /// The call.
    pub call: u64,
    /// As in [`Event::iteration`].
    pub iteration: u32,
    /// Dictionary id of the function.
    pub function: u32,
    /// Dictionary id of a [`DictKind::Text`]: the parameter and the place in it, `batch['x'][0]`.
    pub name: u32,
    /// Dictionary id of a [`DictKind::Text`], or 0.
    pub text: u32,
    /// Depends on `value_kind`.
    pub value: u64,
    /// Dictionary id of a [`DictKind::Object`], or 0.
    pub object: u32,
    /// Of a tensor: number of its storage, as in [`Attribute::Storage`]; 0: it has none.
    pub storage: u32,
    /// Of [`tensor`].
    pub flags: u16,
    /// Reserved, zero.
    pub padding: u16,
    /// Of a tensor with [`tensor::LARGEST_KNOWN`]: the largest magnitude of its finite elements, rounded, but to zero and to
    /// infinity never; 0 where none is finite. Else 0.
    pub largest: f32,
}

impl Argument {
    /// Nothing was passed: what a record begins as.
    pub const EMPTY: Argument = Argument {
        size: ARGUMENT_SIZE as u16,
        kind: ARGUMENT_KIND,
        direction: 0,
        value_kind: 0,
        reserved: 0,
        thread: 0,
        time: 0,
        call: 0,
        iteration: 0,
        function: 0,
        name: 0,
        text: 0,
        value: 0,
        object: 0,
        storage: 0,
        flags: 0,
        padding: 0,
        largest: 0.0,
    };
}

from_number!(Direction: u8 { Argument, Result, Exception });
from_number!(ArgumentKind: u8 {
    None, Bool, Int, Float, Text, Tensor, Object, Container, Truncated, Redacted, BigInt,
});
