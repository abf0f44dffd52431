//! The report for people: what is wrong first, and no more than fits on a screen.

use std::fmt::{self, Write};

use super::finding::{Finding, Related};
use super::{Counts, Report, Tested, Verdict, status_word};
use crate::check::{CheckedProcess, Gradient, RanksNote, StackEntry, Status, VariableNote};
use crate::invariants::{Invariant, Invariants, Level, Rate, Tried};
use crate::library::levels::Applied;
use crate::suppress::Suppression;
use crate::words::{plural, printable, uncapitalised};

/// How many variables and related variables of a finding are shown.
const SHOWN: usize = 4;
/// How many violated invariants of a finding are shown: the first with what speaks for it, the others in a line each.
const INVARIANTS: usize = 3;
/// How many calls of a stack are shown.
const CALLS: usize = 8;
/// How many ranks are named.
const RANKS: usize = 8;
/// How many damaged parts of a process are shown.
const DAMAGE: usize = 8;
/// How many reference runs are told apart.
const RUNS: usize = 3;

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
        writeln!(out, "\n{} (shown with --notices).", plural(count as u64, "notice"))?;
    }
    writeln!(out)?;
    suppressions(report, out)?;
    foot(report, out)
}

fn head(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let processes = &report.checked.processes;
    let iterations = processes.iter().map(|p| p.passed.iterations).max().unwrap_or(0);
    write!(out, "Run `{}`: {}", printable(&report.run), plural(iterations.into(), "iteration"))?;
    // However much was trained, all of it is in the first one.
    if iterations == 1 && !processes.iter().any(|process| process.passed.backward) {
        write!(out, " (the next one begins after a backward pass, and there was none)")?;
    }
    if report.has_no_module() {
        write!(out, " (one begins with the call of a module in training, and none was seen)")?;
    }
    if processes.len() > 1 {
        write!(out, " in {} processes", processes.len())?;
    }
    writeln!(out, ".")?;
    if let Some(why) = &report.checked.ranks_not_compared {
        writeln!(out, "  Ranks were not compared: {why}.")?;
    }
    if let Some(what) = &report.checked.attempts_left_out {
        writeln!(out, "  Ranks: {what}.")?;
    }
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
        for damage in process.passed.damage.iter().take(DAMAGE) {
            writeln!(out, "  {}: {damage}.", process.name)?;
        }
        rest(process.passed.damage.len(), DAMAGE, "more damaged part", out)?;
        for hook in &process.passed.hooks_off {
            writeln!(out, "  {}: {hook}.", process.name)?;
        }
    }
    Ok(())
}

fn one(finding: &Finding<'_>, report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let level = match (finding.level, finding.cause) {
        (Level::Alarm, _) => "ALARM",
        // What would prove the cause where it is an alarm.
        (Level::Notice, Some(_)) => "notice: a hint, not a proof",
        (Level::Notice, None) => "notice",
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
    match &first.ranks {
        Some(ranks) => write!(out, ", {}", ranks_text(ranks))?,
        None if report.checked.processes.len() > 1 => {
            let is_it = |process: &&CheckedProcess| process.name == first.process;
            match report.checked.processes.iter().find(is_it).and_then(|process| process.rank) {
                Some(rank) => write!(out, ", on rank {rank} ({})", first.process)?,
                None => write!(out, ", in {}", first.process)?,
            }
        }
        None => {}
    }
    writeln!(out, ".")?;
    stack(&first.stack, out)?;
    let shown = finding.broken.iter().take(INVARIANTS);
    for (number, broken) in shown.enumerate() {
        let text = uncapitalised(&broken.invariant.text);
        if number > 0 {
            writeln!(out, "  Also: {text}.")?;
            continue;
        }
        let tally = broken.tally;
        writeln!(out, "  Expected: {text}.")?;
        write!(out, "    {}; ", references(broken.invariant, report.invariants))?;
        writeln!(out, "failed here {} of {} times.", tally.violated, tally.violated + tally.held)?;
        if let Some(rate) = broken.invariant.measured {
            writeln!(out, "    {}.", measured(broken.invariant.level, rate))?;
        }
        for instead in broken.instead() {
            writeln!(out, "    Instead: {instead}.")?;
        }
    }
    rest(finding.broken.len(), INVARIANTS, "more violated invariant", out)?;
    for note in finding.variables.iter().take(SHOWN) {
        writeln!(out, "  `{}`: {}.", note.name, variable(note))?;
    }
    rest(finding.variables.len(), SHOWN, "more variable", out)?;
    if let (Some(ranks), Some(variable)) = (&first.ranks, first.variables.first())
        && !ranks.contents.is_empty()
    {
        let norms = ranks.contents.iter().take(RANKS).map(|contents| contents.l2.to_string());
        let more = if ranks.contents.len() > RANKS { ", ..." } else { "" };
        let norms: Vec<String> = norms.collect();
        writeln!(out, "  Norm of `{}` by rank: {}{more}.", variable.name, norms.join(", "))?;
    }
    if !finding.variables.is_empty() {
        related(finding, out)?;
    }
    let options = report.options(finding);
    if !options.is_empty() {
        let options = options.join(", ");
        writeln!(out, "  The command line differs from that of every reference run: {options}.")?;
    }
    if let Some(cause) = finding.cause {
        writeln!(out, "  Try: {}", cause.advice)?;
        if let Some(link) = &cause.link {
            writeln!(out, "  See: {link}")?;
        }
    }
    if let Some(shown) = finding.broken.first() {
        writeln!(out, "  More: traincheck invariants explain {}{}", shown.invariant.id, report.from)?;
    }
    Ok(())
}

