//! What the ranks of a process group enter together, side by side.
//!
//! Compared so by MUST for MPI, by `TORCH_DISTRIBUTED_DEBUG=DETAIL` and by PyTorch's flight recorder, the last without reductions and
//! roots.

use std::collections::BTreeMap;
use std::rc::Rc;

use traincheck_schema::record::{CollectiveEvent, CollectiveKind};

use super::alike::{alike, difference};
use super::claim::{Outcome, Property, Subject};
use super::contents::Contents;
use super::reduced::Reduced;
use super::row::{MOST_OPEN, Row};
use crate::relation::numbers::SubjectId;
use crate::relation::sink::Window;
use crate::relation::together::{Joint, Meeting, Rank, Together, departing};
use crate::scene::Cut;
use crate::scene::came::Came;
use crate::situation::NOTHING;

/// See the module.
#[derive(Default)]
pub(super) struct OfRanks {
    by_name: BTreeMap<String, Group>,
    contents: Contents,
    reduced: Reduced,
}

/// A process group.
struct Group {
    size: usize,
    collective: SubjectId,
    pace: SubjectId,
    /// By place in the order of the group, who has entered what, where not all have.
    open: BTreeMap<u32, Row>,
    out_of_step: Option<Row>,
}

impl Together for OfRanks {
    fn came(&mut self, came: &Rc<Came>, at: usize, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        self.contents.came(came, at, ranks, joint);
        let record = &came.record;
        let kind = CollectiveKind::try_from(record.op).unwrap_or_default();
        if kind.is_point_to_point() {
            return;
        }
        let Some(entry) = ranks[at].source.entry(record.group) else { return };
        self.reduced.came(&entry.text, came);
        if record.event != CollectiveEvent::Issued as u8 {
            return;
        }
        if !self.by_name.contains_key(&entry.text) {
            self.by_name.insert(entry.text.clone(), Group::new(&entry.text, entry.line, joint));
        }
        let Some(group) = self.by_name.get_mut(&entry.text) else { return };
        if let Some(row) = group.enter(record.sequence, at, came) {
            group.compare(&row, ranks, joint);
            self.contents.entered(&entry.text, &row, ranks, joint);
            self.reduced.entered(&entry.text, &row, ranks, joint);
            group.pace(row, ranks, joint);
        }
    }

    fn met(&mut self, meeting: &Meeting<'_>, joint: &mut Joint<'_>) {
        self.by_name.values_mut().for_each(|group| group.settle(meeting.ranks, joint));
    }

    fn end(&mut self, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        self.by_name.values_mut().for_each(|group| group.settle(ranks, joint));
    }
}

impl Group {
    fn new(name: &str, size: u32, joint: &mut Joint<'_>) -> Group {
        Group {
            size: size as usize,
            collective: joint.numbers.subject(Subject::Entered { group: name.into() }),
            pace: joint.numbers.subject(Subject::Pace { group: name.into() }),
            open: BTreeMap::new(),
            out_of_step: None,
        }
    }

    /// A rank enters a collective; what all have entered if it is the last to do so.
    fn enter(&mut self, sequence: u32, at: usize, came: &Rc<Came>) -> Option<Row> {
        if self.size < 2 {
            return None;
        }
        let row = self.open.entry(sequence).or_default();
        row.insert(at, came.clone());
        if row.len() == self.size {
            return self.open.remove(&sequence);
        }
        if self.open.len() > MOST_OPEN {
            self.open.pop_first();
        }
        None
    }

    fn compare(&self, row: &Row, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let differ_in = difference(row.values().map(|came| &came.record));
        let depart = differ_in.and_then(|property| {
            departing_from(row, |one, other| alike(property, &one.record, &other.record))
        });
        let mut outcome = |property| joint.numbers.outcome(Outcome::Same { property });
        let (mut held, mut inconclusive) = (Vec::new(), Vec::new());
        for property in Property::ALL {
            match differ_in {
                Some(first) if property == first => {}
                // Of different things nothing more is to be compared.
                Some(first) if property > first => inconclusive.push(outcome(property)),
                _ => held.push(outcome(property)),
            }
        }
        let depart = depart.unwrap_or_default();
        tell(self.collective, row, &depart, ranks, joint, |window| {
            (window.held, window.inconclusive) = (&held, &inconclusive);
        });
    }

    /// How far ranks have come. One that has fewer steps than others may have no more data: only when it goes on is it behind.
    fn pace(&mut self, row: Row, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        if row.keys().any(|&at| ranks[at].scene.lost_since(0).is_some()) {
            tell(self.pace, &row, &[], ranks, joint, |window| window.cut = Some(Cut::Loss));
        } else if departing_from(&row, |one, other| one.steps == other.steps).is_some() {
            self.out_of_step.get_or_insert(row);
        } else {
            let held = [joint.numbers.outcome(Outcome::EquallyManySteps)];
            tell(self.pace, &row, &[], ranks, joint, |window| window.held = &held);
        }
    }

    /// Whether those that had made fewer steps have made one since.
    fn settle(&mut self, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let Some(row) = &self.out_of_step else { return };
        let most = row.values().map(|came| came.steps).max().unwrap_or(0);
        let went_on =
            |(&at, came): (&usize, &Rc<Came>)| came.steps == most || ranks[at].scene.steps_of(0) > came.steps;
        if row.iter().all(went_on) {
            let depart = departing_from(row, |one, other| one.steps == other.steps).unwrap_or_default();
            tell(self.pace, row, &depart, ranks, joint, |_| {});
            self.out_of_step = None;
        }
    }
}

/// Which ranks of a row are not the same as most: see [`departing`].
fn departing_from(row: &Row, same: impl Fn(&Came, &Came) -> bool) -> Option<Vec<usize>> {
    let came: Vec<&Came> = row.values().map(Rc::as_ref).collect();
    let places: Vec<usize> = row.keys().copied().collect();
    let departing = departing(&came, |one, other| same(one, other))?;
    Some(departing.into_iter().map(|at| places[at]).collect())
}

/// Hands over a window of what ranks have entered, at the first that departs from the others, or else at the one that has made the
/// fewest steps.
fn tell<'a>(
    subject: SubjectId,
    row: &'a Row,
    departing: &[usize],
    ranks: &[Rank<'_>],
    joint: &mut Joint<'_>,
    fill: impl FnOnce(&mut Window<'a>),
) {
    let fewest = row.iter().min_by_key(|(_, came)| came.steps).map(|(&at, _)| at);
    let Some(at) = departing.first().copied().or(fewest) else { return };
    let Some((call, around)) = row.get(&at).and_then(|came| came.stack.split_last()) else { return };
    let record = &row[&at].record;
    let mut window = Window::new(subject, NOTHING, call, 0);
    window.around = Some(around);
    window.now = (record.iteration, record.step);
    fill(&mut window);
    joint.window(&window, ranks, at, departing, &[]);
}
