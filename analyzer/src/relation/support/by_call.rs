//! What is looked up once for each call that takes part in something.

use crate::call::{Call, CallId};
use crate::relation::numbers::Numbers;

/// What can be looked up for a call.
pub trait OfCall {
    /// Looks it up.
    fn of(call: Call, numbers: &mut Numbers) -> Self;
}

/// What was looked up so far, by number of the call.
#[derive(Debug)]
pub struct ByCall<T>(Vec<Option<T>>);

impl<T> Default for ByCall<T> {
    fn default() -> Self {
        ByCall(Vec::new())
    }
}

impl<T: OfCall> ByCall<T> {
    /// What belongs to this call.
    pub fn of(&mut self, id: CallId, numbers: &mut Numbers) -> &mut T {
        let at = id as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert_with(|| T::of(numbers.calls.get(id).clone(), numbers))
    }
}
