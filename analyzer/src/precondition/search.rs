//! The search for a precondition: a short disjunction of conjunctions that covers examples and no counter-example.
//!
//! It works on distinct situations, each with all of its examples, so nothing is sampled. For a set of situations
//! there is one narrowest clause, which names whatever they have in common. Only such clauses are looked at: for any
//! clause, the narrowest one of the situations that it covers covers the same ones, and no more of the others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Clause, Condition, MOST_CLAUSES, Precondition};
use crate::situation::{Feature, Fields, Situation, Value};

/// Clauses that are looked at, and comparisons with counter-examples, before the search becomes a greedy one.
const MOST_CANDIDATES: usize = 512;
const MOST_COMPARISONS: usize = 1 << 20;
/// Situations that are looked at for the nearest clause.
const MOST_NEAREST: usize = 64;
/// Clauses that a greedy search tries.
const GREEDY: usize = 4;

/// A situation, with how many windows in it are for and against a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Example<'a> {
    /// The situation.
    pub situation: &'a Situation,
    /// Windows in which the outcome held.
    pub positive: u64,
    /// Windows in which it did not.
    pub negative: u64,
}

/// Finds the precondition that covers the most situations with examples and none with a counter-example.
///
/// Of those that cover equally many it takes the one with fewer clauses, then the narrowest (most conditions), then
/// the first in a fixed order: a narrow precondition is silent where the references have nothing to say. Settings of
/// the whole process (autocast, determinism, precision, default type) are named only where they make a difference.
///
/// The examples may come in any order, each situation once.
pub fn separate(examples: &[Example<'_>], fields: Fields) -> Option<Precondition> {
    let mut examples = examples.to_vec();
    examples.sort_unstable_by(|a, b| a.situation.cmp(b.situation));
    if examples.iter().all(|example| example.positive == 0) {
        return None;
    }
    let negative: Vec<&Situation> =
        examples.iter().filter(|example| example.negative > 0).map(|example| example.situation).collect();
    if negative.is_empty() {
        return Some(Precondition::default());
    }
    let positive: Vec<&Situation> = examples
        .iter()
        .filter(|example| example.positive > 0 && example.negative == 0)
        .map(|example| example.situation)
        .collect();
    let candidates = Search::new(&examples, &negative, fields).candidates(&positive);
    let clauses = best(&candidates)?;
    let any_of = clauses.into_iter().map(|common| clause(common, &negative)).collect();
    Some(Precondition { any_of })
}

/// The narrowest clause around one situation with examples that leaves the fewest counter-examples, and how many.
/// It tells how far from a precondition a claim is that has none. Only the situations with the most examples are
/// tried.
pub fn nearest(examples: &[Example<'_>], fields: Fields) -> Option<(Clause, u64)> {
    let search = Search::new(examples, &[], fields);
    let clause = |example: &Example<'_>| {
        let clause = Clause { all_of: search.alone(example.situation).0 };
        let left = examples.iter().filter(|other| clause.holds(other.situation)).map(|other| other.negative);
        (left.sum::<u64>(), Reverse(example.positive), clause)
    };
    let mut positive: Vec<&Example<'_>> = examples.iter().filter(|example| example.positive > 0).collect();
    positive.sort_unstable_by_key(|example| (Reverse(example.positive), example.situation));
    let nearest = positive.into_iter().take(MOST_NEAREST).map(clause).min()?;
    Some((nearest.2, nearest.0))
}

/// What some situations have in common: a condition for each feature of which something can be said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Common(BTreeMap<Feature, Condition>);

impl Common {
    fn holds(&self, situation: &Situation) -> bool {
        self.0.iter().all(|(feature, condition)| condition.holds(situation.get(*feature)))
    }
}

/// The narrowest condition that includes this one and a value, or its absence; none: nothing can be said.
fn widened(condition: &Condition, value: Option<&Value>) -> Option<Condition> {
    if condition.holds(value) {
        return Some(condition.clone());
    }
    let is_there = value.is_some() && *condition != Condition::Exists { exists: false };
    is_there.then_some(Condition::Exists { exists: true })
}

/// A clause that covers no counter-example, and which of the situations with examples it covers.
struct Candidate {
    common: Common,
    covered: Bits,
}

struct Search<'a> {
    fields: Fields,
    /// Features that some situations have and others lack: only of these is it worth saying.
    optional: BTreeSet<Feature>,
    negative: &'a [&'a Situation],
    comparisons: usize,
}

