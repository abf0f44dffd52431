//! `traincheck infer`: learns invariants from runs that are known to be good.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use traincheck_analyzer::ranks::Ranks;
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::words::printable;

use super::learn::Learn;
use super::progress::Bar;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck infer`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if the file was written, and with 2 if it was not: a run cannot be read, is damaged, or \
                        was given twice."
)]
pub struct Args {
    /// Folders of runs that are known to be good; two or more that differ in what may vary
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Learn from runs that are damaged, too: from what of them is whole
    #[arg(long)]
    damaged: bool,
    #[command(flatten)]
    learn: Learn,
}

/// Reads the runs and writes the file.
///
/// # Errors
/// If the file cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    runs::set_threads(args.learn.threads);
    let library = args.learn.library.read().map_err(|error| vec![error.to_string()]);
    let (opened, library) = match (runs::open_all(&args.runs), library) {
        (Ok(opened), Ok(library)) => (opened, library),
        (opened, library) => {
            complain_of([opened.err(), library.err()].into_iter().flatten().flatten());
            return Ok(ExitCode::from(EXIT_TROUBLE));
        }
    };
    let twice = runs::given_twice(&opened);
    if !twice.is_empty() {
        complain_of(twice);
        return Ok(ExitCode::from(EXIT_TROUBLE));
    }
    for run in &opened {
        let name = || printable(&runs::name(&run.folder));
        match Ranks::of(run) {
            Ranks::Incomparable(why) => {
                eprintln!("traincheck: {}: nothing is learned of its ranks together: {why}", name());
            }
            Ranks::Job(attempt) => {
                if let Some(what) = attempt.left_out() {
                    eprintln!("traincheck: {}: {what}", name());
                }
            }
            Ranks::Alone => {}
        }
    }
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    let (sketch, damage) = runs::sketch(&opened, &progress)?;
    drop(bar);
    damage.iter().for_each(|damage| eprintln!("traincheck: {damage}"));
    if !damage.is_empty() && !args.damaged {
        eprintln!(
            "traincheck: nothing was learned, because a run is damaged or ends before its job; leave it out, restore it, \
             or learn from what of it is whole with --damaged"
        );
        return Ok(ExitCode::from(EXIT_TROUBLE));
    }
    args.learn.finish(sketch, &library)?;
    Ok(ExitCode::SUCCESS)
}
