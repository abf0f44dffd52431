//! `traincheck hang`: says where the ranks of a job hang, or which collective they do not agree in.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use traincheck_analyzer::hang::text;
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_schema::run::Run;

use super::format::{self, Format};
use super::progress::Bar;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck hang`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if all ranks did the same and nothing is pending, 1 if some collective was not entered by all, is not \
                        the same on all or has not ended, and 2 if the run cannot be read, is damaged or has no ranks."
)]
pub struct Args {
    /// Folder of the run: of a job that was killed, or one that hangs yet
    run: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Reads the run and prints where it hangs; the exit code says whether it does.
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
    let hang = runs::hang(&run, &progress);
    drop(bar);
    if hang.ranks.is_empty() {
        complain_of([format!(
            "{}: no process of this run has a rank; was it launched with torchrun, or did it call init_process_group?",
            args.run.display()
        )]);
        return Ok(ExitCode::from(EXIT_TROUBLE));
    }
    let name = runs::name(&run.folder);
    let value = json!({"format": "traincheck-hang", "version": 1, "run": name, "hang": hang});
    format::print(args.format, &value, |_, out| {
        let mut written = String::new();
        text::write(&name, &hang, &mut written).map_err(io::Error::other)?;
        out.write_all(written.as_bytes())
    })?;
    Ok(ExitCode::from(if hang.is_damaged() { EXIT_TROUBLE } else { u8::from(hang.is_found()) }))
}
