//! What becomes of what was counted, and what is said of it: invariants, or a sketch that is merged with others.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use traincheck_analyzer::infer::{self, Learned, reasons};
use traincheck_analyzer::invariants::{Excuse, Invariants, count_by_relation};
use traincheck_analyzer::library::Library;
use traincheck_analyzer::library::levels::{self, BUDGET};
use traincheck_analyzer::program;
use traincheck_analyzer::sketch::Sketch;
use traincheck_analyzer::whole_file;
use traincheck_analyzer::words::{plural, printable};

use super::library_file::LibraryFile;
use super::threads::threads;

/// What to make of it.
#[derive(clap::Args)]
pub struct Learn {
    /// File to write the invariants to; with --partial the sketch, where runs.sketch is the default
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "invariants.json",
        default_value_if("partial", "true", "runs.sketch")
    )]
    output: PathBuf,
    /// Learn nothing yet: write a sketch, what was counted of the runs, for `traincheck merge`
    #[arg(long, conflicts_with_all = ["library", "explain"])]
    partial: bool,
    #[command(flatten)]
    pub library: LibraryFile,
    /// Number of threads, of which no more than four per core are used; 0 uses one per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads, allow_negative_numbers = true)]
    pub threads: usize,
    /// Print, for every claim that was rejected or is only a notice, the rule that decided it, and where measured rates decide
    /// otherwise: one line each, on stdout or in FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    explain: Option<PathBuf>,
}

impl Learn {
    /// Learns from the runs and writes the file, or writes the sketch.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(&self, sketch: Sketch, library: &Library) -> Result<()> {
        let runs = sketch.runs();
        for run in runs.iter().filter(|run| run.iterations == 0) {
            eprintln!("traincheck: {}: nothing was trained in this run", printable(&run.name));
        }
        for run in runs.iter().filter(|run| run.torn) {
            eprintln!(
                "traincheck: {}: torn, it was not sealed, as after a kill; what it holds was read",
                printable(&run.name)
            );
        }
        if self.partial {
            sketch
                .write(&self.output)
                .with_context(|| format!("{}: cannot write the sketch", self.output.display()))?;
            let count = plural(runs.len() as u64, "run");
            writeln!(io::stdout(), "{}: a sketch of {count}", self.output.display())?;
            return Ok(());
        }
        if runs.len() == 1 {
            eprintln!(
                "traincheck: learning from one run only: what it has by chance becomes an invariant; give two or more"
            );
        }
        let references = sketch.into_references();
        let excused = library.excused_by(&references);
        let mut learned = infer::learn(references);
        learned.invariants.excused = excused;
        let invariants = &learned.invariants;
        invariants
            .write(&self.output)
            .with_context(|| format!("{}: cannot write the invariants", self.output.display()))?;
        if let Some(file) = &self.explain {
            write_explanation(&learned, file)?;
        }
        sum_up(invariants, &self.output)?;
        Ok(())
    }
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
