//! `traincheck invariants suppress`: writes into a file what `check` is not to count.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use traincheck_analyzer::invariants::Invariant;
use traincheck_analyzer::select::Choice;
use traincheck_analyzer::suppress::{self, FILE_NAME, Suppression};

use super::From;

/// How many of the invariants concerned are named.
const SHOWN: usize = 5;

/// The arguments of `traincheck invariants suppress`.
#[derive(clap::Args)]
#[command(
    after_help = "In patterns `*` stands for any text; they have to fit as a whole. Of several patterns all have to \
                  fit. What is suppressed already gets the new reason and day."
)]
pub struct Args {
    /// Id of an invariant, or a unique prefix of it; with a `*`: a pattern of texts
    #[arg(value_name = "ID|PATTERN", required_unless_present_any = ["relation", "function", "variable", "text"])]
    what: Option<String>,
    /// The reason; every report shows it
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The last day on which it applies (UTC) [default: no end]
    #[arg(long, value_name = "YYYY-MM-DD")]
    until: Option<String>,
    /// All of a relation
    #[arg(long, value_name = "NAME")]
    relation: Option<String>,
    /// All that name a function or class
    #[arg(long, value_name = "PATTERN")]
    function: Option<String>,
    /// All that name a variable
    #[arg(long, value_name = "PATTERN")]
    variable: Option<String>,
    /// All with this text
    #[arg(long, value_name = "PATTERN")]
    text: Option<String>,
    #[command(flatten)]
    from: From,
    /// File to write into [default: traincheck-suppressions.toml beside the invariants, or here]
    #[arg(short, long, value_name = "FILE")]
    suppressions: Option<PathBuf>,
}

/// Writes it, and says what it is about.
///
/// # Errors
/// If it is about nothing, or a file cannot be read or written.
pub fn run(args: Args) -> Result<()> {
    let invariants = args.from.read()?;
    if args.reason.trim().is_empty() {
        bail!("--reason: it is empty; say why it is suppressed");
    }
    let until = args.until.map(|day| suppress::day(&day)).transpose();
    let until = until.map_err(|what| anyhow!("--until: {what}"))?;
    let (pattern, prefix) = match args.what {
        Some(what) if what.contains('*') => (Some(what), None),
        what => (None, what),
    };
    if pattern.is_some() && args.text.is_some() {
        bail!("two patterns of texts were given");
    }
    // In full: what is unique now need not be later.
    let id =
        prefix.map(|prefix| args.from.one(&invariants, &prefix).map(|one| one.id.clone())).transpose()?;
    let text = args.text.or(pattern);
    let choice = Choice {
        relation: args.relation,
        level: None,
        function: args.function,
        variable: args.variable,
        text,
    };
    let suppression = Suppression { id, choice, reason: args.reason, until, line: 0 };
    let concerned: Vec<&Invariant> = invariants
        .invariants
        .iter()
        .filter(|invariant| suppression.id.as_ref().is_none_or(|id| *id == invariant.id))
        .filter(|invariant| suppression.choice.takes(invariant))
        .collect();
    if concerned.is_empty() {
        bail!(
            "no invariant fits {suppression}; `traincheck invariants list` with the same -i shows what there is"
        );
    }
    let beside = args.from.invariants.as_deref().unwrap_or(Path::new(""));
    let file = args.suppressions.unwrap_or_else(|| beside.with_file_name(FILE_NAME));
    let again = suppress::add(&file, &suppression)?;
    let done = if again { "changed" } else { "added" };
    let of = if concerned.len() == 1 { "invariant" } else { "invariants" };
    println!("{}: {done}; {} {of} suppressed:", file.display(), concerned.len());
    for invariant in concerned.iter().take(SHOWN) {
        println!("  {} {}", invariant.id, invariant.text);
    }
    if concerned.len() > SHOWN {
        println!("  ({} more)", concerned.len() - SHOWN);
    }
    Ok(())
}
