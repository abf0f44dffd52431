//! Invariants that say no more than another one, and what to make of cadences.

use std::collections::{BTreeMap, HashMap};

use super::{Rejection, Shortfall, Verdict};
use crate::claim::{Cadence, Claim, Level as Sequence, Outcome, Subject};
use crate::invariants::{Invariant, Level};
use crate::times::Times;

/// How much later than in any reference a scheduler may step for the first time, as a power of two.
const PATIENCE: u32 = 3;
/// The most invariants of which each implies the one before.
const LONGEST_CHAIN: usize = 16;

type ByClaim<'a> = HashMap<&'a Claim, &'a Invariant>;

/// Rejects what says no more than another invariant, and takes down to a notice what fits a weaker one as well.
pub fn without_implied(verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let by_claim: ByClaim<'_> =
        verdicts.iter().filter_map(Verdict::invariant).map(|i| (&i.claim, i)).collect();
    let within = shortest_stretches(by_claim.values().copied());
    let changes: Vec<Change> = verdicts
        .iter()
        .map(|verdict| verdict.invariant().map_or(Change::None, |i| change(i, &by_claim, &within)))
        .collect();
    let changed = |(verdict, change): (Verdict, Change)| match (verdict, change) {
        (Verdict::Kept(invariant, _), Change::Reject(why)) => Verdict::Rejected(invariant.claim, why),
        (Verdict::Kept(mut invariant, mut shortfalls), Change::Demote) => {
            invariant.level = Level::Notice;
            shortfalls.push(Shortfall::Ambiguous);
            Verdict::Kept(invariant, shortfalls)
        }
        (verdict, _) => verdict,
    };
    verdicts.into_iter().zip(changes).map(changed).collect()
}

enum Change {
    None,
    Demote,
    Reject(Rejection),
}

fn change(
    invariant: &Invariant,
    by_claim: &ByClaim<'_>,
    within: &BTreeMap<(String, Outcome), u32>,
) -> Change {
    let claim = &invariant.claim;
    // What implies it may be implied by a third. Each step is to a stronger claim, so there are few.
    let chain = std::iter::successors(implied_by(invariant, by_claim), |by| implied_by(by, by_claim));
    if let Some(by) = chain.take(LONGEST_CHAIN).last() {
        return Change::Reject(Rejection::Implied { by: by.id.clone() });
    }
    if let Subject::Object { cadence: Cadence::Within { steps }, .. } = claim.subject
        && let Some(&patient) = stretch_key(claim).and_then(|key| within.get(&key))
        && patient != steps
    {
        return Change::Reject(Rejection::OtherStretch { steps: patient });
    }
    if is_ambiguous(claim, by_claim) { Change::Demote } else { Change::None }
}

/// The invariant that says as much, if there is one.
fn implied_by<'a>(invariant: &Invariant, by_claim: &ByClaim<'a>) -> Option<&'a Invariant> {
    let claim = &invariant.claim;
    // The only object of its class: the same windows as without naming it.
    let plain = claim
        .without_objects()
        .and_then(|plain| by_claim.get(&plain).copied())
        .filter(|plain| plain.evidence == invariant.evidence && plain.precondition == invariant.precondition);
    if plain.is_some() {
        return plain;
    }
    match &claim.subject {
        Subject::Before { call, level: Sequence::Same, first: false } => {
            let including_first = Subject::Before { call: call.clone(), level: Sequence::Same, first: true };
            let in_thread = Subject::Before { call: call.clone(), level: Sequence::Thread, first: false };
            [including_first, in_thread].into_iter().find_map(|subject| {
                let other = by_claim.get(&Claim { subject, ..claim.clone() }).copied()?;
                let as_strong = other.precondition.any_of.is_empty() && other.level <= invariant.level;
                as_strong.then_some(other)
            })
        }
        Subject::Object { cadence, .. } => stronger(claim, *cadence, by_claim),
        Subject::Calls { .. } => explained_better(claim, by_claim),
        _ => None,
    }
}

/// The same count, through what says most.
fn explained_better<'a>(claim: &Claim, by_claim: &ByClaim<'a>) -> Option<&'a Invariant> {
    let Outcome::Happens { times } = claim.outcome else { return None };
    let better = Times::EXPLAINED.into_iter().take_while(|better| *better < times);
    let mut claims = better.map(|times| Claim { outcome: Outcome::Happens { times }, ..claim.clone() });
    claims.find_map(|claim| by_claim.get(&claim).copied())
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
fn is_ambiguous(claim: &Claim, by_claim: &ByClaim<'_>) -> bool {
    let Subject::Object { cadence: Cadence::OptimizerStep, .. } = &claim.subject else { return false };
    let examples = |cadence| {
        let invariant = with_cadence(claim, cadence).and_then(|claim| by_claim.get(&claim).copied());
        invariant.map_or(0, |i| i.evidence.iter().map(|run| run.positive).sum::<u64>())
    };
    examples(Cadence::OptimizerStep) < 2 * examples(Cadence::Pass)
}

/// The invariant of a shorter cadence.
fn stronger<'a>(claim: &Claim, cadence: Cadence, by_claim: &ByClaim<'a>) -> Option<&'a Invariant> {
    let of = |cadence| {
        let invariant = by_claim.get(&with_cadence(claim, cadence)?).copied()?;
        (!is_ambiguous(&invariant.claim, by_claim)).then_some(invariant)
    };
    let step = || of(Cadence::OptimizerStep);
    match cadence {
        Cadence::OptimizerStep | Cadence::Resumed | Cadence::Evaluated => None,
        Cadence::Pass => step(),
        Cadence::Once => step().or_else(|| of(Cadence::Pass)),
        Cadence::Within { .. } => step().or_else(|| of(Cadence::Pass)).or_else(|| of(Cadence::Once)),
    }
}

fn stretch_key(claim: &Claim) -> Option<(String, Outcome)> {
    match &claim.subject {
        Subject::Object { class, .. } => Some((class.clone(), claim.outcome.clone())),
        _ => None,
    }
}

/// The stretch to hold a run to: what the references needed, and a good deal more.
fn shortest_stretches<'a>(
    invariants: impl Iterator<Item = &'a Invariant>,
) -> BTreeMap<(String, Outcome), u32> {
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
