//! The `traincheck` command.
mod cli;
mod inspect;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
