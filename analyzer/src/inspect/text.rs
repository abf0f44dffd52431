//! The summary of a run for people.

use std::io::{self, Write};

use traincheck_analyzer::words::printable;

use super::{Calls, Collectives, End, Lost, ProcessSummary, Summary, Value, Variable};
use super::{cost, job};
use crate::calendar;

/// Longer lists are cut.
pub(super) const MOST_ROWS: usize = 30;
/// Of the arguments of a call so many are shown.
const MOST_VALUES: usize = 8;

/// Writes the summary.
///
/// # Errors
/// If it cannot be written.
pub fn write(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    writeln!(out, "run {}", printable(&summary.run))?;
    if let Some(info) = &summary.info {
        row(out, "command", &info.command.join(" "))?;
        row(
            out,
            "where",
            &format!("{}, Python {}, PyTorch {}", info.host, known(&info.python), known(&info.torch)),
        )?;
        row(out, "agent", &format!("{}, profile {}", known(&info.agent_version), known(&info.profile)))?;
        for setting in info.settings.iter().filter(|setting| setting.from != "default") {
            row(out, "setting", &format!("{} = {} ({})", setting.name, setting.value, setting.from))?;
        }
        row(out, "started", &calendar::date_and_time(info.started_wall_ns / 1_000_000_000))?;
        for hook in info.hooks.iter().filter(|hook| !hook.on) {
            row(out, "off", &format!("{}: {}", hook.name, hook.why))?;
        }
    } else {
        row(out, "command", "not known: there is no run.json")?;
    }
    if let Some(job) = &summary.job {
        job::write(out, job)?;
    }
    summary.processes.iter().try_for_each(|process| write_process(out, process))
}

fn write_process(out: &mut impl Write, process: &ProcessSummary) -> io::Result<()> {
    write!(out, "\nprocess {} on {}", process.pid, process.host)?;
    // Where no launcher has said so, the group of all tells.
    if let Some(rank) = process.rank.or(process.groups.first().map(|group| group.rank)) {
        write!(out, ", rank {rank}")?;
    }
    writeln!(
        out,
        "{}",
        if process.script.is_empty() { String::new() } else { format!(": {}", process.script) }
    )?;
    write_end(out, &process.end)?;
    for line in &process.damage {
        row(out, "damage", line)?;
    }
    let iterations = match process.iterations_with_backward {
        with if with == process.iterations => String::new(),
        with => format!(" ({with} with a backward pass)"),
    };
    let micro = match process.micro_steps {
        0 => String::new(),
        without => format!(", {without} micro-steps"),
    };
    row(
        out,
        "did",
        &format!(
            "{} iterations{iterations}, {} steps{micro} in {}",
            process.iterations,
            process.steps,
            time(process.recorded_ns)
        ),
    )?;
    if let Some(spread) = process.iteration_ns {
        row(out, "iteration", &format!("median {}, p95 {}", time(spread.median), time(spread.p95)))?;
    }
    let stages: Vec<_> = process
        .stages
        .iter()
        .map(|stage| match stage.calls {
            0 => format!("{} {}", stage.stage, time(stage.ns)),
            calls => format!("{} {} ({calls} calls of models)", stage.stage, time(stage.ns)),
        })
        .collect();
    if !stages.is_empty() {
        row(out, "stages", &stages.join(", "))?;
    }
    let objects: Vec<_> = process.objects.iter().map(|object| object.name.as_str()).collect();
    if !objects.is_empty() {
        row(out, "objects", &objects.join(", "))?;
    }
    let groups = process.groups.iter().map(|group| {
        let name = if group.name.is_empty() { "without a name" } else { &group.name };
        let of = if group.size > 0 { format!(" of {}", group.size) } else { String::new() };
        let description = match group.description.as_str() {
            "" => String::new(),
            text => format!(" {text}"),
        };
        format!("{name}{description} ({}): rank {}{of}", group.backend, group.rank)
    });
    let groups: Vec<_> = groups.collect();
    if !groups.is_empty() {
        row(out, "groups", &groups.join(", "))?;
    }
    row(out, "trace", &size(process))?;
    write_lost(out, process)?;
    if let Some(left_out) = process.left_out.text() {
        row(out, "left out", &left_out)?;
    }
    for note in &process.hooks_off {
        row(out, "off", note)?;
    }
    write_calls(out, "functions", &process.functions)?;
    write_calls(out, "ops", &process.ops)?;
    write_collectives(out, &process.collectives)?;
    write_variables(out, &process.variables)?;
    write_looks(out, process)
}

