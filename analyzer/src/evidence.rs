//! What a run says for and against every claim that could be made of it: counts per situation and half of the run.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use crate::relation::bound::Span;
use crate::relation::claim::{Claim, Outcome, Subject};
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::sink::{Sink, Window};
use crate::scene::Scene;
use crate::situation::{NOTHING, Situation, SituationId, TOO_MANY};
use crate::source::Source;

/// Situations of one subject that are told apart. One with more gives no verdict.
pub const MOST_SITUATIONS: usize = 2048;

/// Counts by situation, and there by half of the run.
pub type Cells = BTreeMap<Situation, [u64; 2]>;

/// Counts windows; a [`Sink`] for one process.
#[derive(Debug, Default)]
pub struct Counter {
    /// The last iteration of the first half.
    split: u32,
    subjects: Vec<Counts>,
    trials: Trials,
    thinned: BTreeSet<String>,
}

/// Windows of subjects that name nothing of a program, by number of the subject.
#[derive(Debug, Default)]
struct Trials {
    of: Vec<Windows>,
    /// Outcomes of the window at hand, each once.
    seen: Vec<OutcomeId>,
}

impl Trials {
    /// Counts a window of `subject` with a verdict.
    fn count(&mut self, subject: SubjectId, window: &Window<'_>, numbers: &mut Numbers) {
        if subject as usize >= self.of.len() {
            self.of.resize_with(subject as usize + 1, Windows::default);
        }
        let windows = &mut self.of[subject as usize];
        windows.total += 1;
        self.seen.clear();
        // What one function does, others may do as well: an outcome that is seen by two of them is one.
        for (which, outcomes) in [window.held, window.inconclusive].into_iter().enumerate() {
            for &outcome in outcomes {
                let Some(outcome) = numbers.general_outcome(outcome) else { continue };
                if !self.seen.contains(&outcome) {
                    self.seen.push(outcome);
                    windows.of(outcome)[which] += 1;
                }
            }
        }
    }
}

/// Those of one subject.
#[derive(Debug, Default)]
struct Windows {
    total: u64,
    /// How many of them speak for an outcome, and how many neither for nor against it. There are few.
    outcomes: Vec<(OutcomeId, [u64; 2])>,
}

impl Windows {
    fn of(&mut self, outcome: OutcomeId) -> &mut [u64; 2] {
        let at = self.outcomes.iter().position(|(known, _)| *known == outcome).unwrap_or_else(|| {
            self.outcomes.push((outcome, [0; 2]));
            self.outcomes.len() - 1
        });
        &mut self.outcomes[at].1
    }
}

/// Counts by key, and there by half of the run. Windows that follow one another mostly ask for the same keys in the same
/// order: the one behind the key that was asked for last is tried first.
#[derive(Debug)]
struct Halves<K> {
    counts: IndexMap<K, [u64; 2], FxBuildHasher>,
    next: usize,
}

impl<K> Default for Halves<K> {
    fn default() -> Self {
        Halves { counts: IndexMap::default(), next: 0 }
    }
}

impl<K: Hash + Eq> Halves<K> {
    fn of(&mut self, key: K) -> &mut [u64; 2] {
        let at = match self.counts.get_index(self.next) {
            Some((known, _)) if *known == key => self.next,
            _ => {
                let entry = self.counts.entry(key);
                let at = entry.index();
                entry.or_default();
                at
            }
        };
        self.next = if at + 1 < self.counts.len() { at + 1 } else { 0 };
        &mut self.counts[at]
    }
}

#[derive(Debug, Default)]
struct Counts {
    total: Halves<SituationId>,
    held: Halves<(OutcomeId, SituationId)>,
    numbers: Option<Span>,
    undecided: u64,
    too_many: bool,
    /// The subject that names nothing of a program, if there is one; asked for once.
    general: Option<Option<SubjectId>>,
}

