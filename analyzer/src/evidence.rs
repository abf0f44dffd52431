//! What a run says for and against every claim that could be made of it: counts per context and half of the run.

use std::collections::{BTreeMap, BTreeSet};

use crate::claim::{Outcome, RelationName, Subject};
use crate::context::{Cell, CellSet};
use crate::names::{FastMap, Names, OutcomeId, SubjectId};
use crate::scene::Scene;
use crate::sink::{Sink, Window};
use crate::source::Source;

/// Counts by context, and there by half of the run.
pub type Cells = BTreeMap<u8, [u64; 2]>;

/// Counts windows; a [`Sink`] for one process.
#[derive(Debug, Default)]
pub struct Counter {
    /// The last iteration of the first half.
    split: u32,
    subjects: Vec<Counts>,
    thinned: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Counts {
    total: FastMap<u8, [u64; 2]>,
    held: FastMap<(OutcomeId, u8), [u64; 2]>,
    undecided: u64,
}

impl Counter {
    /// For a process with so many iterations.
    pub fn new(iterations: u32) -> Counter {
        Counter { split: iterations / 2, ..Counter::default() }
    }

    /// What was counted, by what it is about instead of by number.
    pub fn finish(self, names: &Names) -> RunEvidence {
        let mut evidence = RunEvidence { thinned: self.thinned, ..RunEvidence::default() };
        for (id, counts) in self.subjects.into_iter().enumerate() {
            if counts.total.is_empty() && counts.undecided == 0 {
                continue;
            }
            let mut held: BTreeMap<Outcome, Cells> = BTreeMap::new();
            for ((outcome, cell), count) in counts.held {
                held.entry(names.outcomes.get(outcome).clone()).or_default().insert(cell, count);
            }
            let total = counts.total.into_iter().collect();
            let key = names.subjects.get(id as u32).clone();
            evidence.subjects.insert(key, SubjectEvidence { total, held, undecided: counts.undecided });
        }
        evidence
    }
}

impl Sink for Counter {
    fn wants(&self, _: SubjectId) -> bool {
        true
    }

    fn window(&mut self, window: &Window<'_>, _: &Scene, _: &Names, _: &dyn Source) {
        let subject = window.subject as usize;
        if subject >= self.subjects.len() {
            self.subjects.resize_with(subject + 1, Counts::default);
        }
        let counts = &mut self.subjects[subject];
        if window.cut.is_some() {
            counts.undecided += 1;
            return;
        }
        let half = usize::from(window.now.0 > self.split);
        let cell = window.cell.index() as u8;
        counts.total.entry(cell).or_default()[half] += 1;
        for &outcome in window.held {
            counts.held.entry((outcome, cell)).or_default()[half] += 1;
        }
    }

    fn thinned(&mut self, function: &str) {
        self.thinned.insert(function.to_owned());
    }
}

/// What a run says about one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectEvidence {
    /// Windows with a verdict.
    pub total: Cells,
    /// Those in which an outcome held.
    pub held: BTreeMap<Outcome, Cells>,
    /// Windows without one.
    pub undecided: u64,
}

/// What a run says about everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunEvidence {
    /// By relation and subject.
    pub subjects: BTreeMap<(RelationName, Subject), SubjectEvidence>,
    /// Functions that were not recorded to the end.
    pub thinned: BTreeSet<String>,
}

impl RunEvidence {
    /// Adds what another process of the same run says.
    pub fn merge(&mut self, other: RunEvidence) {
        self.thinned.extend(other.thinned);
        for (key, theirs) in other.subjects {
            let ours = self.subjects.entry(key).or_default();
            add(&mut ours.total, &theirs.total);
            for (outcome, cells) in theirs.held {
                add(ours.held.entry(outcome).or_default(), &cells);
            }
            ours.undecided += theirs.undecided;
        }
    }
}

fn add(into: &mut Cells, from: &Cells) {
    for (&cell, count) in from {
        let sum = into.entry(cell).or_default();
        sum[0] += count[0];
        sum[1] += count[1];
    }
}

/// Which halves of a run to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The first.
    First,
    /// The second.
    Second,
    /// Both.
    Both,
}

impl Half {
    fn of(self, count: [u64; 2]) -> u64 {
        match self {
            Half::First => count[0],
            Half::Second => count[1],
            Half::Both => count[0] + count[1],
        }
    }
}

impl SubjectEvidence {
    fn held(&self, outcome: &Outcome, cell: u8) -> [u64; 2] {
        self.held.get(outcome).and_then(|cells| cells.get(&cell)).copied().unwrap_or_default()
    }

    /// The contexts with examples for the outcome, and those with examples against it.
    pub fn cells(&self, outcome: &Outcome, half: Half) -> (CellSet, CellSet) {
        let (mut positive, mut negative) = (CellSet::default(), CellSet::default());
        for (&cell, &total) in &self.total {
            let held = half.of(self.held(outcome, cell));
            if held > 0 {
                positive.insert(Cell::from_index(cell.into()));
            }
            if half.of(total) > held {
                negative.insert(Cell::from_index(cell.into()));
            }
        }
        (positive, negative)
    }

    /// How many examples for and against there are in these contexts.
    pub fn count(&self, outcome: &Outcome, within: CellSet) -> (u64, u64) {
        let (mut positive, mut negative) = (0, 0);
        for (&cell, &total) in &self.total {
            if within.contains(Cell::from_index(cell.into())) {
                let held = Half::Both.of(self.held(outcome, cell));
                positive += held;
                negative += Half::Both.of(total) - held;
            }
        }
        (positive, negative)
    }
}
