//! What was found out, for people.

use std::io::{self, Write};

use traincheck_analyzer::words::plural;

use crate::inspect::cost;

use super::{Examination, Hook, Program, Recorded, State};

/// Writes it.
///
/// # Errors
/// If it cannot be written.
pub fn write(out: &mut impl Write, examination: &Examination) -> io::Result<()> {
    match &examination.agent {
        Some(agent) if agent.version.is_empty() => row(out, "agent", &agent.path)?,
        Some(agent) => row(out, "agent", &format!("{}, {}", agent.version, agent.path))?,
        None => row(out, "agent", "not found")?,
    }
    match &examination.python {
        Some(python) => row(out, "python", &format!("{}, {}", python.version, python.executable))?,
        None => row(out, "python", "not found")?,
    }
    let torch = &examination.torch;
    row(out, "torch", if torch.is_empty() { "not found" } else { torch })?;
    if let Some(program) = &examination.program {
        write_program(out, program)?;
    }
    if !examination.hooks.is_empty() {
        writeln!(out)?;
        let width = examination.hooks.iter().map(|hook| hook.name.len()).max().unwrap_or(0);
        for hook in &examination.hooks {
            write_hook(out, hook, width)?;
        }
    }
    if examination.program.is_some() {
        writeln!(out)?;
        match &examination.recorded {
            Some(recorded) => write_recorded(out, recorded)?,
            None => row(
                out,
                "recorded",
                "nothing: no module was called with gradients, and no optimizer constructed",
            )?,
        }
    }
    writeln!(out)?;
    if examination.problems.is_empty() {
        return writeln!(out, "everything that can be hooked is hooked");
    }
    writeln!(out, "not all is hooked:")?;
    examination.problems.iter().try_for_each(|problem| writeln!(out, "  {problem}"))
}

fn write_program(out: &mut impl Write, program: &Program) -> io::Result<()> {
    row(out, "program", &program.command.join(" "))?;
    let code = program.exit_code;
    let signal = match code.checked_sub(128) {
        Some(signal) if signal > 0 => format!(" (signal {signal})"),
        _ => String::new(),
    };
    row(out, "ended", &format!("with exit status {code}{signal}"))?;
    match program.processes {
        0 | 1 => Ok(()),
        processes => row(out, "processes", &format!("{processes} imported PyTorch")),
    }
}

fn write_hook(out: &mut impl Write, hook: &Hook, width: usize) -> io::Result<()> {
    let (state, what) = match hook.state {
        State::On => ("on", &hook.how),
        State::Off => ("off", &hook.why),
        State::Blind => ("blind", &hook.how),
    };
    write!(out, "{:width$}  {state:<5}  {what}", hook.name)?;
    if !hook.seen.is_empty() {
        write!(out, "; {}", hook.seen)?;
    }
    writeln!(out)
}

fn write_recorded(out: &mut impl Write, recorded: &Recorded) -> io::Result<()> {
    let parts = [
        plural(u64::from(recorded.iterations), "iteration"),
        plural(u64::from(recorded.steps), "step"),
        plural(recorded.calls, "call"),
        plural(recorded.variables, "variable"),
        plural(recorded.ops, "op"),
    ];
    row(out, "recorded", &parts.join(", "))?;
    if recorded.thinned.is_empty() {
        row(out, "thinned", "nothing")?;
    }
    for thinned in &recorded.thinned {
        row(out, "thinned", &format!("{}, after {}", thinned.name, plural(thinned.after_calls, "call")))?;
    }
    if recorded.lost.is_empty() {
        row(out, "lost", "nothing")?;
    }
    for lost in &recorded.lost {
        let count = plural(lost.count, "record");
        row(out, "lost", &format!("{count} after iteration {}: {}", lost.after_iteration, lost.reason))?;
    }
    for damage in &recorded.damage {
        row(out, "damage", damage)?;
    }
    if recorded.cost.is_empty() {
        return row(out, "cost", "not known");
    }
    row(out, "cost", &cost::text(&recorded.cost))
}

fn row(out: &mut impl Write, title: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{title:<10} {text}")
}
