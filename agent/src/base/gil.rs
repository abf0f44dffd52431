//! Data that the GIL protects.

use std::cell::UnsafeCell;

/// A value that only threads holding the GIL touch.
pub struct Gil<T>(UnsafeCell<T>);

// SAFETY: `with` may be called by one thread at a time only: by its contract the GIL is held.
unsafe impl<T> Sync for Gil<T> {}

impl<T> Gil<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Gil(UnsafeCell::new(value))
    }

    /// The value, for the duration of `use_it`.
    ///
    /// # Safety
    /// The GIL is held throughout, and `use_it` neither runs Python code nor calls `with` on the same value.
    #[inline]
    pub unsafe fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller's word: no other reference exists while this one does.
        use_it(unsafe { &mut *self.0.get() })
    }
}
