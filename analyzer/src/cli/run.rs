//! `traincheck run`: records a command and says what is wrong with its training.

use std::process::ExitCode;

use anyhow::Result;
use traincheck_schema::run::Run;

use super::by::By;
use super::trouble::{EXIT_TROUBLE, complain, complain_of};
use super::{check, collect};

/// The arguments of `traincheck run`.
#[derive(clap::Args)]
#[command(
    after_help = "Example: traincheck run -- python train.py\n\nThe report comes on stdout, behind what the command prints there. A \
                        program that reads it needs it alone: --format json --report FILE.\n\nExits as the command does if that fails. Else with 0 if \
                        its run is clean, 1 if it raises alarms, and 2 if there is no verdict, or nothing was recorded; with \
                        2 before the command starts if a file or setting is wrong, and with 125 if the agent or the \
                        command could not be started, or the folder of -o cannot be recorded into: it is a file, \
                        something is in it, or it cannot be made or written."
)]
pub struct Args {
    #[command(flatten, next_help_heading = "What to check by")]
    by: By,
    #[command(flatten, next_help_heading = "What to record")]
    collect: collect::Args,
}

/// Records the command and checks the run.
///
/// # Errors
/// If the report of a command that succeeded cannot be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    let basis = match args.by.read() {
        Ok(basis) => basis,
        Err(bad) => {
            complain_of(bad);
            return Ok(ExitCode::from(EXIT_TROUBLE));
        }
    };
    let recorded = collect::record(args.collect);
    let verdict = match recorded.folder {
        Some(folder) if recorded.recorded => Run::open(&folder)
            .map_err(Into::into)
            .and_then(|run| check::check(&run, recorded.ended, &args.by, &basis)),
        // Whoever waits for the file is to find there why there is no verdict. On stderr it has been said.
        Some(folder) if args.by.writes_a_file() => {
            let nothing = Run { folder, info: None, processes: Vec::new() };
            check::check(&nothing, recorded.ended, &args.by, &basis)
        }
        _ => Ok(ExitCode::from(EXIT_TROUBLE)),
    };
    // A job that failed may have failed for what was found; its own exit code says more to whoever waits for it.
    if recorded.succeeded {
        return verdict;
    }
    if let Err(error) = verdict {
        complain(&error);
    }
    Ok(recorded.code)
}