impl<'a> Search<'a> {
    fn new(examples: &[Example<'_>], negative: &'a [&'a Situation], fields: Fields) -> Search<'a> {
        let has = |feature| examples.iter().filter(move |e| e.situation.get(feature).is_some()).count();
        let optional = fields.features().filter(|&feature| (1..examples.len()).contains(&has(feature)));
        Search { fields, optional: optional.collect(), negative, comparisons: 0 }
    }

    fn allowed(&mut self, common: &Common) -> bool {
        let covered = self.negative.iter().position(|situation| common.holds(situation));
        self.comparisons += covered.unwrap_or(self.negative.len());
        covered.is_none()
    }

    fn alone(&self, situation: &Situation) -> Common {
        let condition = |feature| match situation.get(feature) {
            Some(value) => Some((feature, Condition::is(value))),
            None => {
                self.optional.contains(&feature).then_some((feature, Condition::Exists { exists: false }))
            }
        };
        Common(self.fields.features().filter_map(condition).collect())
    }

    fn with(&self, common: &Common, situation: &Situation) -> Common {
        let widen = |(feature, condition): (&Feature, &Condition)| {
            let widened = widened(condition, situation.get(*feature))?;
            let says_something =
                widened != Condition::Exists { exists: true } || self.optional.contains(feature);
            says_something.then_some((*feature, widened))
        };
        Common(common.0.iter().filter_map(widen).collect())
    }

    /// The clauses that cover no counter-example, each the narrowest of its kind, in a fixed order.
    fn candidates(mut self, positive: &[&Situation]) -> Vec<Candidate> {
        let mut all: BTreeSet<Common> = BTreeSet::new();
        'all: for situation in positive {
            // What covers a counter-example still does with more situations in it: nothing is missed by leaving it out.
            let alone = self.alone(situation);
            if !self.allowed(&alone) {
                continue;
            }
            let wider: Vec<Common> = all.iter().map(|common| self.with(common, situation)).collect();
            for common in [alone].into_iter().chain(wider) {
                if all.contains(&common) || !self.allowed(&common) {
                    continue;
                }
                if all.len() >= MOST_CANDIDATES || self.comparisons >= MOST_COMPARISONS {
                    self.greedy(positive, &mut all);
                    break 'all;
                }
                all.insert(common);
            }
        }
        let covered = |common: &Common| Bits::of(positive.iter().map(|situation| common.holds(situation)));
        all.into_iter().map(|common| Candidate { covered: covered(&common), common }).collect()
    }

    /// Adds clauses that take in one situation after the other, as far as they can.
    fn greedy(&mut self, positive: &[&Situation], all: &mut BTreeSet<Common>) {
        let mut left: Vec<&Situation> = positive.to_vec();
        for _ in 0..GREEDY {
            let Some(first) = left.iter().position(|situation| {
                let alone = self.alone(situation);
                self.allowed(&alone)
            }) else {
                return;
            };
            let mut common = self.alone(left[first]);
            for situation in left.iter().chain(positive) {
                let wider = self.with(&common, situation);
                if wider != common && self.allowed(&wider) {
                    common = wider;
                }
            }
            left.retain(|situation| !common.holds(situation));
            all.insert(common);
        }
    }
}

/// The one or two candidates that cover most; fewer before more, then more conditions, then the first.
fn best<'a>(candidates: &'a [Candidate]) -> Option<Vec<&'a Common>> {
    let mut best = Vec::new();
    let mut best_score = None;
    let mut offer = |covered: u32, clauses: &[&'a Candidate]| {
        let conditions: usize = clauses.iter().map(|clause| clause.common.0.len()).sum();
        let score = (covered, MOST_CLAUSES - clauses.len(), conditions);
        if best_score.is_none_or(|other| score > other) {
            best_score = Some(score);
            best = clauses.iter().map(|clause| &clause.common).collect();
        }
    };
    for (index, first) in candidates.iter().enumerate() {
        offer(first.covered.count(), &[first]);
        for second in &candidates[index + 1..] {
            offer(first.covered.count_with(&second.covered), &[first, second]);
        }
    }
    (!best.is_empty()).then_some(best)
}

/// As a clause, without the settings of the process that make no difference to any of the counter-examples.
fn clause(common: &Common, negative: &[&Situation]) -> Clause {
    let mut common = common.clone();
    for feature in Fields::NUMERICS.features() {
        if let Some(condition) = common.0.remove(&feature)
            && negative.iter().any(|situation| common.holds(situation))
        {
            common.0.insert(feature, condition);
        }
    }
    Clause { all_of: common.0 }
}

/// A set of situations, one bit each.
struct Bits(Vec<u64>);

impl Bits {
    fn of(members: impl Iterator<Item = bool>) -> Bits {
        let mut words = Vec::new();
        for (index, member) in members.enumerate() {
            if index % 64 == 0 {
                words.push(0);
            }
            if let Some(word) = words.last_mut() {
                *word |= u64::from(member) << (index % 64);
            }
        }
        Bits(words)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// How many there are in either.
    fn count_with(&self, other: &Bits) -> u32 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a | b).count_ones()).sum()
    }
}