impl Counts {
    /// From here on situations are not told apart any more.
    fn give_up(&mut self) {
        let sum = |into: &mut [u64; 2], from: [u64; 2]| *into = [into[0] + from[0], into[1] + from[1]];
        for (_, count) in std::mem::take(&mut self.total).counts {
            sum(self.total.of(NOTHING), count);
        }
        for ((outcome, _), count) in std::mem::take(&mut self.held).counts {
            sum(self.held.of((outcome, NOTHING)), count);
        }
        self.too_many = true;
    }
}

impl Counter {
    /// For a process with so many iterations.
    pub fn new(iterations: u32) -> Counter {
        Counter { split: iterations / 2, ..Counter::default() }
    }

    /// What was counted, by what it is about instead of by number.
    pub fn finish(self, numbers: &Numbers) -> RunEvidence {
        let mut evidence = RunEvidence { thinned: self.thinned, ..RunEvidence::default() };
        for (id, counts) in self.subjects.into_iter().enumerate() {
            if counts.total.counts.is_empty() && counts.undecided == 0 {
                continue;
            }
            let mut held: BTreeMap<Outcome, Cells> = BTreeMap::new();
            let situation = |id| numbers.situations.get(id).clone();
            for ((outcome, id), count) in counts.held.counts {
                held.entry(numbers.outcomes().get(outcome).clone()).or_default().insert(situation(id), count);
            }
            let total = counts.total.counts.into_iter().map(|(id, count)| (situation(id), count)).collect();
            let Counts { numbers: span, undecided, too_many, .. } = counts;
            let key = numbers.subjects.get(id as u32).clone();
            let found = SubjectEvidence { total, held, numbers: span, undecided, too_many };
            evidence.subjects.insert(key, found);
        }
        for (subject, windows) in (0..).zip(self.trials.of).filter(|(_, windows)| windows.total > 0) {
            let outcomes = windows.outcomes.into_iter();
            let outcomes =
                outcomes.map(|(id, counts)| (numbers.outcomes().get(id).clone(), counts)).collect();
            let subject = numbers.subjects.get(subject).clone();
            evidence.general.insert(subject, GeneralEvidence { total: windows.total, outcomes });
        }
        evidence
    }
}

impl Sink for Counter {
    fn wants(&self, _: SubjectId, _: &mut Numbers) -> bool {
        true
    }

    fn window(&mut self, window: &Window<'_>, _: &Scene, numbers: &mut Numbers, _: &dyn Source) {
        let subject = window.subject as usize;
        if subject >= self.subjects.len() {
            self.subjects.resize_with(subject + 1, Counts::default);
        }
        let counts = &mut self.subjects[subject];
        if window.cut.is_some() {
            counts.undecided += 1;
            return;
        }
        if let Some(general) = *counts.general.get_or_insert_with(|| numbers.general(window.subject)) {
            self.trials.count(general, window, numbers);
        }
        let half = usize::from(window.now.0 > self.split);
        let mut situation = window.situation;
        if situation == TOO_MANY
            || counts.total.counts.len() >= MOST_SITUATIONS && !counts.total.counts.contains_key(&situation)
        {
            counts.give_up();
        }
        if counts.too_many {
            situation = NOTHING;
        }
        counts.total.of(situation)[half] += 1;
        if let Some(number) = window.number {
            let span = Span::of(number);
            counts.numbers = Some(counts.numbers.map_or(span, |known| known.and(span)));
        }
        for &outcome in window.held {
            counts.held.of((outcome, situation))[half] += 1;
        }
    }

    fn general(&mut self, window: &Window<'_>, _: &Scene, numbers: &mut Numbers, _: &dyn Source) {
        if let Some(subject) = numbers.general(window.subject).filter(|_| window.cut.is_none()) {
            self.trials.count(subject, window, numbers);
        }
    }

    fn thinned(&mut self, function: &str) {
        self.thinned.insert(function.to_owned());
    }
}

