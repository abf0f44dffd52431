//! From what runs say to what is claimed: every claim that ever held is judged, by rules that can be told.
mod implied;
mod judge;
pub mod reasons;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use rayon::prelude::*;

use crate::engine;
use crate::evidence::{Counter, RunEvidence, SubjectEvidence};
use crate::invariants::{FORMAT, Invariant, Invariants, ReferenceRun, VERSION};
use crate::job::{self, Member};
use crate::relation::bound::Span;
use crate::relation::claim::{Claim, Outcome, Subject};
use crate::relation::numbers::Numbers;
use crate::relation::{self, Part};
use crate::source::{MemoryTrace, Source};

pub use judge::{ENOUGH, Rejection, Shortfall};

/// A run that is learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// What it is.
    pub run: ReferenceRun,
    /// What it says.
    pub evidence: RunEvidence,
}

impl Reference {
    /// A trace in memory, as a run of one process.
    pub fn of(name: &str, trace: &MemoryTrace) -> Reference {
        let iterations = engine::count_iterations(&mut trace.source());
        let (evidence, passed) = read(&mut trace.source(), iterations);
        let run = ReferenceRun {
            name: name.into(),
            program: None,
            processes: 1,
            iterations: iterations.into(),
            records: passed.records,
            torn: passed.end.torn.is_some(),
            arguments: Vec::new(),
        };
        Reference { run, evidence }
    }
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// An invariant, and what it lacks to be an alarm: nothing, if it is one.
    Kept(Invariant, Vec<Shortfall>),
    /// No invariant.
    Rejected(Claim, Rejection),
}

impl Verdict {
    /// The invariant that it has become.
    pub fn invariant(&self) -> Option<&Invariant> {
        match self {
            Verdict::Kept(invariant, _) => Some(invariant),
            Verdict::Rejected(..) => None,
        }
    }
}

/// Everything that was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// What holds.
    pub invariants: Invariants,
    /// What became of every claim that ever held, in the order of the claims.
    pub verdicts: Vec<Verdict>,
}

/// Reads what one process says. `iterations`: how many it has, see [`engine::count_iterations`].
pub fn read(source: &mut dyn Source, iterations: u32) -> (RunEvidence, engine::Passed) {
    read_part(source, iterations, Part::WHOLE)
}

/// The same of a part of the relations.
pub fn read_part(source: &mut dyn Source, iterations: u32, part: Part) -> (RunEvidence, engine::Passed) {
    let mut numbers = Numbers::default();
    let mut counter = Counter::new(iterations);
    let passed = engine::pass(source, part, &mut numbers, &mut counter);
    (counter.finish(&numbers), passed)
}

/// Reads what all ranks of a job say together. `iterations`: as for [`read`].
pub fn read_ranks(members: Vec<Member<'_>>, iterations: u32) -> RunEvidence {
    let mut numbers = Numbers::default();
    let mut counter = Counter::new(iterations);
    job::pass(members, &mut numbers, &mut counter);
    counter.finish(&numbers)
}

/// The invariants of runs: what [`learn`] keeps.
pub fn infer(references: Vec<Reference>) -> Invariants {
    learn(references).invariants
}

/// Learns from runs, several claims at a time. The order of the runs and the number of threads make no difference.
pub fn learn(mut references: Vec<Reference>) -> Learned {
    // Two runs may have the same name; what they say tells them apart.
    references.sort_by_cached_key(|reference| (reference.run.clone(), fingerprint(&reference.evidence)));
    let hypotheses: Vec<(Subject, BTreeSet<Outcome>)> = hypotheses(&references).into_iter().collect();
    let thinned: BTreeSet<&str> =
        references.iter().flat_map(|reference| &reference.evidence.thinned).map(String::as_str).collect();
    let none = SubjectEvidence::default();
    let verdicts: Vec<Verdict> = hypotheses
        .into_par_iter()
        .flat_map_iter(|(subject, outcomes)| {
            let runs: Vec<&SubjectEvidence> = references
                .iter()
                .map(|reference| reference.evidence.subjects.get(&subject).unwrap_or(&none))
                .collect();
            let thinned = &thinned;
            let claims = outcomes.into_iter().map(move |outcome| Claim::new(subject.clone(), outcome));
            claims.map(move |claim| judge::judge(claim, &runs, thinned))
        })
        .collect();
    let verdicts = implied::without_implied(verdicts);
    let mut invariants: Vec<Invariant> = verdicts.iter().filter_map(Verdict::invariant).cloned().collect();
    invariants.sort_by(|a, b| a.id.cmp(&b.id));
    let runs = references.into_iter().map(|reference| reference.run).collect();
    let invariants =
        Invariants { format: FORMAT.into(), version: VERSION, runs, excused: Vec::new(), invariants };
    Learned { invariants, verdicts }
}

fn fingerprint(evidence: &RunEvidence) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    evidence.hash(&mut hasher);
    hasher.finish()
}

/// Every outcome that ever held and every bound that numbers kept to, by subject.
fn hypotheses(references: &[Reference]) -> BTreeMap<Subject, BTreeSet<Outcome>> {
    let mut all: BTreeMap<Subject, BTreeSet<Outcome>> = BTreeMap::new();
    let mut spans: BTreeMap<&Subject, Vec<Span>> = BTreeMap::new();
    for (subject, evidence) in references.iter().flat_map(|reference| &reference.evidence.subjects) {
        if let Some(span) = evidence.numbers {
            spans.entry(subject).or_default().push(span);
        }
        if !evidence.held.is_empty() {
            all.entry(subject.clone()).or_default().extend(evidence.held.keys().cloned());
        }
    }
    for (subject, spans) in spans {
        all.entry(subject.clone()).or_default().extend(subject.learned(&spans));
    }
    all.retain(|subject, outcomes| {
        let all = outcomes.len();
        outcomes.retain(|outcome| !outcome.is_support());
        all - outcomes.len() >= relation::kind(subject.relation()).values_needed
    });
    all
}
