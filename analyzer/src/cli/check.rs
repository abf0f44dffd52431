//! `traincheck check`: checks a finished run and says what is wrong with it.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use traincheck_analyzer::cause::Causes;
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::library;
use traincheck_analyzer::report::{Report, configured, json, text};
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::suppress::{FILE_NAME, Suppressions};
use traincheck_analyzer::table::ReadTableError;

use super::progress::Bar;
use crate::calendar;

/// Exit code for bad input.
const EXIT_BAD_INPUT: u8 = 2;

/// The arguments of `traincheck check`.
#[derive(clap::Args)]
#[command(
    after_help = "Exits with 0 if the run is clean, 1 if it raises alarms, and 2 if there is no verdict: the \
                        input is bad or damaged, no alarm-level invariant was triggered, or more than half of them \
                        are undecided, because the run is too short or too much of it was not recorded."
)]
pub struct Args {
    /// Folder of the run to check
    run: PathBuf,
    #[command(flatten)]
    by: By,
}

/// What to check by, and how to print what is found.
#[derive(clap::Args)]
pub struct By {
    /// File of invariants, as `traincheck infer` writes it, in addition to those of the library
    #[arg(short, long, value_name = "FILE")]
    invariants: Option<PathBuf>,
    /// Check by the file of invariants alone
    #[arg(long, requires = "invariants")]
    no_library: bool,
    /// File of suppressions [default: traincheck-suppressions.toml beside the invariants, or here, if there is one]
    #[arg(short, long, value_name = "FILE")]
    suppressions: Option<PathBuf>,
    /// File of causes in addition to the built-in ones, in the form of analyzer/src/causes.toml
    #[arg(long, value_name = "FILE")]
    causes: Option<PathBuf>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show notices in full, not only how many there are
    #[arg(long)]
    notices: bool,
    /// List how every invariant ended
    #[arg(long)]
    all: bool,
    /// Number of threads, of which no more than four per core are used; 0 uses one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: docs/findings-schema.json
    Json,
}

/// Checks the run; the exit code is the verdict.
///
/// # Errors
/// If the report cannot be printed.
pub fn run(args: Args) -> Result<ExitCode> {
    check(&args.run, args.by)
}

/// Checks a run; the exit code is the verdict.
///
/// # Errors
/// If the report cannot be printed.
pub(super) fn check(run: &Path, args: By) -> Result<ExitCode> {
    runs::set_threads(args.threads);
    let invariants = args.invariants.as_deref().map(Invariants::read).transpose();
    let invariants = invariants.map_err(|error| vec![error.to_string()]);
    let opened = runs::open_all(&[run.to_owned()]);
    let suppressions = suppressions(&args).map_err(|error| vec![error.to_string()]);
    let causes = Causes::read(args.causes.as_deref()).map_err(|error| vec![error.to_string()]);
    let (invariants, opened, suppressions, causes) = match (invariants, opened, suppressions, causes) {
        (Ok(invariants), Ok(opened), Ok(suppressions), Ok(causes)) => {
            (invariants, opened, suppressions, causes)
        }
        (invariants, opened, suppressions, causes) => {
            let bad = [opened.err(), invariants.err(), suppressions.err(), causes.err()];
            bad.into_iter().flatten().flatten().for_each(|line| eprintln!("traincheck: {line}"));
            return Ok(ExitCode::from(EXIT_BAD_INPUT));
        }
    };
    let today = calendar::today();
    let mut code = 0;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for run in &opened {
        let program = runs::program(run);
        let learned = invariants.as_ref().map(|learned| learned.for_program(program));
        let mut invariants = learned.map(Cow::into_owned).unwrap_or_default();
        if !args.no_library {
            library::built_in().join(&mut invariants, program);
        }
        let progress = Progress::default();
        let bar = Bar::over(&progress);
        let checked = runs::check(run, &invariants, &progress);
        drop(bar);
        let explained =
            configured::explained(&invariants, &checked, runs::program(run), runs::arguments(run));
        let invariants = configured::lowered(invariants, &explained);
        let judged = suppressions.as_ref().map(|suppressions| suppressions.judge(&invariants, &today));
        let mut report = Report::judged(runs::name(&run.folder), &invariants, &checked, &causes, judged);
        report.explained = explained;
        match args.format {
            Format::Text => {
                let mut page = String::new();
                text::write(&report, args.notices, &mut page)?;
                if args.all {
                    page.push('\n');
                    text::write_statuses(&report, &mut page)?;
                }
                out.write_all(page.as_bytes())?;
            }
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &json::value(&report)).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        code = code.max(report.verdict.exit_code());
    }
    out.flush()?;
    Ok(ExitCode::from(code))
}

/// Those of the file that is named, else of the one that lies beside the invariants, if there is one.
fn suppressions(args: &By) -> Result<Option<Suppressions>, ReadTableError> {
    let beside = args.invariants.as_deref().unwrap_or(Path::new("")).with_file_name(FILE_NAME);
    match &args.suppressions {
        Some(path) => Suppressions::read(path).map(Some),
        None if beside.exists() => Suppressions::read(&beside).map(Some),
        None => Ok(None),
    }
}
