//! The report for programs; `docs/findings-schema.json` describes it.

use serde_json::{Value, json};

use super::finding::{Broken, Finding};
use super::{Counts, Report, Verdict, status_word};
use crate::check::{Contents, Gradient, RanksNote, StackEntry, Status, Tally, VariableNote, Violation};
use crate::invariants::{Invariant, Level};
use crate::library::family::family;
use crate::library::levels::Applied;
use crate::relation::sink::Why;

/// What the field `version` says.
pub const VERSION: u64 = 1;

/// The report as one object.
pub fn value(report: &Report<'_>) -> Value {
    let why = match report.verdict {
        Verdict::NoVerdict(why) => Value::from(why),
        _ => Value::Null,
    };
    let of_level = |level| {
        let Counts { violated, suppressed, held, undecided, not_triggered } = report.counts(level);
        json!({
            "violated": violated,
            "suppressed": suppressed,
            "held": held,
            "undecided": undecided,
            "not_triggered": not_triggered,
        })
    };
    let invariants = report.invariants.invariants.iter().zip(&report.checked.tallies).enumerate();
    json!({
        "format": "traincheck-report",
        "version": VERSION,
        "run": run(report),
        "verdict": report.verdict.word(),
        "why_no_verdict": why,
        "exit_code": report.verdict.exit_code(),
        "references": report.invariants.runs,
        "counts": {"alarm": of_level(Level::Alarm), "notice": of_level(Level::Notice)},
        "tested": tested(report),
        "excused": report.invariants.excused.iter().map(|one| json!({"id": one.id, "text": one.text})).collect::<Vec<_>>(),
        "difference": report.measured.map(difference),
        "findings": report.findings.iter().map(|f| finding(f, report)).collect::<Vec<_>>(),
        "suppressions": suppressions(report),
        "invariants": invariants.map(|(index, (i, tally))| status(index, i, tally, report)).collect::<Vec<_>>(),
    })
}

fn difference(applied: Applied) -> Value {
    let Applied { difference, lowered, raised } = applied;
    json!({"from_references": difference, "lowered": lowered, "raised": raised})
}

fn tested(report: &Report<'_>) -> Value {
    let [library, learned] =
        report.tested().map(|tested| json!({"decided": tested.decided, "of": tested.of}));
    json!({"library": library, "learned": learned})
}

fn run(report: &Report<'_>) -> Value {
    let processes: Vec<Value> = report
        .checked
        .processes
        .iter()
        .map(|process| {
            let passed = &process.passed;
            json!({
                "name": process.name,
                "rank": process.rank,
                "iterations": passed.iterations,
                "steps": passed.steps,
                "records": passed.records,
                "lost": passed.lost,
                "torn": passed.end.torn,
                "damage": passed.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "hooks_off": passed.hooks_off,
            })
        })
        .collect();
    json!({
        "name": report.run,
        "ended": report.ended,
        "torn": report.checked.processes.iter().any(|p| p.passed.end.torn.is_some()),
        "ranks_not_compared": report.checked.ranks_not_compared,
        "attempts_left_out": report.checked.attempts_left_out,
        "processes": processes,
    })
}

fn finding(finding: &Finding<'_>, report: &Report<'_>) -> Value {
    let first = finding.first;
    let shown = finding.broken[0];
    let last = finding.broken.iter().map(|b| b.tally.last).max().unwrap_or_default();
    json!({
        "id": finding.id,
        "level": finding.level,
        "cause": finding.cause.map(|cause| &cause.id),
        "title": finding.title,
        "advice": finding.cause.map(|cause| &cause.advice),
        "link": finding.cause.and_then(|cause| cause.link.as_ref()),
        "concerned": finding.variables_text,
        "options": report.options(finding),
        "process": first.process,
        "ranks": first.ranks.as_ref().map(ranks),
        "stage": first.stage,
        "first": {"iteration": first.iteration, "step": first.step, "monotonic_ns": first.time},
        "began": {"iteration": finding.began.0, "step": finding.began.1},
        "last": {"iteration": last.0, "step": last.1},
        "failed": shown.tally.violated,
        "chances": shown.tally.violated + shown.tally.held,
        "call": call(first),
        "stack": first.stack.iter().map(entry).collect::<Vec<_>>(),
        "invariants": finding.broken.iter().map(|b| broken(b, report)).collect::<Vec<_>>(),
        "variables": finding.variables.iter().map(|note| variable(note)).collect::<Vec<_>>(),
        "related": finding
            .related
            .iter()
            .map(|related| {
                json!({
                    "name": related.name,
                    "changed_in_steps": related.changed,
                    "unchanged_in_steps": related.unchanged,
                })
            })
            .collect::<Vec<_>>(),
    })
}