fn write_end(out: &mut impl Write, end: &End) -> io::Result<()> {
    match end {
        End::Sealed { reason, stopped, account } => {
            let text = match stopped {
                Some(why) => format!("stopped while the job went on: {why}"),
                None => format!("sealed ({reason})"),
            };
            row(out, "end", &text)?;
            if !account.is_empty() {
                row(out, "own cost", &cost::text(account))?;
            }
            Ok(())
        }
        End::Torn {
            bytes_after_last_frame,
            events_recovered,
            states_recovered,
            arguments_recovered,
            collectives_recovered,
            rings_elsewhere,
        } => {
            let mut text = format!(
                "torn: the process was killed or is still running; {bytes_after_last_frame} bytes of an unfinished \
                 frame, {events_recovered} events, {states_recovered} states and {arguments_recovered} arguments \
                 recovered from its rings"
            );
            if *collectives_recovered > 0 {
                text += &format!(", and {collectives_recovered} records of collectives");
            }
            if *rings_elsewhere > 0 {
                text += &format!(
                    "; {rings_elsewhere} rings with up to a second before the end were in the memory of its machine, \
                     where they may still be read"
                );
            }
            row(out, "end", &text)
        }
    }
}

fn write_lost(out: &mut impl Write, process: &ProcessSummary) -> io::Result<()> {
    let lost: &[Lost] = &process.lost;
    if matches!(process.end, End::Sealed { stopped: Some(_), .. }) {
        row(out, "lost", &format!("whatever the job did after iteration {}", process.iterations))?;
    } else if lost.is_empty() {
        return row(out, "lost", "nothing");
    }
    for gap in lost.iter().take(MOST_ROWS) {
        row(
            out,
            "lost",
            &format!(
                "{} records of thread {} after iteration {}: {}",
                gap.count, gap.ring, gap.after_iteration, gap.reason
            ),
        )?;
    }
    write_rest(out, lost.len())
}

fn write_calls(out: &mut impl Write, title: &str, calls: &[Calls]) -> io::Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {:>10} {:>10} {:>10}  {title}", "calls", "total", "own")?;
    for call in calls.iter().take(MOST_ROWS) {
        write!(
            out,
            "  {:>10} {:>10} {:>10}  {}",
            call.calls,
            time(call.total_ns),
            time(call.own_ns),
            call.name
        )?;
        if call.raised > 0 {
            write!(out, ", {} raised", call.raised)?;
        }
        if call.unfinished > 0 {
            write!(out, ", {} unfinished", call.unfinished)?;
        }
        if let Some(calls) = call.thinned_after {
            write!(out, ", not recorded after {calls} calls")?;
        }
        writeln!(out)?;
        write_values(out, "given", &call.arguments)?;
        write_values(out, "gave", &call.results)?;
    }
    write_rest(out, calls.len())
}

/// What the last call of a function was given or gave back.
fn write_values(out: &mut impl Write, title: &str, values: &[Value]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> =
        values.iter().take(MOST_VALUES).map(|value| format!("{}={}", value.name, value.value)).collect();
    let rest = values.len().saturating_sub(MOST_VALUES);
    let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
    writeln!(out, "  {:>32}    {title} {}{rest}", "", shown.join(", "))
}

