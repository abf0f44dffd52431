//! `traincheck doctor`: says what can be recorded, and what cannot and why.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use traincheck_schema::run::REPORT_VARIABLE;

use super::collect;
use super::job::{Job, exit_code};
use super::trouble::{EXIT_TROUBLE, in_one_line};
use crate::doctor::{Agent, Examination, Facts, PROBE, Python, find, last_line, text};

/// The arguments of `traincheck doctor`.
#[derive(clap::Args)]
#[command(
    after_help = "Without a command it runs a short training of its own and says of each hook whether it is on, how, \
                  and what was seen through it. With one it runs that, and also says what was recorded, thinned out \
                  and lost, and what it cost. It records into a temporary folder, which is removed; what the command \
                  prints goes to stderr.\n\n\
                  Exits with 0 if everything that can be hooked is hooked, and with 2 if something that is needed is not: there is \
                  no agent, no CPython, one that is too old, too new or free-threaded, no PyTorch, or something that \
                  did not prove to be what it is believed to be. The exit status of the command is in the report."
)]
pub struct Args {
    /// The Python interpreter to examine [default: python3 on the PATH]
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    python: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// A program to try it on, as it would be typed without traincheck
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Prints what it finds out; the exit code says whether all is well.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut examination = Examination::default();
    let agent = match collect::find_agent() {
        Ok(agent) => Some(agent),
        Err(error) => {
            examination.problems.push(format!("agent: {}", in_one_line(&error)));
            None
        }
    };
    examination.agent =
        agent.as_ref().map(|path| Agent { path: path.display().to_string(), version: String::new() });
    if args.command.is_empty() {
        match find(args.python.as_deref()).and_then(|python| Ok((Facts::of(&python)?, python))) {
            Ok((facts, python)) => try_python(&mut examination, agent.as_deref(), &python, &facts)?,
            Err(error) => examination.problems.push(format!("python: {}", in_one_line(&error))),
        }
    } else if let Some(agent) = agent {
        try_program(&mut examination, &agent, &args.command)?;
    }

    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer_pretty(&mut out, &examination).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        text::write(&mut out, &examination)?;
    }
    out.flush()?;
    Ok(if examination.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_TROUBLE) })
}

/// A folder for the run and the reports, which goes with the value.
fn folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("traincheck-doctor-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    fs::create_dir(folder.path().join("reports")).context("cannot make a folder for reports")?;
    Ok(folder)
}

/// Has the agent record into the folder, and report on itself.
fn preload<'a>(command: &'a mut Command, agent: &Path, folder: &Path) -> &'a mut Command {
    command
        .env("LD_PRELOAD", collect::preload(agent))
        .env(collect::RUN_DIR_VARIABLE, folder.join("run"))
        .env(REPORT_VARIABLE, folder.join("reports"))
}

/// Runs the built-in training in this Python.
fn try_python(
    examination: &mut Examination,
    agent: Option<&Path>,
    python: &Path,
    facts: &Facts,
) -> Result<()> {
    examination.python =
        Some(Python { executable: facts.executable.clone(), version: facts.version.clone() });
    examination.torch.clone_from(&facts.torch);
    examination.problems.extend(facts.problems());
    let Some(agent) = agent else { return Ok(()) };
    let folder = folder()?;
    let probe = folder.path().join("probe.py");
    fs::write(&probe, PROBE).context("cannot write the built-in training")?;
    let mut command = Command::new(python);
    for (name, _) in std::env::vars_os() {
        // What can be hooked does not depend on what is set for a job.
        if name.to_string_lossy().starts_with("TRAINCHECK_") {
            command.env_remove(name);
        }
    }
    // PyTorch 2.15 leaves a folder of its compiler among the temporary files; here it goes with ours.
    command.env("TMPDIR", folder.path());
    command.env("TRAINCHECK_CONFIG", "/dev/null").arg("-B").arg(&probe).stdin(Stdio::null());
    let output = preload(&mut command, agent, folder.path())
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    if !output.status.success() && !facts.torch.is_empty() {
        let error = String::from_utf8_lossy(&output.stderr);
        examination.problems.push(format!("a short training fails in this Python: {}", last_line(&error)));
    }
    examination.of_probe(facts, folder.path());
    Ok(())
}

/// Runs the program.
fn try_program(examination: &mut Examination, agent: &Path, command: &[OsString]) -> Result<()> {
    let folder = folder()?;
    // clap has seen to it that there is at least one.
    let mut child = Command::new(&command[0]);
    // Stdout is for the report.
    child.args(&command[1..]).stdout(io::stderr());
    let mut job = Job::start(preload(&mut child, agent, folder.path()))?;
    let status = job.wait().context("lost sight of the command")?;
    examination.of_program(command, exit_code(status), folder.path());
    Ok(())
}
