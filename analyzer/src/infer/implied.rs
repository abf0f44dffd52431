//! Invariants that say no more than another one, and those that fit a weaker one as well.

use std::collections::{BTreeMap, HashMap};

use super::judge::doubt;
use super::{Rejection, Shortfall, Verdict};
use crate::invariants::{Invariant, Level};
use crate::relation::claim::Claim;
use crate::relation::statement::When;

/// How much later than in any reference something may happen for the first time, as a power of two.
const PATIENCE: u32 = 3;
/// The most invariants of which each implies the one before.
const LONGEST_CHAIN: usize = 16;

type ByClaim<'a> = HashMap<&'a Claim, &'a Invariant>;

/// Rejects what says no more than another invariant, and takes down to a notice what fits a weaker one as well.
pub fn without_implied(verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let by_claim: ByClaim<'_> =
        verdicts.iter().filter_map(Verdict::invariant).map(|i| (&i.claim, i)).collect();
    let stretches = stretches(by_claim.keys().copied());
    let changes: Vec<Change> = verdicts
        .iter()
        .map(|verdict| verdict.invariant().map_or(Change::None, |i| change(i, &by_claim, &stretches)))
        .collect();
    let changed = |(verdict, change): (Verdict, Change)| match (verdict, change) {
        (Verdict::Kept(invariant, _), Change::Reject(why)) => Verdict::Rejected(invariant.claim, why),
        (Verdict::Kept(mut invariant, mut shortfalls), Change::Demote) => {
            invariant.level = Level::Notice;
            shortfalls.push(Shortfall::Ambiguous);
            invariant.doubt = doubt(&shortfalls);
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

fn change(invariant: &Invariant, by_claim: &ByClaim<'_>, stretches: &BTreeMap<Claim, u32>) -> Change {
    let claim = &invariant.claim;
    // What implies it may be implied by a third. Each step is to a stronger claim, so there are few.
    let chain = std::iter::successors(implied_by(invariant, by_claim), |by| implied_by(by, by_claim));
    if let Some(by) = chain.take(LONGEST_CHAIN).last() {
        return Change::Reject(Rejection::Implied { by: by.id.clone() });
    }
    if let Some((steps, of)) = claim.within_steps()
        && let Some(&patient) = stretches.get(&of)
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
    plain.or_else(|| {
        claim.implied_by().into_iter().find_map(|(by, when)| {
            let by = by_claim.get(&by).copied()?;
            let as_strong = match when {
                When::Always => !is_ambiguous(&by.claim, by_claim),
                When::Everywhere => by.precondition.any_of.is_empty() && by.level <= invariant.level,
            };
            as_strong.then_some(by)
        })
    })
}

/// Whether the references bear the claim out hardly more often than a weaker one.
fn is_ambiguous(claim: &Claim, by_claim: &ByClaim<'_>) -> bool {
    let examples = |claim: &Claim| {
        by_claim.get(claim).map_or(0, |i| i.evidence.iter().map(|run| run.positive).sum::<u64>())
    };
    claim.ambiguous_with().is_some_and(|weaker| examples(claim) < 2 * examples(&weaker))
}

/// The number of steps to hold a run to: what the references needed, and a good deal more.
fn stretches<'a>(claims: impl Iterator<Item = &'a Claim>) -> BTreeMap<Claim, u32> {
    let mut stretches: BTreeMap<Claim, u32> = BTreeMap::new();
    for (steps, of) in claims.filter_map(Claim::within_steps) {
        let shortest = stretches.entry(of).or_insert(u32::MAX);
        *shortest = (*shortest).min(steps);
    }
    stretches.values_mut().for_each(|steps| *steps = steps.saturating_mul(1 << PATIENCE));
    stretches
}
