//! `traincheck infer`: learns invariants from runs that are known to be good.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use traincheck_analyzer::infer::{Learned, learn, reasons};
use traincheck_analyzer::invariants::{Excuse, Invariants, count_by_relation};
use traincheck_analyzer::library::levels::{self, BUDGET};
use traincheck_analyzer::program;
use traincheck_analyzer::ranks::Ranks;
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::whole_file;
use traincheck_analyzer::words::{plural, printable};

use super::library_file::LibraryFile;
use super::progress::Bar;
use super::threads::threads;
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
    /// File to write the invariants to
    #[arg(short, long, value_name = "FILE", default_value = "invariants.json")]
    output: PathBuf,
    #[command(flatten)]
    library: LibraryFile,
    /// Learn from runs that are damaged, too: from what of them is whole
    #[arg(long)]
    damaged: bool,
    /// Number of threads, of which no more than four per core are used; 0 uses one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads, allow_negative_numbers = true)]
    threads: usize,
    /// Print, for every claim that was rejected or is only a notice, the rule that decided it, and where measured rates decide
    /// otherwise: one line each, on stdout or in FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    explain: Option<PathBuf>,
}

/// Reads the runs and writes the file.
///
/// # Errors
/// If the file cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    runs::set_threads(args.threads);
    let library = args.library.read().map_err(|error| vec![error.to_string()]);
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
    if opened.len() == 1 {
        eprintln!(
            "traincheck: learning from one run only: what it has by chance becomes an invariant; give two or more"
        );
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
    let references = sketch.into_references();
    let excused = library.excused_by(&references);
    let mut learned = learn(references);
    learned.invariants.excused = excused;
    let invariants = &learned.invariants;
    for run in invariants.runs.iter().filter(|run| run.iterations == 0) {
        eprintln!("traincheck: {}: nothing was trained in this run", printable(&run.name));
    }
    for run in invariants.runs.iter().filter(|run| run.torn) {
        eprintln!(
            "traincheck: {}: torn, it was not sealed, as after a kill; what it holds was read",
            printable(&run.name)
        );
    }
    invariants
        .write(&args.output)
        .with_context(|| format!("{}: cannot write the invariants", args.output.display()))?;
    if let Some(file) = &args.explain {
        write_explanation(&learned, file)?;
    }
    sum_up(invariants, &args.output)?;
    Ok(ExitCode::SUCCESS)
}

/// How much was learned, and what of the library will not count.
fn sum_up(invariants: &Invariants, file: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let counts = count_by_relation(&invariants.invariants);
    let alarms: usize = counts.iter().map(|(_, alarms, _)| alarms).sum();
    let notices: usize = counts.iter().map(|(_, _, notices)| notices).sum();
    writeln!(
        out,
        "{}: {alarms} alarm-level and {notices} notice-level invariants from {} {}",
        file.display(),
        invariants.runs.len(),
        if invariants.runs.len() == 1 { "run" } else { "runs" },
    )?;
    let excused = &invariants.excused;
    if !excused.is_empty() {
        let count = plural(excused.len() as u64, "invariant");
        writeln!(
            out,
            "These runs break {count} of the library, which therefore will not count with this file:"
        )?;
    }
    let of_one = invariants.is_of_one_program();
    for Excuse { id, text, programs } in excused {
        let name = |program: Option<&str>| program.map_or("a program without a name".into(), program::shown);
        let programs: Vec<Option<&str>> = programs.iter().map(Option::as_deref).collect();
        let mut seen = BTreeSet::new();
        let once =
            programs.iter().zip(program::numbered(&programs)).filter(|(_, number)| seen.insert(*number));
        let names: Vec<String> = once.map(|(program, _)| printable(&name(*program))).collect();
        let of = if of_one { String::new() } else { format!(" (for {})", names.join(", ")) };
        writeln!(out, "  {id}  {text}{of}")?;
    }
    Ok(())
}

fn write_explanation(learned: &Learned, file: &Path) -> Result<()> {
    let mut text = String::new();
    let levels = levels::built_in().decide(BUDGET);
    reasons::write(learned, |invariant| levels.text(invariant), &mut text)?;
    if file == Path::new("-") {
        io::stdout().write_all(text.as_bytes())?;
        return Ok(());
    }
    whole_file::write(file, text.as_bytes())
        .with_context(|| format!("{}: cannot write the explanation", file.display()))
}
