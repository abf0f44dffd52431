//! Numbers for values, so that they are compared once and not at every event.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives equal values the same number, counting from 0.
#[derive(Debug)]
pub struct Interner<T> {
    items: Vec<T>,
    index: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Interner { items: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Hash + Eq + Clone> Interner<T> {
    /// The number of `item`, a new one if it was never seen.
    pub fn intern(&mut self, item: &T) -> u32 {
        if let Some(&id) = self.index.get(item) {
            return id;
        }
        let id = self.items.len() as u32;
        self.items.push(item.clone());
        self.index.insert(item.clone(), id);
        id
    }

    /// What has the number `id`.
    pub fn get(&self, id: u32) -> &T {
        &self.items[id as usize]
    }

    /// Whether it has a number.
    pub fn contains(&self, item: &T) -> bool {
        self.index.contains_key(item)
    }

    /// All of them with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.items.iter().enumerate().map(|(id, item)| (id as u32, item))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
