//! Numbers for storages: small, and equal where memory is shared.

use crate::base::gil::Gil;
use crate::base::hash::FastMap;

/// More storages than any job's parameters have; activations come and go at addresses that are used again.
const MOST: usize = 1 << 16;

static STORAGES: Gil<Option<FastMap<usize, u32>>> = Gil::new(None);

/// The number of the storage at an address, from 1; 0 where there is none, or too many have been numbered.
///
/// # Safety
/// The GIL is held.
pub unsafe fn number(address: usize) -> u32 {
    if address == 0 {
        return 0;
    }
    // SAFETY: the caller's word; nothing in here runs Python code.
    unsafe {
        STORAGES.with(|storages| {
            let storages = storages.get_or_insert_with(FastMap::default);
            let next = storages.len() as u32 + 1;
            if next as usize > MOST {
                return storages.get(&address).copied().unwrap_or(0);
            }
            *storages.entry(address).or_insert(next)
        })
    }
}
