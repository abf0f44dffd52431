//! The rules by which a claim becomes an alarm, a notice, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::evidence::{Half, MOST_SITUATIONS, SubjectEvidence};
use crate::invariants::{Doubt, Evidence, Invariant, Level};
use crate::precondition::{Clause, Example, Precondition, nearest, separate};
use crate::relation;
use crate::relation::bound::Span;
use crate::relation::claim::{Claim, Outcome, Subject};
use crate::relation::statement::Literal;
use crate::situation::{Fields, Situation};

/// How many examples a claim needs in every run, unless it is structural.
pub const ENOUGH: u64 = 3;

/// Why a claim is no invariant. Runs are numbers in the order of [`crate::invariants::Invariants::runs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A function that it speaks of was called too often to be recorded to the end.
    Thinned {
        /// Which.
        function: String,
    },
    /// Its windows are in too many different situations.
    TooManySituations {
        /// More than so many.
        most: usize,
    },
    /// It failed, and no precondition tells where.
    CounterExamples {
        /// By run: windows in which it held, and in which it did not.
        runs: Vec<(u64, u64)>,
        /// The narrowest clause that leaves the fewest counter-examples, and how many; none: its relation has no
        /// preconditions.
        nearest: Option<(Clause, u64)>,
    },
    /// There are too few examples in all runs together.
    TooFew {
        /// How many.
        examples: u64,
        /// How many are needed.
        needed: u64,
    },
    /// Another invariant says as much.
    Implied {
        /// Its id.
        by: String,
    },
    /// It differs from another claim only in the stretch of steps, and that one leaves some patience.
    OtherStretch {
        /// The stretch of that one.
        steps: u32,
    },
}

/// Why an invariant is no alarm. Runs are numbers in the order of [`crate::invariants::Invariants::runs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// That it does not hold is not an error of training: see the relation.
    Harmless,
    /// It speaks of something that the references cannot vary.
    Literal(Literal),
    /// A run has too few examples.
    FewExamples {
        /// Which run.
        run: usize,
        /// How many it has.
        examples: u64,
    },
    /// Of several runs only one has examples.
    OneRun {
        /// Which.
        run: usize,
    },
    /// The first half of the runs has no example, so nothing could be learned from it.
    LateExamples,
    /// How much numbers vary from run to run cannot be told from so few.
    NoSpread,
    /// Learned on the first half, it fails in the second.
    SecondHalf {
        /// Windows in which it does.
        counter_examples: u64,
    },
    /// Learned on the other runs, it fails in this one, or could not be learned at all.
    LeftOut {
        /// Which run.
        run: usize,
        /// Windows in which it fails; 0: the others have no examples for it.
        counter_examples: u64,
    },
    /// What the references do fits a weaker claim as well.
    Ambiguous,
}

impl Shortfall {
    /// What of it measurement can overrule. That a violation is no error of training is not for a rate to say, nor that
    /// the references cannot vary a thing, or do not show how it varies: what holds in all runs that were measured may be as
    /// they all have it.
    pub fn doubt(&self) -> Option<Doubt> {
        match self {
            Shortfall::Harmless | Shortfall::Literal(_) | Shortfall::NoSpread => None,
            Shortfall::FewExamples { .. }
            | Shortfall::OneRun { .. }
            | Shortfall::LateExamples
            | Shortfall::LeftOut { counter_examples: 0, .. } => Some(Doubt::FewExamples),
            Shortfall::SecondHalf { .. } | Shortfall::LeftOut { .. } => Some(Doubt::FailsElsewhere),
            Shortfall::Ambiguous => Some(Doubt::Ambiguous),
        }
    }
}

/// The gravest doubt, if there is one and nothing else is against an alarm.
pub fn doubt(lacks: &[Shortfall]) -> Option<Doubt> {
    let doubts: Option<Vec<Doubt>> = lacks.iter().map(Shortfall::doubt).collect();
    doubts?.into_iter().max()
}

