//! `traincheck run`: records a command and says what is wrong with its training.

use std::process::ExitCode;

use anyhow::Result;

use super::{check, collect};

/// The arguments of `traincheck run`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits as the command does if that fails. Else with 0 if its run is clean, 1 if it raises alarms, and 2 \
                        if there is no verdict, or nothing trained; 125 if the agent or the command could not be started."
)]
pub struct Args {
    #[command(flatten)]
    by: check::By,
    #[command(flatten)]
    collect: collect::Args,
}

/// Records the command and checks the run.
///
/// # Errors
/// If the report cannot be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    let recorded = collect::record(args.collect);
    let Some(run) = recorded.run else {
        let code = if recorded.succeeded { ExitCode::from(super::EXIT_TROUBLE) } else { recorded.code };
        return Ok(code);
    };
    let verdict = check::check(&run, args.by)?;
    // A job that failed may have failed for what was found; its own exit code says more to whoever waits for it.
    Ok(if recorded.succeeded { verdict } else { recorded.code })
}
