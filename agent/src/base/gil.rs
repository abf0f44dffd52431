//! Data that the GIL protects.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A value that only threads holding the GIL touch, one at a time and never twice at once.
///
/// Steps of the hooks run no Python code, so nobody comes here while the value is in use. Should Python code run all the
/// same, because an object does what no object was expected to do, it finds the value taken and goes without it.
pub struct Gil<T> {
    in_use: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` gives the value out once at a time: by its contract the GIL is held, so no two threads look at the mark
// at the same time, and whoever finds it set gets nothing.
unsafe impl<T> Sync for Gil<T> {}

/// How often a value was found in use.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How often something was not done because it came upon a value that was in use.
pub fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Takes the mark away, at a panic too.
struct InUse<'a>(&'a AtomicBool);

impl Drop for InUse<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<T> Gil<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Gil { in_use: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, for the duration of `use_it`. Where it is in use already, `use_it` is not called.
    ///
    /// # Safety
    /// The GIL is held throughout: `use_it` neither runs Python code nor gives the GIL away.
    #[inline]
    pub unsafe fn with<R: Default>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        // Not an atomic exchange: the GIL keeps all other threads away.
        if self.in_use.load(Ordering::Relaxed) {
            REFUSED.fetch_add(1, Ordering::Relaxed);
            return R::default();
        }
        self.in_use.store(true, Ordering::Relaxed);
        let _in_use = InUse(&self.in_use);
        // SAFETY: the mark was not set, so no other reference exists while this one does; the caller's word that no
        // other thread is here.
        use_it(unsafe { &mut *self.value.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_value_in_use_is_given_to_nobody_else() {
        static VALUE: Gil<Vec<u32>> = Gil::new(Vec::new());
        // SAFETY: no interpreter runs here, and no other thread knows the value.
        unsafe {
            let length = VALUE.with(|outer| {
                outer.push(1);
                let inner = VALUE.with(|inner| {
                    inner.push(2);
                    inner.len()
                });
                assert_eq!(inner, 0);
                outer.len()
            });
            assert_eq!((length, refused()), (1, 1));
            // It is there again, after a panic too.
            let _ = catch_unwind(AssertUnwindSafe(|| VALUE.with::<()>(|_| panic!("in use"))));
            assert_eq!(VALUE.with(|value| value.len()), 1);
        }
    }
}