/// `on rank 1 of 4`; where nobody can say which rank is wrong, `where the 2 ranks differ`; where all are, `on all 2 ranks together`.
fn ranks_text(ranks: &RanksNote) -> String {
    let shown: Vec<String> = ranks.departing.iter().take(RANKS).map(u32::to_string).collect();
    let more = if ranks.departing.len() > RANKS { " and more" } else { "" };
    match shown.split_last() {
        None if !ranks.differ => format!("on all {} ranks together", ranks.of),
        None => format!("where the {} ranks differ", ranks.of),
        Some((only, [])) => format!("on rank {only} of {}", ranks.of),
        Some(_) if !more.is_empty() => format!("on ranks {}{more} of {}", shown.join(", "), ranks.of),
        Some((last, others)) => format!("on ranks {} and {last} of {}", others.join(", "), ranks.of),
    }
}

/// The calls that led there, the middle ones left out where there are many.
fn stack(entries: &[StackEntry], out: &mut impl Write) -> fmt::Result {
    let left_out = if entries.len() > CALLS { entries.len() - (CALLS - 1) } else { 0 };
    let before = if left_out > 0 { 2 } else { 0 };
    for entry in &entries[..before] {
        writeln!(out, "    {entry}")?;
    }
    if left_out > 0 {
        writeln!(out, "    ({})", plural(left_out as u64, "more call"))?;
    }
    for entry in &entries[before + left_out..] {
        writeln!(out, "    {entry}")?;
    }
    Ok(())
}

fn related(finding: &Finding<'_>, out: &mut impl Write) -> fmt::Result {
    let names = |which: fn(&Related<'_>) -> bool| -> Option<String> {
        let of_them: Vec<&Related<'_>> = finding.related.iter().filter(|related| which(related)).collect();
        let shown: Vec<String> = of_them.iter().take(SHOWN).map(|r| format!("`{}`", r.name)).collect();
        let more = of_them.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
    };
    if let Some(changed) = names(|related| related.changed > 0) {
        writeln!(out, "  Not concerned, these did change: {changed}.")?;
    }
    if let Some(unchanged) = names(|related| related.changed == 0) {
        writeln!(out, "  Not concerned, these did not change: {unchanged}.")?;
    }
    Ok(())
}

/// What held in the reference runs: `Held 23 times in good-1 and 22 in good-2`.
pub fn references(invariant: &Invariant, invariants: &Invariants) -> String {
    if let Some(tried) = &invariant.tried {
        return of_library(tried);
    }
    let runs = || invariants.runs.iter().zip(&invariant.evidence);
    let held: Vec<u64> = runs().map(|(_, evidence)| evidence.positive).filter(|&count| count > 0).collect();
    let (Some(&least), Some(&most)) = (held.iter().min(), held.iter().max()) else {
        return "Never came up in the reference runs".into();
    };
    let times = if least == most { times(least) } else { format!("{least} to {}", times(most)) };
    let count = invariants.runs.len();
    if count > RUNS {
        let of = if held.len() < count {
            format!("{} of the {count}", held.len())
        } else {
            format!("each of the {count}")
        };
        return format!("Held {times} in {of} reference runs");
    }
    let mut parts: Vec<String> = runs()
        .enumerate()
        .map(|(number, (run, evidence))| match evidence.positive {
            0 => format!("never in {}", printable(&run.name)),
            held if number == 0 || held == 1 => format!("{} in {}", self::times(held), printable(&run.name)),
            held => format!("{held} in {}", printable(&run.name)),
        })
        .collect();
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { format!("Held {last}") } else { format!("Held {} and {last}", parts.join(", ")) }
}

/// On what an invariant of the library was tried: `Held in 285 of 287 runs of 41 programs (library)`.
fn of_library(tried: &Tried) -> String {
    let broken: u64 = tried.broken.values().sum();
    let of = if broken == 0 { "all".to_owned() } else { format!("{} of", tried.runs - broken) };
    format!("Held in {of} {} runs of {} programs (library)", tried.runs, tried.programs)
}

