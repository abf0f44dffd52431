//! Which violations belong together, and which finding comes first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::finding::{Broken, Finding, Signed, finding};
use crate::call::short;
use crate::cause::{Cause, Causes, Sign};
use crate::check::Checked;
use crate::invariants::{Invariants, Level};
use crate::relation::claim::Claim;

/// Groups what was violated in a run, as far as `counts` says of an invariant that it does; the gravest first.
pub fn findings<'a>(
    invariants: &'a Invariants,
    checked: &'a Checked,
    causes: &'a Causes,
    counts: impl Fn(usize) -> bool,
) -> Vec<Finding<'a>> {
    let tallied = invariants.invariants.iter().zip(&checked.tallies).enumerate();
    let mut signed: Vec<Signed<'a>> = tallied
        .filter(|(index, _)| counts(*index))
        .filter_map(|(_, (invariant, tally))| {
            let first = tally.first.as_ref()?;
            let sign = Sign::of(&invariant.claim, first);
            Some(Signed { broken: Broken { invariant, tally, first }, sign })
        })
        .collect();
    signed.sort_by_key(|s| (s.broken.invariant.level, s.broken.first.iteration, s.broken.first.time));
    let mut groups: Vec<(Option<&'a Cause>, Vec<Signed<'a>>)> = Vec::new();
    for cause in causes.iter() {
        // What is only worth a notice proves no cause for an alarm.
        for level in [Level::Alarm, Level::Notice] {
            let of_level = |s: &Signed<'_>| s.broken.invariant.level == level;
            if signed.iter().any(|s| of_level(s) && cause.is_proven_by(&s.sign)) {
                let explained = |s: &Signed<'_>| s.broken.invariant.level >= level && cause.explains(&s.sign);
                let (of_it, rest): (Vec<_>, Vec<_>) = signed.into_iter().partition(explained);
                signed = rest;
                groups.push((Some(cause), of_it));
            }
        }
    }
    let mut unknown: BTreeMap<String, Vec<Signed<'a>>> = BTreeMap::new();
    for s in signed {
        unknown.entry(about(&s.broken.invariant.claim)).or_default().push(s);
    }
    groups.extend(unknown.into_values().map(|of_it| (None, of_it)));
    let mut findings: Vec<Finding<'a>> =
        groups.into_iter().filter_map(|(cause, of_it)| finding(cause, of_it, invariants, checked)).collect();
    // Stable: the order of the table breaks ties.
    findings.sort_by_key(|finding| {
        let cause_is_known = finding.cause.is_some_and(|cause| !cause.consequence);
        (finding.level, !cause_is_known, finding.began.0, Reverse(finding.broken.len()))
    });
    findings
}

/// What a claim is about, for violations that no cause explains: the call that is missing, else the call or the kind
/// of variable that it speaks of. Variables of one model that fail in the same way belong together.
fn about(claim: &Claim) -> String {
    let in_file = serde_json::to_value(claim).unwrap_or_default();
    let parts = [&in_file["outcome"], &in_file["subject"]];
    if let Some(function) = parts.iter().find_map(|part| part["call"]["function"].as_str()) {
        return format!("call {}", short(function));
    }
    let [outcome, subject] = parts;
    let is = outcome["is"].as_str().unwrap_or_default();
    let name = subject["name"].as_str().or(subject["class"].as_str()).unwrap_or_default();
    let root = name.split(['.', '[']).next().unwrap_or_default();
    format!("{} {is} {root}", claim.relation().word())
}
