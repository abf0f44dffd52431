//! From what runs say to what is claimed: preconditions, levels, and which claims are worth keeping.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::claim::{Cadence, Claim, Level as Sequence, Outcome, RelationName, Subject};
use crate::engine;
use crate::evidence::{Counter, Half, RunEvidence, SubjectEvidence};
use crate::invariants::{Evidence, FORMAT, Invariant, Invariants, Level, ReferenceRun, VERSION};
use crate::names::Names;
use crate::precondition::{Example, Precondition, separate};
use crate::relation;
use crate::situation::{Fields, Situation};
use crate::source::Source;

/// How many examples a claim needs in every run, unless it is structural.
const ENOUGH: u64 = 3;
/// How much later than in any reference a scheduler may step for the first time, as a power of two.
const PATIENCE: u32 = 3;

/// A run that is learned from.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What it is.
    pub run: ReferenceRun,
    /// What it says.
    pub evidence: RunEvidence,
}

/// Reads what one process says. `iterations`: how many it has, see [`engine::count_iterations`].
pub fn read(source: &mut dyn Source, iterations: u32) -> (RunEvidence, engine::Passed) {
    let mut names = Names::default();
    let mut counter = Counter::new(iterations);
    let passed = engine::pass(source, &mut names, &mut counter);
    (counter.finish(&names), passed)
}

/// Learns from runs. The order of the runs makes no difference.
pub fn infer(mut references: Vec<Reference>) -> Invariants {
    // Two runs may have the same name; what they say tells them apart.
    references.sort_by_cached_key(|reference| (reference.run.clone(), fingerprint(&reference.evidence)));
    let mut invariants = Vec::new();
    for (key, outcomes) in hypotheses(&references) {
        for outcome in outcomes {
            let claim = Claim { relation: key.0, subject: key.1.clone(), outcome };
            invariants.extend(judge(claim, &references));
        }
    }
    let mut invariants = without_implied(invariants);
    invariants.sort_by(|a, b| a.id.cmp(&b.id));
    let runs = references.into_iter().map(|reference| reference.run).collect();
    Invariants { format: FORMAT.into(), version: VERSION, runs, invariants }
}

fn fingerprint(evidence: &RunEvidence) -> u64 {
    xxhash_rust::xxh3::xxh3_64(format!("{evidence:?}").as_bytes())
}

type Key = (RelationName, Subject);

/// Every outcome that ever held, by subject.
fn hypotheses(references: &[Reference]) -> BTreeMap<Key, BTreeSet<Outcome>> {
    let mut all: BTreeMap<Key, BTreeSet<Outcome>> = BTreeMap::new();
    for (key, subject) in references.iter().flat_map(|reference| &reference.evidence.subjects) {
        if !subject.held.is_empty() {
            all.entry(key.clone()).or_default().extend(subject.held.keys().cloned());
        }
    }
    all
}

/// Turns a claim into an invariant if the runs bear it out.
fn judge(claim: Claim, references: &[Reference]) -> Option<Invariant> {
    let thinned = |call: &str| references.iter().any(|reference| reference.evidence.thinned.contains(call));
    if claim.calls().any(|call| thinned(&call.function)) {
        return None;
    }
    let none = SubjectEvidence::default();
    let key = (claim.relation, claim.subject.clone());
    let runs: Vec<&SubjectEvidence> =
        references.iter().map(|reference| reference.evidence.subjects.get(&key).unwrap_or(&none)).collect();
    if runs.iter().any(|run| run.too_many) {
        return None;
    }
    let kind = relation::kind(claim.relation);
    let fields = (kind.fields)(&claim.subject);
    let precondition = learn(&runs, &claim.outcome, Half::Both, fields)?;
    let evidence: Vec<Evidence> =
        runs.iter().map(|run| evidence(run, &claim.outcome, &precondition)).collect();
    let examples: u64 = evidence.iter().map(|run| run.positive).sum();
    if examples < if kind.structural { 1 } else { ENOUGH } {
        return None;
    }
    let triggered: Vec<u64> = evidence.iter().map(|run| run.positive).filter(|&n| n > 0).collect();
    let enough = kind.structural
        || triggered.iter().all(|&n| n >= ENOUGH) && triggered.len() >= references.len().min(2);
    let alarm = (kind.critical)(&claim.subject, &claim.outcome)
        && enough
        && (kind.structural || holds_in_the_second_half(&runs, &claim.outcome, fields))
        && holds_on_each_when_learned_on_the_others(&runs, &claim.outcome, fields);
    let level = if alarm { Level::Alarm } else { Level::Notice };
    Some(Invariant::new(claim, precondition, level, evidence))
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
    let mut examples: BTreeMap<&Situation, (u64, u64)> = BTreeMap::new();
    for (situation, total, held) in runs.iter().flat_map(|run| run.counts(outcome, half)) {
        let sum = examples.entry(situation).or_default();
        *sum = (sum.0 + held, sum.1 + total - held);
    }
    let examples: Vec<Example<'_>> = examples
        .into_iter()
        .map(|(situation, (positive, negative))| Example { situation, positive, negative })
        .collect();
    separate(&examples, fields)
}

/// Whether no window is against the claim.
fn holds(precondition: &Precondition, run: &SubjectEvidence, outcome: &Outcome, half: Half) -> bool {
    run.counts(outcome, half).all(|(situation, total, held)| total == held || !precondition.holds(situation))
}

fn holds_in_the_second_half(runs: &[&SubjectEvidence], outcome: &Outcome, fields: Fields) -> bool {
    let learned = learn(runs, outcome, Half::First, fields);
    learned.is_some_and(|p| runs.iter().all(|run| holds(&p, run, outcome, Half::Second)))
}

