//! The `traincheck` command.
mod cli;
mod doctor;
mod inspect;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