fn call(violation: &Violation) -> Value {
    violation.stack.last().map_or(Value::Null, entry)
}

fn entry(entry: &StackEntry) -> Value {
    json!({"call": entry.call, "file": entry.file, "line": entry.line, "function": entry.function})
}

fn broken(broken: &Broken<'_>, report: &Report<'_>) -> Value {
    let references: Vec<Value> = report
        .invariants
        .runs
        .iter()
        .zip(&broken.invariant.evidence)
        .map(|(run, evidence)| {
            json!({
                "run": run.name,
                "positive": evidence.positive,
                "negative": evidence.negative,
                "undecided": evidence.undecided,
            })
        })
        .collect();
    json!({
        "id": broken.invariant.id,
        "relation": broken.invariant.claim.relation(),
        "level": broken.invariant.level,
        "text": broken.invariant.text,
        "claim": broken.invariant.claim,
        "precondition": broken.invariant.precondition,
        "failed": broken.tally.violated,
        "held": broken.tally.held,
        "instead": broken.instead(),
        "why": Some(broken.first.why).filter(|why| *why != Why::Nothing),
        "first": {
            "iteration": broken.first.iteration,
            "step": broken.first.step,
            "monotonic_ns": broken.first.time,
        },
        "references": references,
        "library": broken.invariant.tried,
        "measured": broken.invariant.measured,
    })
}

fn variable(note: &VariableNote) -> Value {
    let norm = match note.gradient {
        Gradient::NonZero(norm) => Some(norm),
        _ => None,
    };
    let mut facts = note.facts();
    facts["before"] = json!(note.before.map(contents));
    facts["after"] = json!(note.after.map(contents));
    facts["value"] = json!(note.value.filter(|value| value.is_finite()));
    facts["gradient_norm"] = json!(norm.filter(|norm| norm.is_finite()));
    facts
}

fn ranks(ranks: &RanksNote) -> Value {
    json!({
        "departing": ranks.departing,
        "of": ranks.of,
        "differ": ranks.differ,
        "contents": ranks.contents.iter().copied().map(contents).collect::<Vec<_>>(),
    })
}

fn contents(contents: Contents) -> Value {
    json!({
        "hash": format!("{:016x}{:016x}", contents.hash.1, contents.hash.0),
        "l2": Some(contents.l2).filter(|l2| l2.is_finite()),
        "non_finite": contents.non_finite,
    })
}

fn suppressions(report: &Report<'_>) -> Vec<Value> {
    let Some(judged) = &report.suppressed else { return Vec::new() };
    judged
        .entries
        .iter()
        .enumerate()
        .map(|(number, entry)| {
            let used: Vec<&str> = report.suppressed_by(number).map(|one| one.id.as_str()).collect();
            json!({
                "file": judged.path.display().to_string(),
                "line": entry.suppression.line,
                "what": entry.suppression.to_string(),
                "reason": entry.suppression.reason,
                "until": entry.suppression.until,
                "expired": entry.expired,
                "matches": entry.matches.len(),
                "suppressed": used,
            })
        })
        .collect()
}

fn status(index: usize, invariant: &Invariant, tally: &Tally, report: &Report<'_>) -> Value {
    let status = tally.status();
    let reason = match status {
        Status::Undecided(cut) => Some(cut.text()),
        _ => None,
    };
    json!({
        "id": invariant.id,
        "level": invariant.level,
        "doubt": invariant.doubt,
        "measured": invariant.measured,
        "text": invariant.text,
        "family": family(&invariant.claim),
        "library": invariant.tried.is_some(),
        "status": status_word(status),
        "suppressed": report.suppression(index).is_some(),
        "reason": reason,
        "violated": tally.violated,
        "held": tally.held,
        "undecided": tally.undecided.values().sum::<u64>(),
    })
}
