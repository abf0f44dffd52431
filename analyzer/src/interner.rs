//! Numbers for values, so that they are compared once and not at every event.

use std::hash::Hash;

use indexmap::IndexSet;

/// Gives equal values the same number, counting from 0.
///
/// Hashed with the standard library's keyed hash: the values come from whoever wrote a trace.
#[derive(Debug)]
pub struct Interner<T>(IndexSet<T>);

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner(IndexSet::default())
    }
}

impl<T: Hash + Eq + Clone> Interner<T> {
    /// The number of `item`, a new one if it was never seen.
    pub fn intern(&mut self, item: &T) -> u32 {
        let id = self.0.get_index_of(item).unwrap_or_else(|| self.0.insert_full(item.clone()).0);
        id as u32
    }

    /// What has the number `id`.
    pub fn get(&self, id: u32) -> &T {
        &self.0[id as usize]
    }

    /// Whether it has a number.
    pub fn contains(&self, item: &T) -> bool {
        self.0.contains(item)
    }

    /// All of them with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.0.iter().enumerate().map(|(id, item)| (id as u32, item))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
