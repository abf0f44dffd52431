//! What a sketch has in a file: lines of JSON, the first of them in plain text, the others compressed.
//!
//! Behind the header there is for each run a line of its own, then one for each of its subjects and one for each of its
//! subjects that name nothing of a program. Situations are written once a run, in order; cells name them by their places. Everything
//! is in order, so what was counted has one form.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::identity::Recording;
use crate::evidence::{Cells, GeneralEvidence, MOST_SITUATIONS, SubjectEvidence};
use crate::invariants::ReferenceRun;
use crate::relation::bound::Span;
use crate::relation::claim::{Outcome, RelationName, Subject};
use crate::situation::Situation;

/// More windows than a run has: sums over runs stay within 64 bits.
const MOST_WINDOWS: u64 = 1 << 48;
/// Farther from 0 than any size.
const FARTHEST: i32 = 1 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`super::FORMAT`].
    pub format: String,
    /// [`super::VERSION`].
    pub version: u64,
    /// The version of the traincheck that counted.
    pub traincheck: String,
    /// How many bytes follow the line.
    pub bytes: u64,
    /// Their xxh3, in 16 hexadecimal digits.
    pub checksum: String,
}

/// The second: what follows.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// How many runs.
    pub runs: u64,
}

/// What is said of a run before its evidence.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Run", deny_unknown_fields)]
pub struct RunLine {
    pub run: ReferenceRun,
    pub folder: String,
    pub recordings: Vec<Recording>,
    pub thinned: BTreeSet<String>,
    pub situations: Vec<Situation>,
    /// How many lines follow about subjects,
    pub subjects: u64,
    /// and about those that name nothing of a program.
    pub general: u64,
}

/// The place of a situation, and how many windows there were in it in the first and in the second half of the run.
type Cell = (usize, u64, u64);

/// What a run says about one subject.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Subject", deny_unknown_fields)]
pub struct SubjectLine<S, O> {
    relation: RelationName,
    subject: S,
    total: Vec<Cell>,
    held: Vec<(O, Vec<Cell>)>,
    numbers: Option<(i32, i32)>,
    undecided: u64,
    too_many: bool,
}

/// The same about one that names nothing of a program.
#[derive(Serialize, Deserialize)]
#[serde(rename = "General", deny_unknown_fields)]
pub struct GeneralLine<S, O> {
    relation: RelationName,
    subject: S,
    total: u64,
    outcomes: Vec<(O, [u64; 2])>,
}

/// Why a line cannot be what was counted.
#[derive(Debug, Error)]
pub enum BadLine {
    /// A subject or outcome of no relation.
    #[error(transparent)]
    Shape(#[from] serde_json::Error),
    /// It contradicts itself.
    #[error("{0}")]
    Inconsistent(&'static str),
}

/// The situations of a run, each with its place.
pub fn places(subjects: &BTreeMap<Subject, SubjectEvidence>) -> BTreeMap<&Situation, usize> {
    let cells = subjects.values().flat_map(|evidence| evidence.held.values().chain([&evidence.total]));
    let situations: BTreeSet<&Situation> = cells.flat_map(BTreeMap::keys).collect();
    situations.into_iter().zip(0..).collect()
}

impl<'a> SubjectLine<&'a Subject, &'a Outcome> {
    /// To be written.
    pub fn of(
        subject: &'a Subject,
        evidence: &'a SubjectEvidence,
        places: &BTreeMap<&Situation, usize>,
    ) -> Self {
        let cells = |cells: &Cells| -> Vec<Cell> {
            cells.iter().map(|(situation, [first, second])| (places[situation], *first, *second)).collect()
        };
        SubjectLine {
            relation: subject.relation(),
            subject,
            total: cells(&evidence.total),
            held: evidence.held.iter().map(|(outcome, held)| (outcome, cells(held))).collect(),
            numbers: evidence.numbers.map(|span| (span.low, span.high)),
            undecided: evidence.undecided,
            too_many: evidence.too_many,
        }
    }
}

impl SubjectLine<Value, Value> {
    /// As it was counted. Nothing is trusted that a rule of inference relies on.
    pub fn evidence(self, situations: &[Situation]) -> Result<(Subject, SubjectEvidence), BadLine> {
        let total = cells(self.total, situations)?;
        let all = total.values().flatten().try_fold(0u64, |sum, count| sum.checked_add(*count));
        if all.is_none_or(|all| all > MOST_WINDOWS) || self.undecided > MOST_WINDOWS {
            return Err(BadLine::Inconsistent("there are more windows than a run has"));
        }
        if total.len() > MOST_SITUATIONS && !self.too_many {
            return Err(BadLine::Inconsistent("its situations are too many to be told apart"));
        }
        let mut held = Vec::new();
        for (outcome, counts) in self.held {
            let counts = cells(counts, situations)?;
            let is_within = |(situation, held): (&Situation, &[u64; 2])| {
                total.get(situation).is_some_and(|total| held[0] <= total[0] && held[1] <= total[1])
            };
            if !counts.iter().all(is_within) {
                return Err(BadLine::Inconsistent("an outcome held in more windows than there are"));
            }
            held.push((self.relation.read_outcome(outcome)?, counts));
        }
        let numbers = self.numbers.map(|(low, high)| Span { low, high });
        if numbers.is_some_and(|span| span.low > span.high || span.low < -FARTHEST || span.high > FARTHEST) {
            return Err(BadLine::Inconsistent("numbers are of no size"));
        }
        let evidence = SubjectEvidence {
            total,
            held: in_order(held)?,
            numbers,
            undecided: self.undecided,
            too_many: self.too_many,
        };
        Ok((self.relation.read_subject(self.subject)?, evidence))
    }
}

impl<'a> GeneralLine<&'a Subject, &'a Outcome> {
    /// To be written.
    pub fn of(subject: &'a Subject, evidence: &'a GeneralEvidence) -> Self {
        GeneralLine {
            relation: subject.relation(),
            subject,
            total: evidence.total,
            outcomes: evidence.outcomes.iter().map(|(outcome, counts)| (outcome, *counts)).collect(),
        }
    }
}

impl GeneralLine<Value, Value> {
    /// As it was counted.
    pub fn evidence(self) -> Result<(Subject, GeneralEvidence), BadLine> {
        if self.total > MOST_WINDOWS {
            return Err(BadLine::Inconsistent("there are more windows than a run has"));
        }
        let mut outcomes = Vec::new();
        for (outcome, counts) in self.outcomes {
            if counts[0].checked_add(counts[1]).is_none_or(|sum| sum > self.total) {
                return Err(BadLine::Inconsistent("an outcome held in more windows than there are"));
            }
            outcomes.push((self.relation.read_outcome(outcome)?, counts));
        }
        let evidence = GeneralEvidence { total: self.total, outcomes: in_order(outcomes)? };
        Ok((self.relation.read_subject(self.subject)?, evidence))
    }
}

fn cells(cells: Vec<Cell>, situations: &[Situation]) -> Result<Cells, BadLine> {
    let named = cells.into_iter().map(|(place, first, second)| {
        let situation = situations.get(place).ok_or(BadLine::Inconsistent("it names no situation"))?;
        Ok((situation.clone(), [first, second]))
    });
    in_order(named.collect::<Result<_, BadLine>>()?)
}

/// What is in the order of its keys, and has each once.
fn in_order<K: Ord, V>(entries: Vec<(K, V)>) -> Result<BTreeMap<K, V>, BadLine> {
    if !entries.is_sorted_by(|one, next| one.0 < next.0) {
        return Err(BadLine::Inconsistent("it is not in order"));
    }
    Ok(entries.into_iter().collect())
}
