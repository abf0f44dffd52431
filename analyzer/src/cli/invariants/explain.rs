//! `traincheck invariants explain`: what one means, and what a violation of it would.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use traincheck_analyzer::cause::{Cause, Causes};
use traincheck_analyzer::explain;
use traincheck_analyzer::invariants::{Invariant, Invariants, Level};
use traincheck_analyzer::report::text::references;

use super::From;

/// How many causes are told in full.
const CAUSES: usize = 3;

/// The arguments of `traincheck invariants explain`.
#[derive(clap::Args)]
pub struct Args {
    /// Its id, or a prefix of it that is unique
    id: String,
    #[command(flatten)]
    from: From,
    /// File of causes in addition to the built-in ones
    #[arg(long, value_name = "FILE")]
    causes: Option<PathBuf>,
}

/// Prints it.
///
/// # Errors
/// If a file cannot be read, there is no such invariant, or the text cannot be written.
pub fn run(args: Args) -> Result<()> {
    let invariants = args.from.read()?;
    let invariant = args.from.one(&invariants, &args.id)?;
    let causes = Causes::read(args.causes.as_deref())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    text(invariant, &invariants, &causes, &mut out)?;
    out.flush()?;
    Ok(())
}

fn text(
    invariant: &Invariant,
    invariants: &Invariants,
    causes: &Causes,
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{}", invariant.id)?;
    writeln!(out, "{}.", invariant.text)?;
    writeln!(out, "{}.", references(invariant, invariants))?;
    match invariant.level {
        Level::Alarm => writeln!(out, "\nA violation is an alarm: `check` exits with 1.")?,
        Level::Notice => writeln!(out, "\nA violation is a notice: worth a look where something is wrong.")?,
    }
    let (proofs, symptoms): (Vec<_>, Vec<_>) =
        causes.possible(&invariant.claim).into_iter().partition(|(proof, _)| *proof);
    if proofs.is_empty() {
        writeln!(out, "A violation of it alone proves no known cause.")?;
    } else {
        writeln!(out, "It would speak for:")?;
    }
    for (_, cause) in proofs.iter().take(CAUSES) {
        tell(cause, out)?;
    }
    let others = proofs.iter().skip(CAUSES).chain(&symptoms);
    let others: Vec<String> = others.map(|(_, cause)| cause.id.clone()).collect();
    if !others.is_empty() {
        writeln!(out, "It may also come of: {}.", others.join(", "))?;
    }
    let (relation, is_of_library) = (invariant.claim.relation(), invariant.tried.is_some());
    // The guide speaks of what is learned.
    let how = if is_of_library {
        ", as it is learned of classes and functions; the library says it of any"
    } else {
        ""
    };
    writeln!(out, "\nThe relation `{}`{how}:", relation.word())?;
    for part in explain::relation_text(relation, is_of_library) {
        writeln!(out, "  {part}")?;
    }
    Ok(())
}

fn tell(cause: &Cause, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "- {} ({}).\n  Try: {}", cause.title, cause.id, cause.advice)?;
    match &cause.link {
        Some(link) => writeln!(out, "  See: {link}"),
        None => Ok(()),
    }
}
