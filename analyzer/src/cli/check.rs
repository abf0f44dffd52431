//! `traincheck check`: checks a finished run and says what is wrong with it.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use traincheck_analyzer::difference::Difference;
use traincheck_analyzer::library::levels;
use traincheck_analyzer::report::{Report, configured};
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_schema::run::{EndInfo, Run};

use super::by::{Basis, By};
use super::progress::Bar;
use super::trouble::{EXIT_TROUBLE, complain_of};
use crate::calendar;

/// The arguments of `traincheck check`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if the run is clean, 1 if it raises alarms, and 2 if there is no verdict: the \
                        input or usage is bad, the run is damaged, no alarm-level invariant was triggered, or more than half of them \
                        are undecided, because the run is too short or too much of it was not recorded."
)]
pub struct Args {
    /// Folder of the run to check
    run: PathBuf,
    #[command(flatten)]
    by: By,
}

/// Checks the run; the exit code is the verdict.
///
/// # Errors
/// If the report cannot be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    match (Run::open(&args.run).map_err(|error| vec![error.to_string()]), args.by.read()) {
        (Ok(run), Ok(basis)) => {
            let ended = run.info.as_ref().and_then(|info| info.ended);
            check(&run, ended, &args.by, &basis)
        }
        (run, basis) => {
            complain_of([run.err(), basis.err()].into_iter().flatten().flatten());
            Ok(ExitCode::from(EXIT_TROUBLE))
        }
    }
}

/// Checks a run, of which is known how its command `ended`; the exit code is the verdict.
///
/// # Errors
/// If the report cannot be printed.
pub(super) fn check(run: &Run, ended: Option<EndInfo>, by: &By, basis: &Basis) -> Result<ExitCode> {
    runs::set_threads(by.threads);
    let program = runs::program(run);
    let program = program.as_deref();
    let learned = basis.learned.as_ref().map(|learned| learned.for_program(program).into_owned());
    let mut invariants = learned.unwrap_or_default();
    let difference = (!invariants.runs.is_empty())
        .then(|| Difference::of(program, runs::arguments(run), &invariants.runs));
    let measured =
        difference.map(|difference| levels::built_in().apply(&mut invariants, difference, by.alarm_budget));
    match &basis.library {
        Some(library) => library.join(&mut invariants, program),
        None => invariants.excused.clear(),
    }
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    let checked = runs::check(run, &invariants, &progress);
    drop(bar);
    let explained = configured::explained(&invariants, &checked, program, runs::arguments(run));
    let invariants = configured::lowered(invariants, &explained);
    let today = calendar::today();
    let judged = basis.suppressions.as_ref().map(|suppressions| suppressions.judge(&invariants, &today));
    let mut report = Report::judged(runs::name(&run.folder), &invariants, &checked, &basis.causes, judged);
    (report.from, report.ended) = (by.options(), ended);
    (report.explained, report.measured) = (explained, measured);
    match by.print(&report, &run.folder) {
        // Whoever closed the pipe has seen enough; the verdict is what it is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed?,
    }
    Ok(ExitCode::from(report.verdict.exit_code()))
}
