//! `traincheck stragglers`: says which rank of a job the others wait for, since when, and what it costs.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::stragglers::text;
use traincheck_schema::run::Run;

use super::format::{self, Format};
use super::progress::Bar;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck stragglers`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0, whoever was slow, and with 2 if the run cannot be read or has fewer than two ranks."
)]
pub struct Args {
    /// Folder of the run
    run: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Reads the run and prints how long its ranks waited for one another.
///
/// # Errors
/// If nothing can be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    let run = match Run::open(&args.run) {
        Ok(run) => run,
        Err(error) => {
            complain_of([error.to_string()]);
            return Ok(ExitCode::from(EXIT_TROUBLE));
        }
    };
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    let found = runs::stragglers(&run, &progress);
    drop(bar);
    if found.ranks.len() < 2 {
        let why = found.note.unwrap_or_else(|| {
            "fewer than two processes of this run have a rank; was it launched with torchrun, did it call init_process_group, or \
             has the job one rank?"
                .to_owned()
        });
        complain_of([format!("{}: {why}", args.run.display())]);
        return Ok(ExitCode::from(EXIT_TROUBLE));
    }
    let name = runs::name(&run.folder);
    let value = json!({"format": "traincheck-stragglers", "version": 1, "run": name, "stragglers": found});
    format::print(args.format, &value, |_, out| {
        let mut written = String::new();
        text::write(&name, &found, &mut written).map_err(io::Error::other)?;
        out.write_all(written.as_bytes())
    })?;
    Ok(ExitCode::SUCCESS)
}
