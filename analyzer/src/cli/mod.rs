//! The command line: one table of subcommands, and what all of them do alike with errors.
mod by;
mod check;
mod collect;
mod doctor;
mod format;
mod hang;
mod infer;
mod inspect;
mod invariants;
mod job;
mod learn;
mod levels;
mod library;
mod library_file;
mod merge;
mod progress;
mod run;
mod run_folder;
mod settings;
mod share;
mod stragglers;
mod threads;
mod trouble;

use std::env;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use trouble::{EXIT_TROUBLE, complain};

/// Catches silent errors in deep-learning training: records what training does, learns from good runs what
/// always holds, and checks it on new ones.
#[derive(Parser)]
#[command(name = "traincheck", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands. Each has a file of its own with its arguments and a function `run`.
#[derive(Subcommand)]
enum Command {
    /// Run a command, record what its training does, and say what is wrong with it
    Run(run::Args),
    /// Run a command and record what its training does
    Collect(collect::Args),
    /// Show what can be recorded of a Python installation or a program, and why the rest cannot
    Doctor(doctor::Args),
    /// Show what is in a recorded run
    Inspect(inspect::Args),
    /// Say where the ranks of a job hang, or which collective they do not agree in
    Hang(hang::Args),
    /// Say which rank of a job the others wait for, since when, and what it costs
    Stragglers(stragglers::Args),
    /// Learn invariants from runs that are known to be good
    Infer(infer::Args),
    /// Learn invariants from sketches that `infer --partial` wrote, as from all their runs at once
    Merge(merge::Args),
    /// Check a recorded run and say what is wrong with it
    Check(check::Args),
    /// List, show, explain and suppress what was learned
    Invariants(invariants::Args),
    /// Make a library of invariants that hold for any program, from a corpus of programs
    Library(library::Args),
    /// Say how often clean runs break what is learned from others, and by that which of it may raise alarms
    Levels(levels::Args),
}

/// Runs the command that the arguments of the process name.
pub fn run() -> ExitCode {
    let result = match parse().command {
        Command::Collect(args) => return collect::run(args),
        Command::Run(args) => run::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Hang(args) => hang::run(args),
        Command::Stragglers(args) => stragglers::run(args),
        Command::Infer(args) => infer::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Check(args) => check::run(args),
        Command::Invariants(args) => invariants::run(args),
        Command::Library(args) => library::run(args),
        Command::Levels(args) => levels::run(args),
    };
    result.unwrap_or_else(|error| {
        // Whoever closed the pipe has seen enough: `traincheck inspect RUN | head` is no failure.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        complain(&error);
        ExitCode::from(EXIT_TROUBLE)
    })
}

/// What the arguments of the process say; ends it if they are wrong.
fn parse() -> Cli {
    Cli::try_parse().unwrap_or_else(|mut error| {
        let runs_commands = env::args_os()
            .nth(1)
            .is_some_and(|name| ["run", "collect", "doctor"].iter().any(|runs| name == *runs));
        let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
            (ErrorKind::UnknownArgument, Some(ContextValue::String(argument)))
                if !argument.starts_with('-') =>
            {
                "put `--` before the command"
            }
            (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing)))
                if missing.iter().any(|argument| argument.starts_with("<CMD>")) =>
            {
                "the command comes behind `--`, as in `-- python train.py`"
            }
            _ => "",
        };
        if runs_commands && !tip.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.to_owned().into()]));
        }
        error.exit()
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
