//! `traincheck invariants show`: all about one.

use std::io::{self, Write};

use anyhow::Result;
use traincheck_analyzer::explain;
use traincheck_analyzer::invariants::{Evidence, Invariant, Invariants};
use traincheck_analyzer::report::text::references;
use traincheck_analyzer::words::printable;

use super::{Format, From};

/// The arguments of `traincheck invariants show`.
#[derive(clap::Args)]
pub struct Args {
    /// Its id, or a prefix of it that is unique
    id: String,
    #[command(flatten)]
    from: From,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints it.
///
/// # Errors
/// If the file cannot be read, has no such invariant, or the text cannot be written.
pub fn run(args: Args) -> Result<()> {
    let invariants = args.from.read()?;
    let invariant = args.from.one(&invariants, &args.id)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Text => text(invariant, &invariants, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, invariant).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn text(invariant: &Invariant, invariants: &Invariants, out: &mut impl Write) -> io::Result<()> {
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    writeln!(out, "{}", invariant.id)?;
    writeln!(out, "{}.", invariant.text)?;
    writeln!(out, "\nRelation: {}", invariant.claim.relation().word())?;
    writeln!(out, "Subject: {}", json(serde_json::to_string(&invariant.claim.subject())))?;
    writeln!(out, "Outcome: {}", json(serde_json::to_string(&invariant.claim.outcome())))?;
    match invariant.precondition.text() {
        None => writeln!(out, "Precondition: none, it holds everywhere")?,
        Some(condition) => writeln!(out, "Precondition: {condition}")?,
    }
    writeln!(out, "Level: {}", explain::level_text(invariant, invariants))?;
    if invariant.tried.is_some() {
        return writeln!(out, "\n{}.", references(invariant, invariants));
    }
    writeln!(out, "\nIn the reference runs:")?;
    for (run, evidence) in invariants.runs.iter().zip(&invariant.evidence) {
        let Evidence { positive, negative, undecided, .. } = evidence;
        write!(out, "  {}: held {positive} times", printable(&run.name))?;
        if *negative > 0 {
            write!(out, "; {negative} times it did not, where the precondition does not hold")?;
        }
        if *undecided > 0 {
            write!(out, "; {undecided} times there was no verdict")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
