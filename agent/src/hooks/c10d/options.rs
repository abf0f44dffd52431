//! The structs of options that collectives are given: where in them are the operation, the root, and whether the caller
//! goes on without waiting. Found at start-up in structs with known contents, which Python makes and fills in.

use super::table::Options;
use crate::base::memory::Mapped;
use std::sync::OnceLock;
use traincheck_schema::record::{ReduceKind, collective};

/// Where fields lie in a struct, in bytes. What was not found is not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    /// The number of the `ReduceOp`.
    reduce: Option<usize>,
    /// `rootRank`, 64 bits.
    root: Option<usize>,
    /// `asyncOp`.
    is_async: Option<usize>,
}

/// Of each struct.
static LAYOUTS: OnceLock<[Layout; Options::STRUCTS.len()]> = OnceLock::new();

/// What each of the known objects of a struct has.
const REDUCE: [u8; 4] = [0, 2, 4, 5];
const ROOT: [i64; 4] = [1, 5, 2, 7];
const IS_ASYNC: [u8; 4] = [1, 0, 0, 1];
/// How many known objects there are of each struct.
pub const EACH: usize = REDUCE.len();

/// How far into a struct is looked, in bytes. The shortest has 16.
const REACH: usize = 64;
/// Where a Python object that pybind11 has made keeps the address of what it stands for.
const IN_OBJECT: usize = 16;

/// Finds the fields in the known objects: of each struct of [`Options::STRUCTS`] [`EACH`] Python objects, or nulls.
///
/// # Safety
/// They are null or live objects of pybind11's, filled in as the constants above say as far as they have such fields.
pub unsafe fn prove(objects: &[usize]) {
    let mapped = Mapped::now();
    let mut layouts = [Layout::default(); Options::STRUCTS.len()];
    for (layout, objects) in layouts.iter_mut().zip(objects.chunks_exact(EACH)) {
        // SAFETY: what the live objects point to stays mapped; any bits make a number.
        let structs: Vec<usize> = unsafe {
            objects.iter().filter_map(|object| mapped.read(object.checked_add(IN_OBJECT)?)).collect()
        };
        if structs.len() == EACH {
            // SAFETY: as above.
            let (byte, quad) =
                unsafe { (|at: usize| mapped.read::<u8>(at), |at: usize| mapped.read::<i64>(at)) };
            *layout = Layout {
                reduce: find(&structs, 1, |at, which| byte(at) == REDUCE.get(which).copied()),
                root: find(&structs, 8, |at, which| quad(at) == ROOT.get(which).copied()),
                is_async: find(&structs, 1, |at, which| byte(at) == IS_ASYNC.get(which).copied()),
            };
        }
    }
    let _ = LAYOUTS.set(layouts);
}

/// The one place at which each of the structs has what it should have.
fn find(structs: &[usize], step: usize, is_there: impl Fn(usize, usize) -> bool) -> Option<usize> {
    let mut found = (0..REACH).step_by(step).filter(|offset| {
        structs.iter().enumerate().all(|(which, begin)| is_there(begin.wrapping_add(*offset), which))
    });
    found.next().filter(|_| found.next().is_none())
}

/// What could be found of what a collective should have.
pub fn are_known() -> bool {
    LAYOUTS.get().is_some_and(|layouts| {
        let of = |options: Options| layouts.get(options as usize - 1).copied().unwrap_or_default();
        of(Options::AllReduce).reduce.is_some() && of(Options::Broadcast).root.is_some()
    })
}

/// What options say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// How it reduces, if it does.
    pub reduce: ReduceKind,
    /// The root; -1: none or not known.
    pub root: i32,
    /// Of [`collective`]: asynchronous, blocking, or neither where that is not known.
    pub flags: u16,
}

/// Reads the struct of this kind at `address`.
///
/// # Safety
/// There is one, of the libtorch with which the layout was proven.
pub unsafe fn read(options: Options, address: usize) -> Read {
    let layout = match (options as usize).checked_sub(1) {
        Some(number) if address != 0 => {
            LAYOUTS.get().and_then(|layouts| layouts.get(number)).copied().unwrap_or_default()
        }
        _ => Layout::default(),
    };
    // SAFETY: the caller's word: the fields lie there.
    unsafe {
        let byte = |offset: usize| ((address + offset) as *const u8).read();
        let reduce = match layout.reduce.map(byte) {
            Some(0) => ReduceKind::Sum,
            Some(1) => ReduceKind::Avg,
            Some(2) => ReduceKind::Product,
            Some(3) => ReduceKind::Min,
            Some(4) => ReduceKind::Max,
            Some(5) => ReduceKind::Band,
            Some(6) => ReduceKind::Bor,
            Some(7) => ReduceKind::Bxor,
            Some(8) => ReduceKind::PremulSum,
            Some(_) | None => ReduceKind::Unknown,
        };
        let root = layout.root.map(|offset| ((address + offset) as *const i64).read_unaligned());
        let flags = match layout.is_async.map(byte) {
            Some(0) => collective::BLOCKING,
            Some(1) => collective::ASYNC,
            Some(_) | None => 0,
        };
        Read { reduce, root: root.and_then(|root| i32::try_from(root).ok()).unwrap_or(-1), flags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_where_only_they_fit() {
        let structs: Vec<[u8; REACH]> = (0..EACH)
            .map(|which| {
                let mut bytes = [0xaa; REACH];
                bytes[16] = REDUCE[which];
                bytes[32..40].copy_from_slice(&ROOT[which].to_ne_bytes());
                bytes[56] = IS_ASYNC[which];
                bytes
            })
            .collect();
        let begins: Vec<usize> = structs.iter().map(|bytes| bytes.as_ptr() as usize).collect();
        // SAFETY: the places lie in the arrays.
        let byte = |at: usize| unsafe { (at as *const u8).read() };
        assert_eq!(find(&begins, 1, |at, which| byte(at) == REDUCE[which]), Some(16));
        assert_eq!(find(&begins, 1, |at, which| byte(at) == IS_ASYNC[which]), Some(56));
        assert_eq!(find(&begins, 1, |at, _| byte(at) == 0xaa), None, "two places are none");
        assert_eq!(find(&begins, 1, |at, _| byte(at) == 0x55), None);
    }
}
