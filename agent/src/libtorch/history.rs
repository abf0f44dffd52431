//! How a tensor came about: whether an operation that is differentiated made it, and how often it was written to.

use super::library::Libtorch;
use super::tensor::{TensorRef, Tensors, field};
use crate::base::memory::Mapped;
use std::ffi::c_void;

/// Python tensor objects whose history is known.
#[derive(Clone, Copy)]
pub struct KnownHistories {
    /// Written to three times.
    pub three: *mut c_void,
    /// Written to five times.
    pub five: *mut c_void,
    /// Made from a parameter by an operation.
    pub made: *mut c_void,
    /// A parameter.
    pub leaf: *mut c_void,
}

/// What was proven of it.
#[derive(Clone, Copy, Default)]
pub struct History {
    is_leaf: Option<unsafe extern "C-unwind" fn(*const usize) -> bool>,
    /// Offset of the pointer to the version counter in a tensor, and of the number in the counter.
    version: Option<(usize, usize)>,
}

impl Tensors {
    /// Finds out how histories are read. Gives back what could not be proven, and why.
    ///
    /// # Safety
    /// The pointers are live Python objects, made as [`KnownHistories`] says; the GIL is held.
    pub unsafe fn prove_history(&mut self, library: &Libtorch, known: &KnownHistories) -> Vec<String> {
        let mut off = Vec::new();
        // SAFETY: the caller's guarantee. The getter is given the address of a pointer to a live tensor, which is what
        // a `TensorBase` is; reads beyond the proven layout are of memory that is mapped.
        unsafe {
            let tensors =
                [known.three, known.five, known.made, known.leaf].map(|object| self.from_python(object));
            let [Some(three), Some(five), Some(made), Some(leaf)] = tensors else {
                return vec!["history of tensors: a known tensor is undefined".to_owned()];
            };
            match &library.is_leaf {
                Ok(is_leaf) => {
                    self.history.is_leaf = Some(*is_leaf);
                    let found = [three, five, made, leaf].map(|tensor| self.is_leaf(tensor));
                    if found != [Some(true), Some(true), Some(false), Some(true)] {
                        self.history.is_leaf = None;
                        off.push("leaves: known tensors are not read correctly".to_owned());
                    }
                }
                Err(why) => off.push(format!("leaves: {why}")),
            }
            match find_version(three, five, leaf) {
                Ok(version) => self.history.version = Some(version),
                Err(why) => off.push(format!("version counters: {why}")),
            }
        }
        off
    }

    /// Whether no operation that is differentiated made it; none: that cannot be told.
    ///
    /// # Safety
    /// The tensor lives; the GIL is held.
    #[inline]
    pub unsafe fn is_leaf(&self, tensor: TensorRef) -> Option<bool> {
        let address = tensor.address();
        // SAFETY: as in `prove_history`. It looks at a field, and throws for no tensor that is defined.
        self.history.is_leaf.map(|is_leaf| unsafe { is_leaf(&raw const address) })
    }

    /// Its version counter; none where it has none (made in inference mode), or that cannot be told.
    ///
    /// # Safety
    /// As for [`Tensors::is_leaf`].
    #[inline]
    pub unsafe fn version(&self, tensor: TensorRef) -> Option<u32> {
        let (pointer, number) = self.history.version?;
        // SAFETY: the offsets were proven; a tensor without a counter has null there.
        unsafe {
            let counter = field::<usize>(tensor.address(), pointer);
            (counter != 0).then(|| field::<u32>(counter, number))
        }
    }
}

/// Searches for the one place where tensors point to numbers that are how often they were written to.
///
/// # Safety
/// The tensors live and are what [`KnownHistories`] says.
unsafe fn find_version(three: TensorRef, five: TensorRef, leaf: TensorRef) -> Result<(usize, usize), String> {
    /// Bytes of a tensor, and of what it points to, that are looked at.
    const TENSOR: usize = 256;
    const COUNTER: usize = 32;
    let mapped = Mapped::now();
    // SAFETY: what is mapped stays so while the proof runs: its pointers lead to objects that live.
    let number = |tensor: TensorRef, pointer: usize, at: usize| unsafe {
        let counter = mapped.read::<usize>(tensor.address() + pointer)?;
        mapped.read::<u32>(counter.checked_add(at)?)
    };
    let mut found = Vec::new();
    for pointer in (8..TENSOR).step_by(8) {
        for at in (8..COUNTER).step_by(4) {
            if [three, five, leaf].map(|tensor| number(tensor, pointer, at)) == [Some(3), Some(5), Some(0)] {
                found.push((pointer, at));
            }
        }
    }
    match found[..] {
        [place] => Ok(place),
        _ => Err(format!("{} places could be that of the counter", found.len())),
    }
}