/// By what a level was decided: `An alarm as was measured: 0 of 240 clean runs of 60 programs violate such a claim`.
fn measured(level: Level, rate: Rate) -> String {
    let Rate { runs, programs, broken } = rate;
    let level = match level {
        Level::Alarm => "An alarm",
        Level::Notice => "A notice",
    };
    let programs = plural(programs, "program");
    format!("{level} as was measured: {broken} of {runs} clean runs of {programs} violate such a claim")
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn rest(count: usize, shown: usize, noun: &str, out: &mut impl Write) -> fmt::Result {
    if count > shown {
        writeln!(out, "  ({})", plural((count - shown) as u64, noun))?;
    }
    Ok(())
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
    if let Some(value) = note.value {
        parts.push(format!("value {value}"));
    }
    if let Some(after) = note.after.filter(|after| after.non_finite > 0) {
        parts.push(format!("{} NaN or infinite", plural(after.non_finite.into(), "element")));
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

/// What is suppressed, and what of the file of suppressions does nothing.
fn suppressions(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    let Some(judged) = &report.suppressed else { return Ok(()) };
    let path = judged.path.display();
    for (number, entry) in judged.entries.iter().enumerate() {
        let suppressed = report.suppressed_by(number).count();
        let violated = |index: &&usize| report.checked.tallies[**index].violated > 0;
        let counts_again = entry.matches.iter().filter(violated).count();
        let Suppression { reason, until, line, .. } = entry.suppression;
        let reason = reason.trim();
        let until = until.as_deref().unwrap_or_default();
        if let Some(trouble) = &entry.trouble {
            writeln!(out, "{path}:{line}: suppresses nothing: {trouble}.")?;
        } else if entry.matches.is_empty() {
            writeln!(out, "{path}:{line}: suppresses nothing: no invariant fits {}.", entry.suppression)?;
        } else if entry.expired {
            let what = plural(counts_again as u64, "violated invariant");
            writeln!(out, "{path}:{line}: expired on {until}, so {what} of it count again: {reason}")?;
        } else if suppressed > 0 {
            let until = if until.is_empty() { String::new() } else { format!(", until {until}") };
            let what = plural(suppressed as u64, "violated invariant");
            writeln!(out, "{path}:{line}: suppresses {what}{until}: {reason}")?;
        }
    }
    if !judged.entries.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

fn foot(report: &Report<'_>, out: &mut impl Write) -> fmt::Result {
    for (level, name) in [(Level::Alarm, "Alarm"), (Level::Notice, "Notice")] {
        let Counts { violated, suppressed, held, undecided, not_triggered } = report.counts(level);
        write!(out, "{name}-level invariants: {violated} violated, ")?;
        if suppressed > 0 {
            write!(out, "{suppressed} suppressed, ")?;
        }
        writeln!(out, "{held} held, {undecided} undecided, {not_triggered} not triggered.")?;
    }
    let [library, learned] = report.tested();
    if library.of > 0 {
        let of = |Tested { decided, of }, which: &str| format!("{decided} of the {of} {which}");
        write!(out, "Tested: {}", of(library, "of the library"))?;
        match learned.of {
            0 => writeln!(out, "; nothing was learned of this program (traincheck infer).")?,
            _ => writeln!(out, ", {} at alarm level.", of(learned, "that were learned"))?,
        }
    }
    let excused = report.invariants.excused.len() as u64;
    if excused > 0 {
        writeln!(
            out,
            "Not counted: {} of the library that the references break.",
            plural(excused, "invariant")
        )?;
    }
    if let Some(Applied { difference, lowered, raised }) = report.measured {
        let changed = [
            ("Notices", lowered, "alarm", "break too often"),
            ("Alarms", raised, "notice", "hardly ever break"),
        ];
        for (now, count, before, why) in changed.into_iter().filter(|(_, count, ..)| *count > 0) {
            let (before, from) = (plural(count as u64, before), difference.text());
            writeln!(
                out,
                "{now} here: {before} learned from {from}, of kinds that clean runs {why} (docs/levels.md)."
            )?;
        }
    }
    writeln!(out, "{}", conclusion(report))
}

/// That the command failed, if it did, and the verdict, which is on what was recorded until then.
pub fn conclusion(report: &Report<'_>) -> String {
    match report.ended.filter(|ended| ended.is_failure()) {
        Some(ended) if report.checked.processes.len() > 1 => format!(
            "The command {ended}; `traincheck hang {}` says where its ranks were. {}",
            report.run,
            verdict(report)
        ),
        Some(ended) => format!("The command {ended}. {}", verdict(report)),
        None => verdict(report),
    }
}

/// The verdict in a sentence.
pub fn verdict(report: &Report<'_>) -> String {
    match report.verdict {
        Verdict::Clean if report.counts(Level::Alarm).suppressed > 0 => {
            "Verdict: clean, apart from what is suppressed.".into()
        }
        Verdict::Clean => match report.little_tested() {
            Some(Tested { decided, of }) => {
                let invariants = plural(of as u64, "alarm-level invariant");
                format!(
                    "Verdict: clean, as far as {decided} of {invariants} can tell: the rest was not tested."
                )
            }
            None => "Verdict: clean.".into(),
        },
        Verdict::Alarms => format!("Verdict: {}.", plural(alarms(report) as u64, "alarm")),
        Verdict::NoVerdict(why) => format!("No verdict: {why}."),
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
