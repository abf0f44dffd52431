//! What a collective is given, read where the caller has it.

use super::options;
use super::stubs::Registers;
use super::table::{Method, Shape};
use super::tensors::Tensors;
use traincheck_schema::record::{Collective, NO_ELEMENT_TYPE, ReduceKind, collective};

/// What a collective is given.
pub struct Given {
    /// What it reads.
    pub read: Tensors,
    /// What it writes; where that is what it reads, the same.
    pub written: Tensors,
}

/// Fills in what `method` is given, and gives its tensors, which live until it has returned.
///
/// # Safety
/// The registers are those of a call of it, which has not begun yet.
pub unsafe fn read(method: &Method, registers: &Registers, record: &mut Collective) -> Given {
    let [_, first, second, third, fourth, _] = registers.integers;
    // The first two are the result and the group.
    let [a, b, c] = [second, third, fourth];
    let (mut read, mut written) = (Tensors::default(), Tensors::default());
    // SAFETY: the caller's word; the shape says what its arguments are. They are the caller's, which waits.
    let at = unsafe {
        match method.shape {
            Shape::InPlace => {
                read.add_all(a);
                written = read.clone();
                b
            }
            Shape::FromLists => {
                written.add_lists(a);
                read.add_all(b);
                c
            }
            Shape::ToLists => {
                written.add_all(a);
                read.add_lists(b);
                c
            }
            Shape::Tensors => {
                written.add_all(a);
                read.add_all(b);
                c
            }
            Shape::Single => {
                written.add(a);
                read.add(b);
                c
            }
            Shape::Split => {
                written.add(a);
                read.add(b);
                registers.in_memory
            }
            Shape::Send => {
                read.add_all(a);
                // Passed as 32 bits: what is above is nobody's.
                (record.peer, record.tag) = (b as i32, c as i32);
                0
            }
            Shape::Receive => {
                written.add_all(a);
                (record.peer, record.tag) = (b as i32, c as i32);
                0
            }
            Shape::ReceiveFromAny => {
                written.add_all(a);
                record.tag = b as i32;
                0
            }
            Shape::Nothing => a,
            Shape::NoResult => first,
        }
    };
    // SAFETY: as above: the options are where the shape has them.
    let given = unsafe { options::read(method.options, at) };
    if method.reduces {
        record.reduce = given.reduce as u8;
    } else {
        record.reduce = ReduceKind::None as u8;
    }
    if record.peer < 0 {
        record.peer = given.root;
    }
    record.flags |= given.flags;
    for (sum, flag) in [
        (read.mixed || written.mixed, collective::MIXED_TYPES),
        (read.unread || written.unread, collective::PARTLY_READ),
    ] {
        record.flags |= if sum { flag } else { 0 };
    }
    record.elements_in = read.elements;
    record.elements_out = written.elements;
    record.tensors = if read.count > 0 { read.count } else { written.count };
    record.element_type = read.element_type.or(written.element_type).unwrap_or(NO_ELEMENT_TYPE);
    Given { read, written }
}

/// The group on which it is called.
pub fn group(method: &Method, registers: &Registers) -> usize {
    let [result, first, ..] = registers.integers;
    if method.shape == Shape::NoResult { result } else { first }
}
