//! No garbage is collected while the agent works.
//!
//! CPython 3.11 may look for garbage whenever an object is made, by the agent too, and runs finalizers of the script in
//! the middle of that: code that calls modules and optimizers, gives the GIL to other threads, or ends its thread. Later
//! versions only do it between two instructions of Python code.

use super::api::Python;

/// The last version that collects where objects are made.
const COLLECTS_WHEN_MAKING: u32 = 11;

/// As long as it lives no garbage is collected. What would have been is when the script makes its next object.
pub struct NoCollection<'a>(Option<&'a Python>);

impl NoCollection<'_> {
    /// Begins.
    ///
    /// # Safety
    /// The GIL is held as long as it lives.
    #[inline]
    pub unsafe fn begin(python: &Python) -> NoCollection<'_> {
        // SAFETY: the caller's word; it is a field of the interpreter's that is set.
        let was_on = python.minor_version <= COLLECTS_WHEN_MAKING && unsafe { (python.gc_disable)() } == 1;
        NoCollection(was_on.then_some(python))
    }
}

impl Drop for NoCollection<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(python) = self.0 {
            // SAFETY: the word of who began it.
            unsafe { (python.gc_enable)() };
        }
    }
}
