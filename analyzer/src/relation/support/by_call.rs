//! What is looked up once for each call that takes part in something.

use rustc_hash::FxHashMap;

use crate::call::{Call, CallId};
use crate::relation::numbers::Numbers;

/// What can be looked up for a call.
pub trait OfCall {
    /// Looks it up.
    fn of(call: Call, numbers: &mut Numbers) -> Self;
}

/// What was looked up so far.
#[derive(Debug)]
pub struct ByCall<T>(FxHashMap<CallId, T>);

impl<T> Default for ByCall<T> {
    fn default() -> Self {
        ByCall(FxHashMap::default())
    }
}

impl<T: OfCall> ByCall<T> {
    /// What belongs to this call.
    pub fn of(&mut self, id: CallId, numbers: &mut Numbers) -> &mut T {
        self.0.entry(id).or_insert_with(|| T::of(numbers.calls.get(id).clone(), numbers))
    }
}
