//! Findings: the violations of one cause, together.

use std::collections::{BTreeMap, BTreeSet};

use traincheck_schema::record::VariableKind;

use crate::cause::{Cause, Sign};
use crate::check::{Checked, Tally, VariableNote, Violation};
use crate::invariants::{Invariant, Invariants, Level};

/// The violations of one cause.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// From the cause and the invariants.
    pub id: String,
    /// The level of its gravest invariant.
    pub level: Level,
    /// `None`: no rule knows it.
    pub cause: Option<&'a Cause>,
    /// What is wrong, in one sentence.
    pub title: String,
    /// Which variables, in a few words.
    pub variables_text: Option<String>,
    /// The violation that is shown: the first.
    pub first: &'a Violation,
    /// Since when it has been so: iteration and step.
    pub began: (u32, u32),
    /// What was violated, the most telling first: the first violation is of the first of them.
    pub broken: Vec<Broken<'a>>,
    /// The variables concerned, each once.
    pub variables: Vec<&'a VariableNote>,
    /// Other variables of the same modules, and whether they changed as they did in the references.
    pub related: Vec<Related<'a>>,
}

/// A violated invariant.
#[derive(Clone, Copy, Debug)]
pub struct Broken<'a> {
    /// What was learned.
    pub invariant: &'a Invariant,
    /// How it fared.
    pub tally: &'a Tally,
    /// Its first violation.
    pub first: &'a Violation,
}

impl Broken<'_> {
    /// What held in place of what was expected, in words.
    pub fn instead(&self) -> Vec<String> {
        let claim = &self.invariant.claim;
        self.first
            .instead
            .iter()
            .map(|outcome| claim.with_outcome(outcome.clone()).says().instead())
            .collect()
    }
}

/// A violated invariant with what the table of causes goes by.
pub(super) struct Signed<'a> {
    pub broken: Broken<'a>,
    pub sign: Sign,
}

/// A variable that is not at fault.
#[derive(Clone, Copy, Debug)]
pub struct Related<'a> {
    /// Its name.
    pub name: &'a str,
    /// In how many steps it changed, as it did in the references.
    pub changed: u64,
    /// In how many it stayed as it was, as it did there.
    pub unchanged: u64,
}

