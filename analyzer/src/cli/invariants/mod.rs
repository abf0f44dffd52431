//! `traincheck invariants`: what was learned, to look at and to manage.
mod explain;
mod list;
mod show;
mod suppress;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Subcommand, ValueEnum};
use traincheck_analyzer::invariants::{Invariant, Invariants, Level};
use traincheck_analyzer::select::by_id;

use super::library_file::LibraryFile;

/// The arguments of `traincheck invariants`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with them. Each has a file of its own.
#[derive(Subcommand)]
enum Command {
    /// List invariants, all of them or those of a relation, level, function, variable or text
    List(list::Args),
    /// Show one invariant in full: the claim, its evidence in each run, and why it has its level
    Show(show::Args),
    /// Explain one invariant: what it means, what a violation would mean, and what to try then
    Explain(explain::Args),
    /// Suppress known violations: `check` still reports them, but does not count them as alarms
    Suppress(suppress::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// If what it is given is wrong, or its output cannot be written.
pub fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Suppress(args) => suppress::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The file that invariants are read from.
#[derive(clap::Args)]
struct From {
    /// File of invariants, as `traincheck infer` writes it, in addition to those of the library
    #[arg(short, long, value_name = "FILE")]
    invariants: Option<PathBuf>,
    #[command(flatten)]
    library: LibraryFile,
}

impl From {
    /// What the file has, and what the library adds to it, excused or not: it can be asked for.
    fn read(&self) -> Result<Invariants> {
        let mut invariants =
            self.invariants.as_deref().map(Invariants::read).transpose()?.unwrap_or_default();
        invariants.excused.clear();
        self.library.read()?.join(&mut invariants, None);
        Ok(invariants)
    }

    /// The invariant that `id` names, in full or by its beginning.
    fn one<'a>(&self, invariants: &'a Invariants, id: &str) -> Result<&'a Invariant> {
        by_id(&invariants.invariants, id).map_err(|what| match &self.invariants {
            Some(file) => anyhow!("{}: {what}", file.display()),
            None => anyhow!("library: {what}; -i FILE names what was learned"),
        })
    }
}

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs: as the file of invariants has them; of the library with how they were tried
    Json,
}

/// A level, as an argument.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelName {
    /// Violations are errors
    Alarm,
    /// Violations are worth a look
    Notice,
}

impl LevelName {
    fn level(self) -> Level {
        match self {
            LevelName::Alarm => Level::Alarm,
            LevelName::Notice => Level::Notice,
        }
    }
}

/// A level in a word.
fn level_word(level: Level) -> &'static str {
    match level {
        Level::Alarm => "alarm",
        Level::Notice => "notice",
    }
}
