//! `traincheck invariants list`: one line each.

use std::io::{self, Write};

use anyhow::Result;
use traincheck_analyzer::invariants::Invariant;
use traincheck_analyzer::select::Choice;

use super::{Format, From, LevelName, level_word};

/// The arguments of `traincheck invariants list`.
#[derive(clap::Args)]
#[command(
    after_help = "Functions, variables and texts are looked for as parts, or as a whole where a `*` in them \
                        stands for any text."
)]
pub struct Args {
    #[command(flatten)]
    from: From,
    /// Those of a relation
    #[arg(long, value_name = "NAME")]
    relation: Option<String>,
    /// Those of a level
    #[arg(long, value_enum)]
    level: Option<LevelName>,
    /// Those that name a function or class
    #[arg(long, value_name = "PATTERN")]
    function: Option<String>,
    /// Those that name a variable
    #[arg(long, value_name = "PATTERN")]
    variable: Option<String>,
    /// Those with this text
    #[arg(long, value_name = "PATTERN")]
    text: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints them; alarms first.
///
/// # Errors
/// If the file cannot be read, or the list not written.
pub fn run(args: Args) -> Result<()> {
    let invariants = args.from.read()?;
    let part = |pattern: Option<String>| {
        pattern.map(|text| if text.contains('*') { text } else { format!("*{text}*") })
    };
    let choice = Choice {
        relation: args.relation,
        level: args.level.map(LevelName::level),
        function: part(args.function),
        variable: part(args.variable),
        text: part(args.text),
    };
    let mut chosen: Vec<&Invariant> =
        invariants.invariants.iter().filter(|invariant| choice.takes(invariant)).collect();
    chosen.sort_by_key(|invariant| {
        (invariant.level, invariant.claim.relation(), &invariant.text, &invariant.id)
    });
    let mut out = io::BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Text => {
            let longest = chosen.iter().map(|invariant| invariant.id.len()).max().unwrap_or_default();
            for Invariant { id, level, text, .. } in &chosen {
                writeln!(out, "{id:longest$}  {:6}  {text}", level_word(*level))?;
            }
            writeln!(out, "{} of {} invariants.", chosen.len(), invariants.invariants.len())?;
        }
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &chosen).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(())
}
