//! Numbers for the things that hypotheses are made of, so that no text is compared per event.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use traincheck_schema::record::Role;

use crate::claim::{Call, Outcome, RelationName, Subject};
use crate::situation::Situations;

/// A map keyed by small numbers.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;
/// A set of small numbers.
pub type FastSet<K> = std::collections::HashSet<K, BuildHasherDefault<FastHasher>>;

/// Multiply and rotate: for keys that are small numbers given by this program, not by whoever wrote a trace.
#[derive(Default)]
pub struct FastHasher(u64);

impl FastHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        // The high bits are the well-mixed ones, and the table uses both ends.
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.mix(u64::from(byte));
        }
    }
    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }
}

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

/// Number of a [`Call`].
pub type CallId = u32;
/// Number of a relation's [`Subject`].
pub type SubjectId = u32;
/// Number of an [`Outcome`].
pub type OutcomeId = u32;

/// The numbers of one pass over one process.
#[derive(Debug, Default)]
pub struct Names {
    /// Functions, with and without the object they are called on.
    pub calls: Interner<Call>,
    /// What windows are about.
    pub subjects: Interner<(RelationName, Subject)>,
    /// What may happen in a window.
    pub outcomes: Interner<Outcome>,
    /// Under which circumstances windows are.
    pub situations: Situations,
}

impl Names {
    /// The number of `subject` as far as `relation` is concerned.
    pub fn subject(&mut self, relation: RelationName, subject: Subject) -> SubjectId {
        self.subjects.intern(&(relation, subject))
    }

    /// The number of `outcome`.
    pub fn outcome(&mut self, outcome: Outcome) -> OutcomeId {
        self.outcomes.intern(&outcome)
    }

    /// The outcomes that a function of one of these roles is called, those among them that invariants speak of and that
    /// were not seen so far.
    pub fn called(&self, roles: &[Role]) -> Vec<OutcomeId> {
        (0..self.outcomes.len() as OutcomeId).filter(|&id| self.is_call(id, roles)).collect()
    }

    /// Whether the outcome is that a function of one of these roles is called.
    pub fn is_call(&self, outcome: OutcomeId, roles: &[Role]) -> bool {
        matches!(self.outcomes.get(outcome), Outcome::Called { call } if roles.contains(&call.role))
    }
}
