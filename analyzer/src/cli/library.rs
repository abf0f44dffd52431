//! `traincheck library`: makes a library of invariants that name nothing of a program.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use traincheck_analyzer::invariants::Level;
use traincheck_analyzer::library::levels::BUDGET;
use traincheck_analyzer::library::measure::{Tryout, add_ranks, library};
use traincheck_analyzer::library::{Library, Origin};
use traincheck_analyzer::run_source::Progress;
use traincheck_analyzer::runs;
use traincheck_analyzer::words::printable;

use super::progress::Bar;
use super::share::share;
use super::threads::threads;
use super::trouble::{EXIT_TROUBLE, complain_of};

/// The arguments of `traincheck library`.
#[derive(clap::Args)]
#[command(
    after_help = "A corpus is a folder with a folder for each program, and in that one for each of its runs: other \
                        configurations, other seeds. All of them have to be known to be good. A program's folder may have a \
                        file program.json, `{\"kind\": \"language\", \"packages\": {\"transformers\": \"4.57.1\"}}`: then the library says of \
                        the program what it is, and of each claim in how many runs of which kind it came up."
)]
pub struct Args {
    /// Folders of corpora
    #[arg(required = true, value_name = "CORPUS")]
    corpora: Vec<PathBuf>,
    /// File to write the library to
    #[arg(short, long, value_name = "FILE", default_value = "general.json")]
    output: PathBuf,
    /// Takes this library and adds only what jobs of several ranks bear out of claims over ranks; what it says of one
    /// process alone stays
    #[arg(long, value_name = "LIBRARY")]
    add_ranks_to: Option<PathBuf>,
    /// The share of runs that may have a false alarm
    #[arg(long, value_name = "SHARE", default_value_t = BUDGET, value_parser = share, allow_negative_numbers = true)]
    alarm_budget: f64,
    /// Number of threads, of which no more than four per core are used; 0 uses one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads, allow_negative_numbers = true)]
    threads: usize,
}

/// Reads the runs, writes the file and prints how the library fared.
///
/// # Errors
/// If a folder or run cannot be read, or the file cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    runs::set_threads(args.threads);
    let mut tryouts = Vec::new();
    let progress = Progress::default();
    let bar = Bar::over(&progress);
    for corpus in &args.corpora {
        let before = tryouts.len();
        for program in folders(corpus)? {
            let origin = origin(&program)?;
            let runs = folders(&program)?;
            let opened = match runs::open_all(&runs) {
                Ok(opened) => opened,
                Err(bad) => {
                    complain_of(bad);
                    return Ok(ExitCode::from(EXIT_TROUBLE));
                }
            };
            for run in &opened {
                let (sketch, damage) = runs::sketch(std::slice::from_ref(run), &progress)?;
                if let Some(damage) = damage.first() {
                    bail!("{}: {damage}", run.folder.display());
                }
                for mut reference in sketch.into_references() {
                    reference.evidence.subjects.clear();
                    tryouts.push(Tryout {
                        program: last(&program),
                        origin: origin.clone(),
                        run: last(&run.folder),
                        iterations: reference.run.iterations,
                        evidence: reference.evidence,
                    });
                }
            }
        }
        if tryouts.len() == before {
            bail!(
                "{}: no run in this corpus; it needs a folder for each program, and in that one for each of its runs",
                corpus.display()
            );
        }
    }
    drop(bar);
    let (library, false_alarms) = match &args.add_ranks_to {
        None => library(tryouts, args.alarm_budget),
        Some(path) => {
            let before = Library::read(path)?;
            add_ranks(before, tryouts, args.alarm_budget).with_context(|| path.display().to_string())?
        }
    };
    library
        .write(&args.output)
        .with_context(|| format!("{}: cannot write the library", args.output.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in &library.claims {
        let level = if entry.level == Level::Alarm { "alarm" } else { "notice" };
        let tried = &entry.tried;
        let broken: Vec<String> =
            tried.broken.iter().map(|(program, runs)| format!("{} ({runs})", printable(program))).collect();
        let broken =
            if broken.is_empty() { String::new() } else { format!("; broken by {}", broken.join(", ")) };
        let kinds: Vec<String> =
            tried.kinds.iter().map(|(kind, runs)| format!("{} {runs}", printable(kind))).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
        writeln!(
            out,
            "{level:6}  {} runs of {} programs{kinds}{broken}  {}",
            tried.runs, tried.programs, entry.text
        )?;
    }
    writeln!(out, "\nEach program by what the others bear out:")?;
    for (run, claims) in &false_alarms {
        for claim in claims {
            writeln!(out, "  {}: {}", printable(run), claim.text())?;
        }
    }
    let measured = &library.measured;
    writeln!(
        out,
        "{} of {} runs of {} programs raise an alarm; at most {:.1} % (95 %).",
        measured.alarms,
        measured.runs,
        library.programs.len(),
        measured.upper_bound * 100.0
    )?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What the file beside a program's runs says of it, if there is one.
fn origin(program: &Path) -> Result<Option<Origin>> {
    let path = program.join("program.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("{}: cannot read it", path.display()))?;
    let form = "not what a program is: {\"kind\": TEXT, \"packages\": {NAME: VERSION}}";
    serde_json::from_str(&text).map(Some).with_context(|| format!("{}: {form}", path.display()))
}

/// The last part of a path as it was given: a link is not followed.
fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folders in a folder, by name.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        folder.read_dir().with_context(|| format!("{}: cannot read the corpus", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    let mut folders: Vec<PathBuf> = paths.into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}
