//! Numbers for the things that claims are made of, so that no text is compared per event.

use traincheck_schema::record::Role;

use super::claim::{Outcome, Subject};
use crate::call::Call;
use crate::interner::Interner;
use crate::situation::Situations;

/// Number of a [`Subject`].
pub type SubjectId = u32;
/// Number of an [`Outcome`].
pub type OutcomeId = u32;

/// The numbers of one pass over one process.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Functions, with and without the object they are called on.
    pub calls: Interner<Call>,
    /// What windows are of.
    pub subjects: Interner<Subject>,
    /// What windows are in.
    pub situations: Situations,
    outcomes: Interner<Outcome>,
    /// Of the outcomes those that say that a function is called, by its role.
    called: [Vec<OutcomeId>; Role::ALL.len()],
    /// By number of a subject, that of the one that names nothing of a program, once it was asked for.
    general: Vec<Option<Option<SubjectId>>>,
    /// The same of outcomes.
    general_outcomes: Vec<Option<Option<OutcomeId>>>,
}

impl Numbers {
    /// The number of `subject`.
    pub fn subject(&mut self, subject: impl Into<Subject>) -> SubjectId {
        self.subjects.intern(&subject.into())
    }

    /// The number of `outcome`.
    pub fn outcome(&mut self, outcome: impl Into<Outcome>) -> OutcomeId {
        let outcome = outcome.into();
        let (known, id) = (self.outcomes.len(), self.outcomes.intern(&outcome));
        if id as usize == known
            && let Some(call) = outcome.called()
        {
            self.called[call.role as usize].push(id);
        }
        id
    }

    /// The number of the subject that is the same with nothing of a program named.
    pub fn general(&mut self, subject: SubjectId) -> Option<SubjectId> {
        known(&mut self.general, subject).unwrap_or_else(|| {
            let general = self.subjects.get(subject).general().map(|general| self.subject(general));
            *known(&mut self.general, subject).insert(general)
        })
    }

    /// The number of the outcome that is the same with nothing of a program named.
    pub fn general_outcome(&mut self, outcome: OutcomeId) -> Option<OutcomeId> {
        known(&mut self.general_outcomes, outcome).unwrap_or_else(|| {
            let general = self.outcomes.get(outcome).general().map(|general| self.outcome(general));
            *known(&mut self.general_outcomes, outcome).insert(general)
        })
    }

    /// What may happen in a window, by number.
    pub fn outcomes(&self) -> &Interner<Outcome> {
        &self.outcomes
    }

    /// The outcomes that a function of one of these roles is called, those among them that invariants speak of and that
    /// were not seen so far.
    pub fn called(&self, roles: &[Role]) -> Vec<OutcomeId> {
        roles.iter().flat_map(|role| &self.called[*role as usize]).copied().collect()
    }

    /// Those of [`Numbers::called`] for one role, and that any function of it is called.
    pub fn called_or_any<O: Into<Outcome>>(
        &mut self,
        role: Role,
        is_called: impl Fn(Call) -> O,
    ) -> Vec<OutcomeId> {
        let any = self.outcome(is_called(Call::any(role)));
        let mut called = self.called(&[role]);
        if !called.contains(&any) {
            called.push(any);
        }
        called
    }

    /// Whether the outcome is that a function of one of these roles is called.
    pub fn is_call(&self, outcome: OutcomeId, roles: &[Role]) -> bool {
        self.outcomes.get(outcome).called().is_some_and(|call| roles.contains(&call.role))
    }
}

fn known(table: &mut Vec<Option<Option<u32>>>, id: u32) -> &mut Option<Option<u32>> {
    let at = id as usize;
    if at >= table.len() {
        table.resize(at + 1, None);
    }
    &mut table[at]
}