/// Turns a claim into an invariant if the runs bear it out, with what it lacks to be an alarm.
pub fn judge(claim: Claim, runs: &[&SubjectEvidence], thinned: &BTreeSet<&str>) -> Verdict {
    let (precondition, evidence) = match support(&claim, runs, thinned) {
        Ok(found) => found,
        Err(rejection) => return Verdict::Rejected(claim, rejection),
    };
    let shortfalls = shortfalls(&claim, runs, &evidence);
    let level = if shortfalls.is_empty() { Level::Alarm } else { Level::Notice };
    let mut invariant = Invariant::new(claim, precondition, level, evidence);
    invariant.doubt = doubt(&shortfalls);
    Verdict::Kept(invariant, shortfalls)
}

/// Where the claim holds, and what each run says of it.
fn support(
    claim: &Claim,
    runs: &[&SubjectEvidence],
    thinned: &BTreeSet<&str>,
) -> Result<(Precondition, Vec<Evidence>), Rejection> {
    if let Some(call) = claim.calls().into_iter().find(|call| thinned.contains(call.function.as_str())) {
        return Err(Rejection::Thinned { function: call.function.clone() });
    }
    if runs.iter().any(|run| run.too_many) {
        return Err(Rejection::TooManySituations { most: MOST_SITUATIONS });
    }
    let kind = relation::kind(claim.relation());
    let fields = claim.fields();
    let outcome = &claim.outcome();
    let precondition = learn(runs, outcome, Half::Both, fields)
        // The search says so; that no window is against it is what makes it an invariant.
        .filter(|found| runs.iter().all(|run| counter_examples(found, run, outcome, Half::Both) == 0))
        .ok_or_else(|| not_separable(runs, outcome, fields))?;
    let evidence: Vec<Evidence> = runs.iter().map(|run| evidence(run, outcome, &precondition)).collect();
    let examples = evidence.iter().map(|run| run.positive).sum();
    let needed = if kind.structural { 1 } else { ENOUGH };
    if examples < needed {
        return Err(Rejection::TooFew { examples, needed });
    }
    Ok((precondition, evidence))
}

fn not_separable(runs: &[&SubjectEvidence], outcome: &Outcome, fields: Fields) -> Rejection {
    let of_run = |run: &&SubjectEvidence| {
        run.counts(outcome, Half::Both).fold((0, 0), |(held, not), (_, total, h)| (held + h, not + total - h))
    };
    let nearest = with_examples(runs, outcome, Half::Both, |examples| nearest(examples, fields));
    let nearest = nearest.filter(|_| fields != Fields::NONE);
    Rejection::CounterExamples { runs: runs.iter().map(of_run).collect(), nearest }
}

/// What the claim lacks to be an alarm.
fn shortfalls(claim: &Claim, runs: &[&SubjectEvidence], evidence: &[Evidence]) -> Vec<Shortfall> {
    let kind = relation::kind(claim.relation());
    let mut lacks = Vec::new();
    if !claim.is_critical() {
        lacks.push(Shortfall::Harmless);
    }
    lacks.extend(claim.literal().map(Shortfall::Literal));
    if !lacks.is_empty() {
        // Whatever the runs say, it will not become one.
        return lacks;
    }
    let (outcome, fields) = (&claim.outcome(), claim.fields());
    if !kind.structural {
        lacks.extend(few_examples(evidence));
        lacks.extend(second_half(runs, outcome, fields));
    }
    if claim.subject().side().is_some_and(|side| spans(runs).len() < side.runs_needed()) {
        lacks.push(Shortfall::NoSpread);
    }
    lacks.extend(left_out(&claim.subject(), runs, outcome, fields));
    lacks
}

/// Of the runs that have numbers.
fn spans(runs: &[&SubjectEvidence]) -> Vec<Span> {
    runs.iter().filter_map(|run| run.numbers).collect()
}

/// A run in which the claim never applies says nothing for or against it, but one alone is not enough.
fn few_examples(evidence: &[Evidence]) -> Vec<Shortfall> {
    let triggered: Vec<usize> = (0..evidence.len()).filter(|&run| evidence[run].positive > 0).collect();
    let few = triggered.iter().map(|&run| (run, evidence[run].positive)).filter(|&(_, n)| n < ENOUGH);
    let mut lacks: Vec<Shortfall> =
        few.map(|(run, examples)| Shortfall::FewExamples { run, examples }).collect();
    if let [run] = triggered[..]
        && evidence.len() > 1
    {
        lacks.push(Shortfall::OneRun { run });
    }
    lacks
}

