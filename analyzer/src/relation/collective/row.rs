//! What the ranks of a group have entered at one place in its order, and windows over it.

use std::collections::BTreeMap;
use std::rc::Rc;

use traincheck_schema::record::{Collective, collective};

use super::claim::{Outcome, Subject};
use crate::relation::sink::Window;
use crate::relation::together::{Joint, Rank};
use crate::scene::came::Came;
use crate::situation::NOTHING;

/// By place of the rank.
pub(super) type Row = BTreeMap<usize, Rc<Came>>;

/// Collectives and messages of a group in which not all ranks have taken part to their end are remembered up to this number: a rank
/// whose records are lost never comes to some.
pub(super) const MOST_OPEN: usize = 4096;

/// What tells its contents apart.
pub(super) fn hash(record: &Collective) -> (u64, u64) {
    (record.hash_low, record.hash_high)
}

/// Whether its contents were looked at.
pub(super) fn is_known(record: &Collective) -> bool {
    record.has(collective::CONTENTS)
}

/// A window over ranks.
pub(super) struct Told<'a> {
    /// Where the rank at the place `at` has issued it.
    pub(super) asked: &'a Rc<Came>,
    pub(super) at: usize,
    pub(super) departing: &'a [usize],
    /// What is wrong if it is wrong is that ranks differ.
    pub(super) differ: bool,
}

impl Told<'_> {
    /// Whether this holds, the only thing that is said of the subject: of what cannot be told there is no window.
    pub(super) fn tell(
        &self,
        (subject, outcome): (Subject, Outcome),
        holds: bool,
        ranks: &[Rank<'_>],
        joint: &mut Joint<'_>,
    ) {
        let Some((call, around)) = self.asked.stack.split_last() else { return };
        let subject = joint.numbers.subject(subject);
        let held = [joint.numbers.outcome(outcome)];
        let mut window = Window::new(subject, NOTHING, call, 0);
        window.around = Some(around);
        window.now = (self.asked.record.iteration, self.asked.record.step);
        window.held = if holds { &held } else { &[] };
        joint.window_of(&window, ranks, self.at, self.departing, self.differ);
    }
}