fn write_collectives(out: &mut impl Write, collectives: &[Collectives]) -> io::Result<()> {
    if collectives.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {:>10} {:>10} {:>10}  collectives", "times", "median", "p95")?;
    for one in collectives.iter().take(MOST_ROWS) {
        let [median, p95] = match one.time_ns {
            Some(spread) => [time(spread.median), time(spread.p95)],
            None => ["", ""].map(str::to_owned),
        };
        write!(out, "  {:>10} {median:>10} {p95:>10}  {}", one.count, one.kind)?;
        for word in [&one.reduce, &one.element_type].into_iter().filter(|word| !word.is_empty()) {
            write!(out, " {word}")?;
        }
        if !one.group.is_empty() {
            write!(out, " in group {}", one.group)?;
        }
        if one.elements > 0 {
            write!(out, ", {} elements", one.elements)?;
        }
        if one.failed > 0 {
            write!(out, ", {} failed", one.failed)?;
        }
        match one.count.saturating_sub(one.completed + one.failed) {
            0 => {}
            unfinished => write!(out, ", {unfinished} unfinished")?,
        }
        writeln!(out)?;
    }
    write_rest(out, collectives.len())
}

fn write_variables(out: &mut impl Write, variables: &[Variable]) -> io::Result<()> {
    if variables.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {:>10} {:>10} {:>10}  variables", "looks", "changes", "gradients")?;
    for variable in variables.iter().take(MOST_ROWS) {
        write!(
            out,
            "  {:>10} {:>10} {:>10}  {}",
            variable.looks, variable.changes, variable.gradients, variable.name
        )?;
        if !variable.shape.is_empty() {
            write!(out, " {}", variable.shape)?;
        }
        if variable.kind != "parameter" {
            write!(out, ", {}", variable.kind)?;
        }
        if variable.requires_grad == Some(false) && variable.kind == "parameter" {
            write!(out, ", requires no gradient")?;
        }
        if !variable.last.is_empty() {
            write!(out, ", {}", variable.last)?;
        }
        writeln!(out)?;
        if !variable.filled_by.is_empty() {
            writeln!(out, "  {:>32}    filled by {}", "", filled(&variable.filled_by))?;
        }
    }
    write_rest(out, variables.len())
}

/// What filled a parameter, with how often in a row.
fn filled(by: &[String]) -> String {
    let runs = by.chunk_by(|a, b| a == b).map(|run| match (run.len(), run.first()) {
        (_, None) => String::new(),
        (1, Some(by)) => by.clone(),
        (times, Some(by)) => format!("{by} ({times} times)"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

fn write_looks(out: &mut impl Write, process: &ProcessSummary) -> io::Result<()> {
    if process.looks.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {:>10}  looks at variables", "times")?;
    for look in process.looks.iter().take(MOST_ROWS) {
        let place = match (look.at.as_str(), look.at_entry) {
            ("", _) => "at the end of an iteration".to_owned(),
            (name, true) => format!("at the entry of {name}"),
            (name, false) => format!("at the return of {name}"),
        };
        writeln!(out, "  {:>10}  {place}", look.count)?;
    }
    write_rest(out, process.looks.len())
}

pub(super) fn write_rest(out: &mut impl Write, rows: usize) -> io::Result<()> {
    match rows.saturating_sub(MOST_ROWS) {
        0 => Ok(()),
        rest => writeln!(out, "  {:>10}  and {rest} more; --format json has them all", ""),
    }
}

fn row(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {title:<10} {text}")
}

fn known(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn size(process: &ProcessSummary) -> String {
    let mut text = format!(
        "{:.2} MB, {} events, {} states, {} arguments",
        process.bytes as f64 / 1e6,
        process.events,
        process.states,
        process.arguments
    );
    if let Some(bytes) = process.bytes_per_iteration {
        text += &format!("; {bytes:.0} bytes per iteration");
    }
    if let Some(bytes) = process.bytes_per_call {
        text += &format!(", {bytes:.1} per captured call");
    }
    text
}

/// A duration with three significant digits or so.
pub(super) fn time(ns: u64) -> String {
    let ns = ns as f64;
    if ns < 1e3 {
        format!("{ns} ns")
    } else if ns < 1e6 {
        format!("{:.1} us", ns / 1e3)
    } else if ns < 1e9 {
        format!("{:.2} ms", ns / 1e6)
    } else {
        format!("{:.2} s", ns / 1e9)
    }
}