fn second_half(runs: &[&SubjectEvidence], outcome: &Outcome, fields: Fields) -> Option<Shortfall> {
    let Some(learned) = learn(runs, outcome, Half::First, fields) else {
        let examples =
            runs.iter().flat_map(|run| run.counts(outcome, Half::First)).any(|(.., held)| held > 0);
        let counter_examples = runs.iter().flat_map(|run| run.counts(outcome, Half::First));
        let counter_examples = counter_examples.map(|(_, total, held)| total - held).sum();
        return Some(if examples {
            Shortfall::SecondHalf { counter_examples }
        } else {
            Shortfall::LateExamples
        });
    };
    let counter_examples =
        runs.iter().map(|run| counter_examples(&learned, run, outcome, Half::Second)).sum();
    (counter_examples > 0).then_some(Shortfall::SecondHalf { counter_examples })
}

fn left_out(
    subject: &Subject,
    runs: &[&SubjectEvidence],
    outcome: &Outcome,
    fields: Fields,
) -> Vec<Shortfall> {
    // A run that has nothing to say neither teaches nor contradicts.
    let speaking: Vec<usize> = (0..runs.len()).filter(|&run| !runs[run].total.is_empty()).collect();
    if speaking.len() < 2 {
        return Vec::new();
    }
    let fails = |&run: &usize| {
        let others: Vec<&SubjectEvidence> =
            speaking.iter().filter(|&&other| other != run).map(|&other| runs[other]).collect();
        // A bound is that of the others.
        let bound = outcome.bound().and_then(|_| subject.learned(&spans(&others)));
        let outcome = bound.as_ref().unwrap_or(outcome);
        let counter_examples = match learn(&others, outcome, Half::Both, fields) {
            None => 0,
            Some(learned) => match counter_examples(&learned, runs[run], outcome, Half::Both) {
                0 => return None,
                counter_examples => counter_examples,
            },
        };
        Some(Shortfall::LeftOut { run, counter_examples })
    };
    speaking.iter().filter_map(fails).collect()
}

/// What one run says: examples within the precondition, counter-examples outside of it.
fn evidence(run: &SubjectEvidence, outcome: &Outcome, precondition: &Precondition) -> Evidence {
    let mut evidence = Evidence { undecided: run.undecided, ..Evidence::default() };
    for (situation, total, held) in run.counts(outcome, Half::Both) {
        if precondition.holds(situation) {
            evidence.positive += held;
        } else {
            evidence.negative += total - held;
        }
    }
    evidence
}

/// The precondition under which the outcome holds in these runs.
fn learn(runs: &[&SubjectEvidence], outcome: &Outcome, half: Half, fields: Fields) -> Option<Precondition> {
    with_examples(runs, outcome, half, |examples| separate(examples, fields))
}

/// The examples of all runs together, each situation once.
fn with_examples<T>(
    runs: &[&SubjectEvidence],
    outcome: &Outcome,
    half: Half,
    then: impl Fn(&[Example<'_>]) -> T,
) -> T {
    let mut examples: BTreeMap<&Situation, (u64, u64)> = BTreeMap::new();
    for (situation, total, held) in runs.iter().flat_map(|run| run.counts(outcome, half)) {
        let sum = examples.entry(situation).or_default();
        *sum = (sum.0 + held, sum.1 + total - held);
    }
    let examples: Vec<Example<'_>> = examples
        .into_iter()
        .map(|(situation, (positive, negative))| Example { situation, positive, negative })
        .collect();
    then(&examples)
}

/// In how many windows the claim applies and does not hold.
fn counter_examples(
    precondition: &Precondition,
    run: &SubjectEvidence,
    outcome: &Outcome,
    half: Half,
) -> u64 {
    let within = run.counts(outcome, half).filter(|(situation, ..)| precondition.holds(situation));
    within.map(|(_, total, held)| total - held).sum()
}
