//! The bytes of the state of a stream, put together.

use crate::libtorch::view::{Dtype, TensorView};
use crate::state::fingerprint::{Fingerprint, fingerprint_of};

/// The state of a Mersenne twister, the numbers that go with it, and what was drawn in advance.
type Bytes = [u8; 2560];

/// Collects the bytes of a state.
pub struct Collect {
    bytes: Bytes,
    length: usize,
}

impl Collect {
    /// None yet.
    pub fn new() -> Collect {
        Collect { bytes: [0; 2560], length: 0 }
    }

    /// Further ones; what does not fit is left out.
    pub fn add(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(room) = self.bytes.get_mut(self.length..end) {
            room.copy_from_slice(bytes);
            self.length = end;
        }
    }

    /// Their fingerprint.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let size = [self.length as i64];
        // SAFETY: the bytes are this object's own.
        let view = unsafe { TensorView::new(Dtype::U8, self.bytes.as_ptr(), &size, &[1]) };
        view.map(|view| fingerprint_of(&view))
    }
}
