//! Traces for tests, written as training scripts: a stand-in for PyTorch that records what the agent would.
#![allow(dead_code, unused_imports)]
pub mod anything;
pub mod disk;
pub mod narrow;
mod record;
pub mod scripts;
pub mod sketched;
pub mod torch;
pub mod windows;

use traincheck_analyzer::check::{Checked, check, check_ranks};
use traincheck_analyzer::engine::count_iterations;
use traincheck_analyzer::infer::{Reference, infer, read, read_ranks};
use traincheck_analyzer::invariants::{Invariant, Invariants, Level, ReferenceRun, Tried};
use traincheck_analyzer::job::Member;
use traincheck_analyzer::library;
use traincheck_analyzer::precondition::Precondition;
use traincheck_analyzer::relation::claim::Claim;
use traincheck_analyzer::report::Report;
use traincheck_analyzer::source::MemoryTrace;

pub use record::{Passed, Recorder, Value};

/// Learns from traces.
pub fn learn(traces: &[MemoryTrace]) -> Invariants {
    infer(references(traces))
}

/// The library, as a run of `program` is checked by it beside what was learned.
pub fn with_library(mut learned: Invariants, program: Option<&str>) -> Invariants {
    library::built_in().join(&mut learned, program);
    learned
}

/// Claims as a library has them, and nothing else.
pub fn library_of(claims: impl IntoIterator<Item = impl Into<Claim>>) -> Invariants {
    let invariant = |claim: Claim| {
        let mut invariant = Invariant::new(claim, Precondition::default(), Level::Alarm, Vec::new());
        invariant.tried = Some(Tried::default());
        invariant
    };
    let invariants = claims.into_iter().map(|claim| invariant(claim.into())).collect();
    Invariants { invariants, ..Invariants::default() }
}

/// What traces say.
pub fn references(traces: &[MemoryTrace]) -> Vec<Reference> {
    traces.iter().enumerate().map(|(number, trace)| Reference::of(&format!("run{number}"), trace)).collect()
}

/// All ranks of a job.
pub fn members(ranks: &[MemoryTrace]) -> Vec<Member<'_>> {
    (0..)
        .zip(ranks)
        .map(|(number, trace)| Member {
            number,
            process: format!("host-{number}"),
            source: Box::new(trace.source()),
        })
        .collect()
}

/// Learns from jobs: of each the traces of its ranks.
pub fn learn_jobs(jobs: &[Vec<MemoryTrace>]) -> Invariants {
    let jobs = jobs.iter().enumerate();
    infer(jobs.map(|(number, ranks)| reference_of_job(&format!("run{number}"), ranks)).collect())
}

/// What a job says: each of its ranks, and all together.
pub fn reference_of_job(name: &str, ranks: &[MemoryTrace]) -> Reference {
    let mut reference = Reference::of(name, &ranks[0]);
    for rank in &ranks[1..] {
        reference.evidence.merge(Reference::of("", rank).evidence);
    }
    let iterations = count_iterations(&mut ranks[0].source());
    reference.evidence.merge(read_ranks(members(ranks), iterations));
    reference
}

/// The alarms over the ranks of a job: the cause, or the title where no rule knows it, and where.
pub fn alarms_of_job(invariants: &Invariants, ranks: &[MemoryTrace]) -> Vec<String> {
    let mut checked = Checked::default();
    for (number, rank) in ranks.iter().enumerate() {
        checked.merge(check(&mut rank.source(), invariants, &format!("host-{number}")));
    }
    checked.merge(check_ranks(members(ranks), invariants));
    let report = Report::new("run".into(), invariants, &checked);
    let alarms = report.findings.iter().filter(|finding| finding.level == Level::Alarm);
    let text = alarms.map(|finding| {
        let first = finding.first;
        let cause = finding.cause.map_or(finding.title.clone(), |cause| cause.id.to_owned());
        let ranks = first.ranks.as_ref().map(|ranks| format!(" {:?} of {}", ranks.departing, ranks.of));
        format!("{cause}{} since {}", ranks.unwrap_or_default(), finding.began.0)
    });
    text.collect()
}

/// Checks a trace.
pub fn checked(invariants: &Invariants, trace: &MemoryTrace) -> Checked {
    check(&mut trace.source(), invariants, "host-1")
}

/// The causes of the alarms in a trace, the gravest first; the title where no rule knows the cause.
pub fn alarms(invariants: &Invariants, trace: &MemoryTrace) -> Vec<String> {
    let checked = checked(invariants, trace);
    let report = Report::new("run".into(), invariants, &checked);
    report
        .findings
        .iter()
        .filter(|finding| finding.level == Level::Alarm)
        .map(|finding| finding.cause.map_or(finding.title.clone(), |cause| cause.id.to_owned()))
        .collect()
}

/// The text of the report on a trace.
pub fn text(invariants: &Invariants, trace: &MemoryTrace) -> String {
    let checked = checked(invariants, trace);
    let report = Report::new("run".into(), invariants, &checked);
    let mut text = String::new();
    traincheck_analyzer::report::text::write(&report, false, &mut text).expect("a string takes everything");
    text
}