fn holds_on_each_when_learned_on_the_others(
    runs: &[&SubjectEvidence],
    outcome: &Outcome,
    fields: Fields,
) -> bool {
    // A run that has nothing to say neither teaches nor contradicts.
    let runs: Vec<&SubjectEvidence> = runs.iter().copied().filter(|run| !run.total.is_empty()).collect();
    runs.len() < 2
        || (0..runs.len()).all(|left_out| {
            let others: Vec<&SubjectEvidence> = runs
                .iter()
                .enumerate()
                .filter_map(|(index, run)| (index != left_out).then_some(*run))
                .collect();
            let learned = learn(&others, outcome, Half::Both, fields);
            learned.is_some_and(|p| holds(&p, runs[left_out], outcome, Half::Both))
        })
}

/// Leaves out what says no more than another invariant that is kept.
fn without_implied(invariants: Vec<Invariant>) -> Vec<Invariant> {
    let by_claim: HashMap<&Claim, &Invariant> = invariants.iter().map(|i| (&i.claim, i)).collect();
    let unconditional =
        |claim: &Claim| by_claim.get(claim).copied().filter(|i| i.precondition.any_of.is_empty());
    let within = shortest_stretches(&invariants);
    let kept: Vec<bool> = invariants
        .iter()
        .map(|invariant| {
            let claim = &invariant.claim;
            // The only object of its class: the same windows as without naming it.
            let plain = claim.without_objects().and_then(|plain| by_claim.get(&plain).copied());
            if plain.is_some_and(|plain| {
                plain.evidence == invariant.evidence && plain.precondition == invariant.precondition
            }) {
                return false;
            }
            match &claim.subject {
                Subject::Before { call, level: Sequence::Same, first: false } => {
                    let including_first =
                        Subject::Before { call: call.clone(), level: Sequence::Same, first: true };
                    let in_thread =
                        Subject::Before { call: call.clone(), level: Sequence::Thread, first: false };
                    ![including_first, in_thread].into_iter().any(|subject| {
                        unconditional(&Claim { subject, ..claim.clone() })
                            .is_some_and(|other| other.level <= invariant.level)
                    })
                }
                Subject::Object { cadence, .. } => !has_stronger(claim, *cadence, &by_claim, &within),
                _ => true,
            }
        })
        .collect();
    let demoted: Vec<bool> = invariants.iter().map(|i| is_ambiguous(&i.claim, &by_claim)).collect();
    let mut result = Vec::new();
    for ((mut invariant, keep), demote) in invariants.iter().cloned().zip(kept).zip(demoted) {
        if demote {
            invariant.level = Level::Notice;
        }
        if keep {
            result.push(invariant);
        }
    }
    result
}

fn with_cadence(claim: &Claim, cadence: Cadence) -> Option<Claim> {
    match &claim.subject {
        Subject::Object { kind, class, .. } => {
            let subject = Subject::Object { kind: *kind, class: class.clone(), cadence };
            Some(Claim { subject, ..claim.clone() })
        }
        _ => None,
    }
}

/// A scheduler that steps once in a pass of one step: which of the two it follows cannot be seen, so the weaker one
/// is the one to rely on.
fn is_ambiguous(claim: &Claim, by_claim: &HashMap<&Claim, &Invariant>) -> bool {
    let Subject::Object { cadence: Cadence::OptimizerStep, .. } = &claim.subject else { return false };
    let examples = |cadence| {
        let invariant = with_cadence(claim, cadence).and_then(|claim| by_claim.get(&claim).copied());
        invariant.map_or(0, |i| i.evidence.iter().map(|run| run.positive).sum::<u64>())
    };
    examples(Cadence::OptimizerStep) < 2 * examples(Cadence::Pass)
}

fn has_stronger(
    claim: &Claim,
    cadence: Cadence,
    by_claim: &HashMap<&Claim, &Invariant>,
    within: &BTreeMap<(String, Outcome), u32>,
) -> bool {
    let holds = |cadence| {
        with_cadence(claim, cadence)
            .is_some_and(|stronger| by_claim.contains_key(&stronger) && !is_ambiguous(&stronger, by_claim))
    };
    match cadence {
        Cadence::OptimizerStep => false,
        Cadence::Pass => holds(Cadence::OptimizerStep),
        Cadence::Once => holds(Cadence::OptimizerStep) || holds(Cadence::Pass),
        Cadence::Within { steps } => {
            holds(Cadence::OptimizerStep)
                || holds(Cadence::Pass)
                || holds(Cadence::Once)
                || stretch_key(claim).and_then(|key| within.get(&key)).is_none_or(|&s| s != steps)
        }
    }
}

fn stretch_key(claim: &Claim) -> Option<(String, Outcome)> {
    match &claim.subject {
        Subject::Object { class, .. } => Some((class.clone(), claim.outcome.clone())),
        _ => None,
    }
}

/// The stretch to hold a run to: what the references needed, and a good deal more.
fn shortest_stretches(invariants: &[Invariant]) -> BTreeMap<(String, Outcome), u32> {
    let mut stretches: BTreeMap<(String, Outcome), u32> = BTreeMap::new();
    for invariant in invariants {
        if let Subject::Object { cadence: Cadence::Within { steps }, .. } = invariant.claim.subject
            && let Some(key) = stretch_key(&invariant.claim)
        {
            let shortest = stretches.entry(key).or_insert(u32::MAX);
            *shortest = (*shortest).min(steps);
        }
    }
    stretches.values_mut().for_each(|steps| *steps = steps.saturating_mul(1 << PATIENCE));
    stretches
}