/// What the violations of one cause come to; nothing if there are none.
pub(super) fn finding<'a>(
    cause: Option<&'a Cause>,
    signed: Vec<Signed<'a>>,
    invariants: &'a Invariants,
    checked: &'a Checked,
) -> Option<Finding<'a>> {
    let proof = |s: &Signed<'_>| cause.is_none_or(|cause| cause.is_proven_by(&s.sign));
    let mut broken: Vec<(bool, Broken<'a>)> = signed.iter().map(|s| (proof(s), s.broken)).collect();
    broken.sort_by_key(|(proof, b)| (!proof, b.invariant.level, b.first.iteration, b.first.time));
    let shown = broken.first()?.1;
    let proofs: Vec<Broken<'a>> = broken.iter().filter(|(proof, _)| *proof).map(|(_, b)| *b).collect();
    let broken: Vec<Broken<'a>> = broken.into_iter().map(|(_, b)| b).collect();
    // A symptom may have been there before the cause.
    let began = proofs
        .iter()
        .filter(|b| b.invariant.level == shown.invariant.level)
        .map(|b| b.first.began.unwrap_or((b.first.iteration, b.first.step)))
        .min()
        .unwrap_or_default();
    let began = (began.0.max(1), began.1);
    let mut seen = BTreeSet::new();
    let variables: Vec<&VariableNote> = broken
        .iter()
        .flat_map(|b| &b.first.variables)
        // What a step that changed nothing compared is every parameter: none of them is more concerned than another.
        .filter(|note| seen.insert(note.name.as_str()))
        .collect();
    let concerned: Vec<&str> = proofs
        .iter()
        .flat_map(|b| &b.first.variables)
        .map(|note| note.name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let related = related(&variables, invariants, checked);
    let mut ids: Vec<&str> = broken.iter().map(|b| b.invariant.id.as_str()).collect();
    ids.sort_unstable();
    let name = cause.map_or("violation", |cause| cause.id.as_str());
    Some(Finding {
        id: format!("{name}-{:08x}", xxhash_rust::xxh3::xxh3_64(ids.join(",").as_bytes()) as u32),
        level: broken.iter().map(|b| b.invariant.level).min()?,
        cause,
        title: cause.map_or_else(|| title(shown.invariant), |cause| cause.title.clone()),
        variables_text: variables_text(&concerned, &checked.variables),
        first: shown.first,
        began,
        broken,
        variables,
        related,
    })
}

/// What is wrong where no cause is known.
fn title(invariant: &Invariant) -> String {
    match (invariant.claim.holds().called(), &invariant.tried) {
        (Some(call), None) => format!("{call} is not called where it was in the reference runs"),
        (Some(call), Some(_)) => format!("{call} is not called where it should be"),
        (None, None) => format!("This no longer holds: {}", invariant.text),
        (None, Some(_)) => format!("This does not hold: {}", invariant.text),
    }
}

/// Variables of the same models that did as in the references.
fn related<'a>(
    variables: &[&VariableNote],
    invariants: &'a Invariants,
    checked: &'a Checked,
) -> Vec<Related<'a>> {
    let concerned: BTreeSet<&str> = variables.iter().map(|note| note.name.as_str()).collect();
    let roots: BTreeSet<&str> = concerned.iter().filter_map(|name| name.split('.').next()).collect();
    let mut related: BTreeMap<&'a str, Related<'a>> = BTreeMap::new();
    for (invariant, tally) in invariants.invariants.iter().zip(&checked.tallies) {
        let Some((name, changes)) = invariant.claim.says().step_of_a_variable() else { continue };
        let of_these = name.split('.').next().is_some_and(|root| roots.contains(root));
        if tally.violated > 0 || tally.held == 0 || !of_these || concerned.contains(name) {
            continue;
        }
        let (changed, unchanged) = if changes { (tally.held, 0) } else { (0, tally.held) };
        let one = related.entry(name).or_insert(Related { name, changed: 0, unchanged: 0 });
        one.changed += changed;
        one.unchanged += unchanged;
    }
    let mut related: Vec<Related<'a>> = related.into_values().collect();
    // What a parameter does says more than what the statistics of a layer do.
    related.sort_by_key(|one| checked.variables.get(one.name) == Some(&VariableKind::Buffer));
    related
}

/// `all 6 parameters of \`Net.backbone\``: the longest prefix that the names share, and how much of it they are.
fn variables_text(names: &[&str], all: &BTreeMap<String, VariableKind>) -> Option<String> {
    let (first, rest) = names.split_first()?;
    if rest.is_empty() {
        return Some(format!("`{first}`"));
    }
    let mut prefix: Vec<&str> = first.split('.').collect();
    prefix.pop();
    for name in rest {
        let shared = prefix.iter().zip(name.split('.')).take_while(|(a, b)| **a == *b).count();
        prefix.truncate(shared);
    }
    let buffers = names.iter().all(|name| all.get(*name) == Some(&VariableKind::Buffer));
    let of_a_module = names.iter().all(|name| all.contains_key(*name));
    let noun = match (of_a_module, buffers) {
        (false, _) => "variables",
        (true, true) => "buffers",
        (true, false) => "parameters",
    };
    if prefix.is_empty() || !of_a_module {
        let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
        let more = names.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        return Some(format!("{} {noun}: {}{more}", names.len(), shown.join(", ")));
    }
    let prefix = prefix.join(".");
    let inside = |name: &str| name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'));
    let total =
        all.iter().filter(|(name, kind)| inside(name) && (**kind == VariableKind::Buffer) == buffers).count();
    Some(if total <= names.len() {
        format!("all {} {noun} of `{prefix}`", names.len())
    } else {
        format!("{} of the {total} {noun} of `{prefix}`", names.len())
    })
}
