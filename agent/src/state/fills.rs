//! What filled the parameters of the job before its first iteration: remembered until they are looked at, and so get
//! their names.
//!
//! A parameter is told by its Python object, whose construction was seen: an address that is used again is another's
//! from there on. What is filled is a tensor, which is the parameter's own or shares its storage (`p.data`, a view). Where
//! a parameter has got another storage without that being seen (`p.data = ...` in the script), the latter do not count.

use super::variables;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names;
use crate::libtorch::proven;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More parameters than are initialised by any job in one process; fills of those beyond are not known.
const MAX_PARAMETERS: usize = 1 << 18;
/// Of one parameter no more are remembered.
const MAX_FILLS: usize = 32;

/// One time that a parameter was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// What filled it: a function or an op, dictionary id.
    pub by: u32,
    /// The recorded call around that.
    pub call: u64,
    /// Where the function, or the call around the op, was called from.
    pub site: u32,
}

#[derive(Default)]
struct Parameter {
    tensor: usize,
    storage: usize,
    /// Each with whether it was by the parameter's own tensor.
    fills: Vec<(Fill, bool)>,
}

#[derive(Default)]
struct Fills {
    /// By the address of the object.
    parameters: FastMap<usize, Parameter>,
    /// The object, by the address of its `TensorImpl` and by that of its storage.
    by_tensor: FastMap<usize, usize>,
    by_storage: FastMap<usize, usize>,
}

static FILLS: Mutex<Option<Fills>> = Mutex::new(None);
/// What is filled is seen.
static SEEN: AtomicBool = AtomicBool::new(false);
/// Whether anything is remembered.
static ANY: AtomicBool = AtomicBool::new(false);

/// Not held where another lock is taken, or Python code runs; a forked child, which is inert, never comes here.
fn lock() -> MutexGuard<'static, Option<Fills>> {
    FILLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether what is filled is seen, from here on.
pub fn see(on: bool) {
    SEEN.store(on, Ordering::Relaxed);
}

/// Whether what is filled is seen.
pub fn are_seen() -> bool {
    SEEN.load(Ordering::Relaxed)
}

/// The parameter `object` was constructed.
///
/// # Safety
/// A live object; the GIL is held.
pub unsafe fn made(python: &Python, object: Object) {
    // SAFETY: the caller's word: the type is checked before the tensor is taken out of the object.
    unsafe {
        let (Some(tensors), Some(classes)) = (proven::tensors(), names::classes()) else { return };
        if !are_followed() || python.type_of(object) != classes.parameter {
            return;
        }
        if let Some(tensor) = tensors.from_python(object) {
            let storage = tensors.storage_id(tensor);
            lock().get_or_insert_default().made(object as usize, tensor.address(), storage);
            ANY.store(true, Ordering::Relaxed);
        }
    }
}

/// A tensor of this storage was filled.
pub fn filled(tensor: usize, storage: usize, fill: Fill) {
    if let Some(fills) = lock().as_mut() {
        fills.filled(tensor, storage, fill);
    }
}

/// The parameters of `module` itself may have other storages from here on, as after `Module.to`.
///
/// # Safety
/// A live object; the GIL is held.
pub unsafe fn moved(python: &Python, module: Object) {
    // SAFETY: the caller's word: the type is checked before a tensor is taken out of an object.
    unsafe {
        let (Some(tensors), Some(classes)) = (proven::tensors(), names::classes()) else { return };
        if !are_followed() {
            return;
        }
        variables::each_parameter(python, module, |parameter| {
            if python.type_of(parameter) == classes.parameter
                && let Some(tensor) = tensors.from_python(parameter)
                && let Some(fills) = lock().as_mut()
            {
                fills.moved(tensor.address(), tensors.storage_id(tensor));
            }
        });
    }
}

/// What filled the parameter `object`, which has this storage now, in order; they are forgotten.
pub fn of(object: usize, storage: usize) -> Vec<Fill> {
    if !ANY.load(Ordering::Relaxed) {
        return Vec::new();
    }
    lock().as_mut().map_or_else(Vec::new, |fills| fills.of(object, storage))
}

/// Whether parameters are followed: as long as fills are seen, or anything is remembered of what may have gone.
pub fn are_followed() -> bool {
    are_seen() || ANY.load(Ordering::Relaxed)
}

/// Forgets all.
pub fn forget_all() {
    if ANY.swap(false, Ordering::Relaxed) {
        *lock() = None;
    }
}

impl Fills {
    fn made(&mut self, object: usize, tensor: usize, storage: usize) {
        if self.parameters.len() >= MAX_PARAMETERS && !self.parameters.contains_key(&object) {
            return;
        }
        self.parameters.insert(object, Parameter { tensor, storage, fills: Vec::new() });
        self.by_tensor.insert(tensor, object);
        self.by_storage.insert(storage, object);
    }

