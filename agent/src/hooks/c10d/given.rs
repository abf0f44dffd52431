//! What a collective is given, read where the caller has it.

use super::options;
use super::stubs::Registers;
use super::table::{Method, Shape};
use crate::libtorch::proven;
use crate::libtorch::tensor::TensorRef;
use traincheck_schema::record::{Collective, NO_ELEMENT_TYPE, ReduceKind, collective};

/// A longer list is none.
const MOST: usize = 1 << 20;
/// More tensors are not looked at.
const MOST_LISTED: usize = 256;

/// `std::vector`: where its elements begin, and where they end.
#[derive(Clone, Copy)]
#[repr(C)]
struct Vector {
    begin: usize,
    end: usize,
    _room: usize,
}

/// What a collective is given.
pub struct Given {
    /// What it reads.
    pub read: Tensors,
    /// What it writes; where that is what it reads, the same.
    pub written: Tensors,
}

/// Tensors, as they are added up.
#[derive(Clone, Default)]
pub struct Tensors {
    /// All of them, in order, as long as they are not too many to be looked at.
    pub each: Vec<TensorRef>,
    count: u32,
    elements: u64,
    element_type: Option<u8>,
    mixed: bool,
    unread: bool,
}

impl Tensors {
    /// Whether all of them are in the list.
    pub fn are_all_there(&self) -> bool {
        !self.unread && self.count as usize == self.each.len()
    }

    /// Adds the tensor that an `at::Tensor` at `address` stands for.
    ///
    /// # Safety
    /// There is one, and its tensor lives while this runs.
    unsafe fn add(&mut self, address: usize) {
        self.count = self.count.saturating_add(1);
        // SAFETY: the caller's word: it is a pointer to a tensor, which is never null.
        let read = unsafe {
            let tensor = (address as *const usize).read();
            proven::tensors().filter(|_| tensor != 0).and_then(|tensors| {
                let tensor = TensorRef::at(tensor);
                let description = tensors.describe(tensor);
                Some((tensor, description.elements()?, u8::try_from(description.scalar_type()).ok()?))
            })
        };
        let Some((tensor, elements, element_type)) = read else {
            self.unread = true;
            return;
        };
        if self.each.len() < MOST_LISTED {
            self.each.push(tensor);
        }
        self.elements = self.elements.saturating_add(elements);
        self.mixed |= self.element_type.is_some_and(|first| first != element_type);
        self.element_type = self.element_type.or(Some(element_type));
    }

    /// Adds those of a `std::vector<at::Tensor>`.
    ///
    /// # Safety
    /// There is one at `address`, and its tensors live while this runs.
    unsafe fn add_all(&mut self, address: usize) {
        // SAFETY: the caller's word.
        let places = unsafe { elements(address, size_of::<usize>()) };
        let Some(places) = places else {
            self.unread = true;
            return;
        };
        // SAFETY: as above: each is an `at::Tensor`.
        places.for_each(|place| unsafe { self.add(place) });
    }

    /// Adds those of a `std::vector<std::vector<at::Tensor>>`.
    ///
    /// # Safety
    /// As for [`Sum::add_all`].
    unsafe fn add_lists(&mut self, address: usize) {
        // SAFETY: the caller's word.
        let places = unsafe { elements(address, size_of::<Vector>()) };
        let Some(places) = places else {
            self.unread = true;
            return;
        };
        // SAFETY: as above: each is a vector of tensors.
        places.for_each(|place| unsafe { self.add_all(place) });
    }
}

/// Where the elements of a `std::vector` lie, of `size` bytes each; `None` where that cannot be.
///
/// # Safety
/// There is one at `address`.
unsafe fn elements(address: usize, size: usize) -> Option<impl Iterator<Item = usize>> {
    if address == 0 {
        return None;
    }
    // SAFETY: the caller's word.
    let vector = unsafe { (address as *const Vector).read() };
    let length = vector.end.checked_sub(vector.begin)?;
    let is_one = length.is_multiple_of(size) && length / size <= MOST && vector.begin.is_multiple_of(8);
    is_one.then(|| (vector.begin..vector.end).step_by(size))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_one_only_if_it_can_be() {
        let vector = |begin, end| Vector { begin, end, _room: 0 };
        let count = |vector: &Vector| {
            // SAFETY: a vector; its elements are not read.
            unsafe { elements(std::ptr::from_ref(vector) as usize, 8) }.map(Iterator::count)
        };
        assert_eq!(count(&vector(0, 0)), Some(0));
        assert_eq!(count(&vector(64, 88)), Some(3));
        assert_eq!(count(&vector(64, 87)), None);
        assert_eq!(count(&vector(88, 64)), None);
        assert_eq!(count(&vector(66, 74)), None);
        assert_eq!(count(&vector(64, 64 + (8 << 21))), None);
    }
}
