//! Numbers for the things that hypotheses are made of, so that no text is compared per event.

use traincheck_schema::record::Role;

use crate::claim::{Call, Outcome, RelationName, Subject};
use crate::interner::Interner;
use crate::situation::Situations;

pub use rustc_hash::{FxHashMap as FastMap, FxHashSet as FastSet};

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
    /// The situations that windows are in.
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
