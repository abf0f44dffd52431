//! Tensors of a collective, read where the caller has them.

use crate::libtorch::proven;
use crate::libtorch::tensor::TensorRef;

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

/// Tensors, as they are added up.
#[derive(Clone, Default)]
pub struct Tensors {
    /// All of them, in order, as long as they are not too many to be looked at.
    pub each: Vec<TensorRef>,
    /// How many there are.
    pub count: u32,
    /// Elements of all of them.
    pub elements: u64,
    /// The number of the `c10::ScalarType` of the first.
    pub element_type: Option<u8>,
    /// They have elements of several types.
    pub mixed: bool,
    /// Not all could be read.
    pub unread: bool,
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
    pub unsafe fn add(&mut self, address: usize) {
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
    pub unsafe fn add_all(&mut self, address: usize) {
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
    /// As for [`Tensors::add_all`].
    pub unsafe fn add_lists(&mut self, address: usize) {
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