    /// The parameter that has the storage, else the one that has the tensor. Addresses lead to the one that had them last,
    /// and only if it still has. What a parameter leaves that goes is not known: a tensor may be at the address of one that
    /// went, and even its storage at that of the other's. So the one that was made last with the storage counts: of those
    /// that share it, it has been filled, too.
    fn find(&mut self, tensor: usize, storage: usize) -> Option<(&mut Parameter, bool)> {
        let has = |object: &&usize, matches: &dyn Fn(&Parameter) -> bool| {
            self.parameters.get(*object).is_some_and(matches)
        };
        let by_storage =
            self.by_storage.get(&storage).filter(|object| has(object, &|found| found.storage == storage));
        let by_tensor =
            || self.by_tensor.get(&tensor).filter(|object| has(object, &|found| found.tensor == tensor));
        let object = *by_storage.or_else(by_tensor)?;
        let parameter = self.parameters.get_mut(&object)?;
        let is_own = parameter.tensor == tensor;
        Some((parameter, is_own))
    }

    fn filled(&mut self, tensor: usize, storage: usize, fill: Fill) {
        if let Some((parameter, is_own)) = self.find(tensor, storage)
            && parameter.fills.len() < MAX_FILLS
        {
            parameter.fills.push((fill, is_own));
        }
    }

    fn moved(&mut self, tensor: usize, storage: usize) {
        let Some(object) = self.by_tensor.get(&tensor).copied() else { return };
        if let Some(parameter) = self.parameters.get_mut(&object).filter(|found| found.tensor == tensor) {
            parameter.storage = storage;
            self.by_storage.insert(storage, object);
        }
    }

    fn of(&mut self, object: usize, storage: usize) -> Vec<Fill> {
        let Some(parameter) = self.parameters.get_mut(&object) else { return Vec::new() };
        let is_known = parameter.storage == storage;
        let fills = std::mem::take(&mut parameter.fills).into_iter();
        fills.filter(|(_, is_own)| *is_own || is_known).map(|(fill, _)| fill).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(by: u32) -> Fill {
        Fill { by, call: 1, site: 2 }
    }

    #[test]
    fn a_fill_is_that_of_the_parameter_that_has_the_tensor_or_the_storage() {
        let mut fills = Fills::default();
        fills.made(10, 100, 1000);
        fills.made(20, 200, 2000);
        fills.filled(100, 1000, fill(1));
        fills.filled(999, 2000, fill(2));
        fills.filled(998, 9000, fill(3));
        fills.filled(100, 1000, fill(4));
        assert_eq!(fills.of(10, 1000), [fill(1), fill(4)]);
        assert_eq!(fills.of(20, 2000), [fill(2)]);
        assert_eq!(fills.of(10, 1000), [], "said once");
    }

    #[test]
    fn what_lay_at_an_address_before_is_another() {
        let mut fills = Fills::default();
        fills.made(10, 100, 1000);
        fills.filled(100, 1000, fill(1));
        // The object is gone, and so are its tensor and its storage; all addresses are used again.
        fills.made(10, 300, 2000);
        fills.filled(100, 1000, fill(2));
        assert_eq!(fills.of(10, 2000), []);
        fills.made(20, 100, 1000);
        fills.filled(100, 1000, fill(3));
        assert_eq!((fills.of(10, 2000), fills.of(20, 1000)), (vec![], vec![fill(3)]));
    }

    #[test]
    fn a_tensor_at_the_address_of_one_that_is_gone_fills_what_has_its_storage() {
        let mut fills = Fills::default();
        fills.made(10, 100, 1000);
        fills.made(20, 200, 2000);
        fills.filled(100, 2000, fill(1));
        assert_eq!((fills.of(10, 1000), fills.of(20, 2000)), (vec![], vec![fill(1)]));
        // The storage lies where that of the gone one was, too.
        fills.made(30, 300, 1000);
        fills.filled(100, 1000, fill(2));
        assert_eq!((fills.of(10, 1000), fills.of(30, 1000)), (vec![], vec![fill(2)]));
    }

    #[test]
    fn a_parameter_that_moves_is_followed() {
        let mut fills = Fills::default();
        fills.made(10, 100, 1000);
        fills.moved(100, 3000);
        fills.filled(555, 1000, fill(1));
        fills.filled(555, 3000, fill(2));
        assert_eq!(fills.of(10, 3000), [fill(2)]);
    }

    #[test]
    fn where_a_move_was_not_seen_only_what_the_tensor_itself_was_filled_with_counts() {
        let mut fills = Fills::default();
        fills.made(10, 100, 1000);
        fills.filled(100, 1000, fill(1));
        // Its storage is another's by now.
        fills.filled(555, 1000, fill(2));
        assert_eq!(fills.of(10, 3000), [fill(1)]);
    }
}
