//! Why claims were rejected, or are only notices, in words: one line each.

use std::fmt::{self, Write};

use super::{ENOUGH, Learned, Rejection, Shortfall, Verdict};
use crate::invariants::{Invariant, ReferenceRun};
use crate::relation::claim::Claim;
use crate::words::{capitalised, plural};

/// Writes a line for every claim that is no alarm, in the order of the claims. Runs are called by their names. `measured`
/// says of an invariant for which runs it has another level; an alarm of which it does has a line, too.
///
/// # Errors
/// Those of `out`.
pub fn write(
    learned: &Learned,
    measured: impl Fn(&Invariant) -> Option<String>,
    out: &mut impl Write,
) -> fmt::Result {
    let runs = &learned.invariants.runs;
    for verdict in &learned.verdicts {
        match verdict {
            Verdict::Kept(invariant, lacks) => kept(invariant, lacks, measured(invariant), runs, out)?,
            Verdict::Rejected(claim, why) => rejected(claim, why, runs, out)?,
        }
    }
    Ok(())
}

fn kept(
    invariant: &Invariant,
    lacks: &[Shortfall],
    measured: Option<String>,
    runs: &[ReferenceRun],
    out: &mut impl Write,
) -> fmt::Result {
    // An alarm lacks nothing.
    let level = if lacks.is_empty() { "alarm" } else { "notice" };
    let why: Vec<String> = lacks.iter().map(|lack| shortfall(lack, runs)).chain(measured).collect();
    if why.is_empty() {
        return Ok(());
    }
    writeln!(out, "{level:8}  {}  {}: {}", invariant.id, invariant.text, why.join("; "))
}

fn shortfall(lack: &Shortfall, runs: &[ReferenceRun]) -> String {
    let name = |run: &usize| run_name(*run, runs);
    match lack {
        Shortfall::Harmless => "a violation need not be an error of training (see its relation)".into(),
        Shortfall::Literal(literal) => {
            format!("speaks of {}, which the references cannot vary", literal.text())
        }
        Shortfall::FewExamples { run, examples } => {
            format!("only {} in run {} ({ENOUGH} are needed)", plural(*examples, "example"), name(run))
        }
        Shortfall::OneRun { run } => format!("of {} runs only {} has examples", runs.len(), name(run)),
        Shortfall::NoSpread => "so few runs do not show how much numbers vary from run to run".into(),
        Shortfall::LateExamples => "no example in the first half of any run".into(),
        Shortfall::SecondHalf { counter_examples } => format!(
            "learned on the first half, it fails in the second ({})",
            plural(*counter_examples, "counter-example")
        ),
        Shortfall::LeftOut { run, counter_examples: 0 } => {
            format!("cannot be learned without run {}", name(run))
        }
        Shortfall::LeftOut { run, counter_examples } => format!(
            "learned on the other runs, it fails in run {} ({})",
            name(run),
            plural(*counter_examples, "counter-example")
        ),
        Shortfall::Ambiguous => "what the references do fits a weaker claim as well".into(),
    }
}

fn rejected(claim: &Claim, why: &Rejection, runs: &[ReferenceRun], out: &mut impl Write) -> fmt::Result {
    write!(out, "rejected  {}  {}: ", claim.relation().word(), capitalised(&claim.text()))?;
    match why {
        Rejection::Thinned { function } => {
            writeln!(out, "`{function}` was called too often to be recorded to the end")
        }
        Rejection::TooManySituations { most } => {
            writeln!(out, "its windows are in more than {most} different situations")
        }
        Rejection::TooFew { examples, needed } => {
            writeln!(out, "only {} in all runs ({needed} are needed)", plural(*examples, "example"))
        }
        Rejection::Implied { by } => writeln!(out, "says no more than {by}"),
        Rejection::OtherStretch { steps } => {
            writeln!(out, "the stretch of {steps} steps says it with some patience, or is too long to be met")
        }
        Rejection::CounterExamples { runs: counts, nearest } => {
            let failed = counts.iter().enumerate().filter(|(_, (_, failed))| *failed > 0);
            let failed: Vec<String> = failed
                .map(|(run, (held, failed))| {
                    format!(
                        "{} in {} in run {}",
                        plural(*failed, "counter-example"),
                        plural(held + failed, "window"),
                        run_name(run, runs)
                    )
                })
                .collect();
            let failed = failed.join(", ");
            let all: u64 = counts.iter().map(|(_, failed)| failed).sum();
            match nearest {
                Some((_, left)) if *left == all => {
                    writeln!(out, "{failed}, and no precondition separates any of them")
                }
                None => writeln!(out, "{failed}, and its relation knows no preconditions"),
                Some((clause, left)) => writeln!(
                    out,
                    "{failed}, no precondition of two clauses separates them (nearest: where {} leaves {left})",
                    clause.text()
                ),
            }
        }
    }
}

fn run_name(run: usize, runs: &[ReferenceRun]) -> &str {
    runs.get(run).map_or("?", |run| run.name.as_str())
}