/// What a run says about a subject that names nothing of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GeneralEvidence {
    /// Windows with a verdict.
    pub total: u64,
    /// How many of them speak for an outcome, and how many neither for nor against it.
    pub outcomes: BTreeMap<Outcome, [u64; 2]>,
}

impl GeneralEvidence {
    /// How the claim that an outcome holds fared.
    pub fn trial(&self, outcome: &Outcome) -> Trial {
        let [held, neither] = self.outcomes.get(outcome).copied().unwrap_or_default();
        Trial { held, violated: self.total - held - neither }
    }
}

/// How a claim that names nothing of a program fared, by the rules of checking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trial {
    /// Windows in which it held.
    pub held: u64,
    /// Windows in which it did not.
    pub violated: u64,
}

/// What a run says about one subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubjectEvidence {
    /// Windows with a verdict.
    pub total: Cells,
    /// Those in which an outcome held.
    pub held: BTreeMap<Outcome, Cells>,
    /// The numbers that were measured in those with a verdict.
    pub numbers: Option<Span>,
    /// Windows without one.
    pub undecided: u64,
    /// Whether its situations were too many to be told apart.
    pub too_many: bool,
}

/// What a run says about everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RunEvidence {
    /// By subject.
    pub subjects: BTreeMap<Subject, SubjectEvidence>,
    /// What it says about subjects that name nothing of a program.
    pub general: BTreeMap<Subject, GeneralEvidence>,
    /// Functions that were not recorded to the end.
    pub thinned: BTreeSet<String>,
}

impl RunEvidence {
    /// How a claim that names nothing of a program fared in it.
    pub fn trial(&self, claim: &Claim) -> Trial {
        self.general
            .get(&claim.subject())
            .map(|evidence| evidence.trial(&claim.outcome()))
            .unwrap_or_default()
    }

    /// Adds what another process of the same run says.
    pub fn merge(&mut self, other: RunEvidence) {
        self.thinned.extend(other.thinned);
        for (subject, theirs) in other.general {
            let ours = self.general.entry(subject).or_default();
            ours.total += theirs.total;
            for (outcome, theirs) in theirs.outcomes {
                let [held, neither] = ours.outcomes.entry(outcome).or_default();
                *held += theirs[0];
                *neither += theirs[1];
            }
        }
        for (key, theirs) in other.subjects {
            let ours = self.subjects.entry(key).or_default();
            add(&mut ours.total, &theirs.total);
            for (outcome, cells) in theirs.held {
                add(ours.held.entry(outcome).or_default(), &cells);
            }
            ours.numbers = match (ours.numbers, theirs.numbers) {
                (Some(ours), Some(theirs)) => Some(ours.and(theirs)),
                (ours, theirs) => ours.or(theirs),
            };
            ours.undecided += theirs.undecided;
            ours.too_many |= theirs.too_many || ours.total.len() > MOST_SITUATIONS;
        }
    }
}

fn add(into: &mut Cells, from: &Cells) {
    for (situation, count) in from {
        let sum = into.entry(situation.clone()).or_default();
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
    /// How many windows there were in each situation, and in how many of them the outcome held. One that is a bound held in
    /// all of them, or else in none: only the lowest and the highest of the numbers are known.
    pub fn counts<'a>(
        &'a self,
        outcome: &Outcome,
        half: Half,
    ) -> impl Iterator<Item = (&'a Situation, u64, u64)> {
        let kept = outcome.bound().zip(self.numbers);
        let kept = kept.is_some_and(|(bound, span)| bound.admits(span.low) && bound.admits(span.high));
        let held = if kept { Some(&self.total) } else { self.held.get(outcome) };
        self.total.iter().map(move |(situation, &total)| {
            let held = held.and_then(|cells| cells.get(situation)).copied().unwrap_or_default();
            (situation, half.of(total), half.of(held))
        })
    }
}
