//! `traincheck inspect`: shows what a run holds.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use traincheck_analyzer::run_source::Progress;
use traincheck_schema::run::Run;

use super::format::{self, Format};
use super::progress::Bar;
use super::trouble::EXIT_TROUBLE;
use crate::inspect::{Summary, text};

/// The arguments of `traincheck inspect`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder of the run
    run: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints the summary of a run. What is damaged is named on stderr, and the rest is shown all the same.
pub fn run(args: Args) -> Result<ExitCode> {
    let run = Run::open(&args.run)?;
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    let summary = Summary::of(&run, &progress);
    drop(bar);
    format::print(args.format, &summary, |summary, mut out| text::write(&mut out, summary))?;
    let mut whole = true;
    for damage in summary.processes.iter().flat_map(|process| &process.damage) {
        eprintln!("traincheck: {damage}");
        whole = false;
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(EXIT_TROUBLE) })
}
