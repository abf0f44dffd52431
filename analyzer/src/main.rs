//! The `traincheck` command.
mod calendar;
mod cli;
mod doctor;
mod inspect;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
