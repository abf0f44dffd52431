//! The report for people: what is wrong first, and no more than fits on a screen.

use std::fmt::{self, Write};

use super::finding::{Broken, Finding};
use super::{Report, Verdict, status_word};
use crate::check::{Gradient, StackEntry, Status, VariableNote};
use crate::claim::short;
use crate::invariants::Level;

/// How many invariants, variables and related variables of a finding are shown.
const SHOWN: usize = 4;

/// Writes the report. `notices`: in full instead of as a count.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report<'_>, notices: bool, out: &mut impl Write) -> fmt::Result {
    head(report, out)?;
    let of_level = |level| report.findings.iter().filter(move |finding| finding.level == level);
    for finding in of_level(Level::Alarm) {
        writeln!(out)?;
        one(finding, report, out)?;
    }
    let count = of_level(Level::Notice).count();
    if notices {
        for finding in of_level(Level::Notice) {
            writeln!(out)?;
            one(finding, report, out)?;
        }
    } else if count > 0 {
        writeln!(out, "\n{} (shown with --notices).", plural(count, "notice"))?;
    }
    writeln!(out)?;
    foot(report, out)
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn head(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let processes = &report.checked.processes;
    let iterations = processes.iter().map(|p| p.passed.iterations).max().unwrap_or(0);
    write!(out, "Run `{}`: {}", report.run, plural(iterations as usize, "iteration"))?;
    if processes.len() > 1 {
        write!(out, " in {} processes", processes.len())?;
    }
    writeln!(out, ".")?;
    for process in processes {
        if let Some(torn) = &process.passed.end.torn {
            writeln!(out, "  {} is torn: {torn}.", process.name)?;
        }
        if process.passed.lost > 0 {
            writeln!(
                out,
                "  {} lost {} records; windows around them give no verdict.",
                process.name, process.passed.lost
            )?;
        }
        for damage in &process.passed.damage {
            writeln!(out, "  {}: {damage}.", process.name)?;
        }
        for hook in &process.passed.hooks_off {
            writeln!(out, "  {}: {hook}.", process.name)?;
        }
    }
    Ok(())
}

fn one(finding: &Finding<'_>, report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let level = match finding.level {
        Level::Alarm => "ALARM",
        Level::Notice => "notice",
    };
    writeln!(out, "{level}: {}.", finding.title)?;
    if let Some(variables) = &finding.variables_text {
        writeln!(out, "  Concerned: {variables}.")?;
    }
    let first = finding.first;
    write!(out, "  Found in iteration {} (step {})", first.iteration, first.step)?;
    if finding.began.0 < first.iteration {
        write!(out, ", since iteration {}", finding.began.0)?;
    }
    if report.checked.processes.len() > 1 {
        write!(out, ", in {}", first.process)?;
    }
    writeln!(out, ".")?;
    for entry in &first.stack {
        writeln!(out, "    {}", stack_line(entry))?;
    }
    for broken in finding.broken.iter().take(SHOWN) {
        expected(broken, report, out)?;
    }
    rest(finding.broken.len(), "more violated invariant", out)?;
    for note in finding.variables.iter().take(SHOWN) {
        writeln!(out, "  `{}`: {}.", note.name, variable(note))?;
    }
    rest(finding.variables.len(), "more variable", out)?;
    if !finding.related.is_empty() && !finding.variables.is_empty() {
        let names: Vec<String> =
            finding.related.iter().take(SHOWN).map(|r| format!("`{}`", r.name)).collect();
        let more = finding.related.len() - names.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        writeln!(out, "  Not concerned, these did change: {}{more}.", names.join(", "))?;
    }
    if let Some(cause) = finding.cause {
        writeln!(out, "  Try: {}", cause.advice)?;
    }
    Ok(())
}

fn rest(count: usize, noun: &str, out: &mut impl Write) -> fmt::Result {
    if count > SHOWN {
        writeln!(out, "  ({})", plural(count - SHOWN, noun))?;
    }
    Ok(())
}

fn stack_line(entry: &StackEntry) -> String {
    let call = entry.call.as_deref().map_or("iteration", short);
    match (&entry.file, entry.line, &entry.function) {
        (Some(file), Some(line), function) => {
            let function = function.as_deref().unwrap_or("?");
            format!("{file}:{line} in {function}: {call}")
        }
        _ => call.to_owned(),
    }
}

fn expected(broken: &Broken<'_>, report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let tally = broken.tally;
    let references: Vec<String> =
        broken.invariant.evidence.iter().map(|evidence| evidence.positive.to_string()).collect();
    let references = match report.invariants.runs.len() {
        1 => format!("{} times in the reference run", references.join("")),
        runs => format!("{} times in {runs} reference runs", references.join(" and ")),
    };
    writeln!(
        out,
        "  Expected: {}. Held {references}; failed here {} of {} times.",
        lower_first(&broken.invariant.text),
        tally.violated,
        tally.violated + tally.held
    )
}

fn lower_first(text: &str) -> String {
    text.get(..1).map_or_else(String::new, |first| first.to_lowercase() + &text[1..])
}

fn variable(note: &VariableNote) -> String {
    let mut parts = Vec::new();
    match (note.before, note.after) {
        (Some(before), Some(after)) if before.hash == after.hash => {
            parts.push(format!("unchanged (norm {})", after.l2));
        }
        (Some(before), Some(after)) => parts.push(format!("norm {} became {}", before.l2, after.l2)),
        (None, Some(after)) => parts.push(format!("norm {}", after.l2)),
        _ => {}
    }
    if let Some(requires) = note.requires_grad {
        parts.push(format!("requires_grad {}", if requires { "True" } else { "False" }));
    }
    match note.gradient {
        Gradient::Unknown => {}
        Gradient::None => parts.push("gradient None".into()),
        Gradient::Zero => parts.push("gradient all zero".into()),
        Gradient::NonZero(norm) => parts.push(format!("gradient of norm {norm}")),
    }
    match note.held_by.as_deref() {
        None => {}
        Some([]) => parts.push("held by no optimizer".into()),
        Some(holders) => parts.push(format!("held by {}", holders.join(", "))),
    }
    parts.join(", ")
}

fn foot(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let [violated, held, undecided, idle] = report.counts(Level::Alarm);
    writeln!(
        out,
        "Alarm-level invariants: {violated} violated, {held} held, {undecided} undecided, {idle} not triggered."
    )?;
    let [violated, held, undecided, idle] = report.counts(Level::Notice);
    writeln!(
        out,
        "Notice-level invariants: {violated} violated, {held} held, {undecided} undecided, {idle} not triggered."
    )?;
    match report.verdict {
        Verdict::Clean => writeln!(out, "Verdict: clean."),
        Verdict::Alarms => writeln!(out, "Verdict: {}.", plural(alarms(report), "alarm")),
        Verdict::NoVerdict(why) => writeln!(out, "No verdict: {why}."),
    }
}

fn alarms(report: &Report<'_>) -> usize {
    report.findings.iter().filter(|finding| finding.level == Level::Alarm).count()
}

/// One line for every invariant: how it ended, and why if it was not decided.
///
/// # Errors
/// Those of `out`.
pub fn write_statuses(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    for (invariant, tally) in report.invariants.invariants.iter().zip(&report.checked.tallies) {
        let status = tally.status();
        write!(out, "{} {}: {}", invariant.id, status_word(status), invariant.text)?;
        if let Status::Undecided(cut) = status {
            write!(out, " ({})", cut.text())?;
        }
        writeln!(out)?;
    }
    Ok(())
}
