//! `traincheck collect`: runs a command with the agent preloaded.
//!
//! It only sets variables of the environment and stands aside: stdin, stdout and stderr are the child's, and what its
//! [`Job`] does with signals and exit codes.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use traincheck_analyzer::words::NOTHING_RECORDED;
use traincheck_schema::run::{EndInfo, Process, Run, Seat, TakenSeat, note_end, rescue_rings};
use traincheck_settings::Placement;

use super::job::{Job, exit_code};
use super::run_folder::{Became, RunFolder};
use super::settings::Options;
use super::trouble::{EXIT_TROUBLE, complain};
use crate::calendar;

/// Exit code if the agent or the command could not be started; no exit code of the command itself.
pub(super) const EXIT_NOT_STARTED: u8 = 125;
/// Names the agent to preload.
const AGENT_VARIABLE: &str = "TRAINCHECK_AGENT";
/// Names the folder of the run; the agent reads it.
pub(super) const RUN_DIR_VARIABLE: &str = "TRAINCHECK_RUN_DIR";
/// File name of the agent.
const AGENT_FILE: &str = "libtraincheck.so";
/// Where runs go that were given no folder.
const RUNS_FOLDER: &str = "traincheck-runs";

/// The arguments of `traincheck collect`.
#[derive(clap::Args)]
#[group(id = "collect")]
#[command(
    after_help = "Exits as the command does (128 + n if signal n ended it), with 125 if the agent or the \
                        command could not be started or the folder of -o cannot be recorded into (it is a file, something is \
                        in it, or it cannot be made or written), or with 2 if a setting is wrong.\n\nThe agent is the file that TRAINCHECK_AGENT names, else \
                        libtraincheck.so beside this program, else in ../lib/.\n\nSettings come from options, variables, and the file \
                        traincheck.toml in the working directory: see docs/configuration.md."
)]
pub struct Args {
    #[command(flatten)]
    settings: Options,
    /// The command, as it would be typed without traincheck
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the command; the exit code is the child's.
pub fn run(args: Args) -> ExitCode {
    let Recorded { code, .. } = record(args);
    code
}

/// What has become of a command.
pub(super) struct Recorded {
    /// The exit code.
    pub code: ExitCode,
    /// Whether the command itself ended with success.
    pub succeeded: bool,
    /// The folder for what is recorded, unless the command was not started.
    pub folder: Option<PathBuf>,
    /// Whether something was recorded in it.
    pub recorded: bool,
    /// How the command ended, where that is known.
    pub ended: Option<EndInfo>,
}

/// Runs the command and records it.
pub(super) fn record(args: Args) -> Recorded {
    let failed = |code: u8| Recorded {
        code: ExitCode::from(code),
        succeeded: false,
        folder: None,
        recorded: false,
        ended: None,
    };
    let settings = args.settings.load();
    if !settings.problems.is_empty() {
        for problem in settings.problems {
            complain(&problem.into());
        }
        return failed(EXIT_TROUBLE);
    }
    let variables = args.settings.variables(settings.file);
    let started = find_agent().and_then(|agent| {
        let (folder, seat) = run_folder(args.settings.path("run_dir"))?;
        let (folder, seat) = take(RunFolder::make(folder)?, seat)?;
        match start(&args.command, &agent, folder.path(), variables) {
            Ok(job) => Ok((job, folder, seat)),
            Err(error) => {
                seat.into_iter().for_each(TakenSeat::give_back);
                Err(error)
            }
        }
    });
    let (mut job, folder, seat) = match started {
        Ok(started) => started,
        Err(error) => {
            complain(&error);
            return failed(EXIT_NOT_STARTED);
        }
    };
    let (code, ended) = match job.wait() {
        Ok(status) => (exit_code(status), Some(status.into())),
        Err(error) => {
            complain(&anyhow::Error::new(error).context("lost sight of the command"));
            (EXIT_NOT_STARTED, None)
        }
    };
    // If it was killed, what it recorded last is in memory.
    rescue_rings(folder.path());
    // From here on signals are for us.
    drop(job);
    let became = folder.became();
    if let (Became::Recorded, Some(ended)) = (&became, ended) {
        // Where it cannot be written, whoever checks the run later does not know.
        let _ = note_end(folder.path(), ended);
    }
    match became {
        Became::Empty => seat.into_iter().for_each(TakenSeat::give_back),
        _ => seat.into_iter().for_each(TakenSeat::leave),
    }
    say_where(&folder, &became, ended);
    Recorded {
        code: ExitCode::from(code),
        succeeded: code == 0,
        folder: Some(folder.path().to_owned()),
        recorded: matches!(became, Became::Recorded),
        ended,
    }
}

/// Says where the run is, and whose recording was stopped, a line each.
fn say_where(folder: &RunFolder, became: &Became, ended: Option<EndInfo>) {
    let path = folder.path().display();
    let line = match became {
        Became::Recorded => format!("recorded in {path}{}", stopped(folder.path())),
        Became::Empty => {
            let ended = ended.map_or(String::new(), |ended| format!("the command {ended}, and "));
            format!("nothing was recorded: {ended}{NOTHING_RECORDED}")
        }
        Became::Removed => {
            format!("{path} was removed while the command ran, with all that was recorded in it")
        }
        Became::Replaced => {
            format!("{path} was replaced while the command ran: what was recorded before is not in it")
        }
    };
    // If nobody reads stderr any more there is nobody to tell.
    let _ = io::stderr().write_all(format!("traincheck: {line}\n").as_bytes());
}

/// A line for each process whose recording was stopped while it went on.
fn stopped(folder: &Path) -> String {
    let processes = Run::open(folder).map(|run| run.processes).unwrap_or_default();
    let line = |process: &Process| {
        let why = process.stopped()?;
        let Process { host, pid, .. } = process;
        Some(format!("\ntraincheck: the recording of {host}-{pid} was stopped while the job went on: {why}"))
    };
    processes.iter().filter_map(line).collect()
}

/// The agent: from the environment, beside this program, or where an installation has its libraries.
pub(super) fn find_agent() -> Result<PathBuf> {
    let agent = if let Some(path) = env::var_os(AGENT_VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        path.canonicalize().with_context(|| format!("{AGENT_VARIABLE} names no file: {}", path.display()))?
    } else {
        let program = env::current_exe().context("cannot find out where this program is")?;
        let folder = program.parent().unwrap_or(Path::new("/"));
        let beside = folder.join(AGENT_FILE);
        let installed = folder.join("../lib").join(AGENT_FILE);
        let Some(found) = [&beside, &installed].into_iter().find(|path| path.is_file()) else {
            bail!(
                "found no agent to preload; looked in {AGENT_VARIABLE} (not set), {} and {}; build it with \
                 `cargo build --release`, or name it in {AGENT_VARIABLE}",
                beside.display(),
                installed.display()
            );
        };
        found.canonicalize().with_context(|| format!("cannot read {}", found.display()))?
    };
    // The dynamic linker separates the names in LD_PRELOAD by colons and blanks, and knows no quoting.
    if agent.as_os_str().as_bytes().iter().any(|byte| *byte == b':' || byte.is_ascii_whitespace()) {
        bail!(
            "the agent cannot be preloaded from {}: the path has a colon or a blank in it; copy {AGENT_FILE} to \
             another place and name that in {AGENT_VARIABLE}",
            agent.display()
        );
    }
    if !is_for_this_machine(&agent).with_context(|| format!("cannot read the agent {}", agent.display()))? {
        bail!(
            "{} is no shared library of this machine, so it cannot be preloaded; name {AGENT_FILE} in {AGENT_VARIABLE}",
            agent.display()
        );
    }
    Ok(agent)
}

/// Whether the dynamic linker could load it: it is of the kind that this program is of, and a shared object.
fn is_for_this_machine(library: &Path) -> io::Result<bool> {
    /// So much of the header of an ELF file: what it is, its type and its machine.
    const HEADER: u64 = 20;
    const SHARED_OBJECT: u16 = 3;
    let header = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(HEADER).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // A pipe would be waited for.
    if !fs::metadata(library)?.is_file() {
        return Ok(false);
    }
    let (library, own) = (header(library)?, header(&env::current_exe()?)?);
    // Magic, class and order of bytes; the machine.
    let is_same = |range: Range<usize>| library[range.clone()] == own[range];
    Ok(library.len() == own.len()
        && is_same(0..6)
        && is_same(18..20)
        && library[16..18] == SHARED_OBJECT.to_ne_bytes())
}

/// Takes the seat of a rank in its folder.
fn take(folder: RunFolder, seat: Option<Seat>) -> Result<(RunFolder, Option<TakenSeat>)> {
    let taken = seat.map(|seat| seat.take(folder.path())).transpose();
    let taken = taken.with_context(|| format!("cannot record into {}", folder.path().display()))?;
    Ok((folder, taken))
}

/// The folder of the run as an absolute path, and the seat to be taken in it where we are started as one rank of several.
fn run_folder(asked: Option<&Path>) -> Result<(PathBuf, Option<Seat>)> {
    let placement = Placement::of_process();
    let mut seat = placement.seat();
    let folder = if let Some(folder) = asked {
        match fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() && !seat.is_some_and(|seat| seat.is_free_in(folder)) {
                    let lacks = seat.map_or_else(String::new, |seat| {
                        let Seat { rank, world_size, .. } = seat;
                        format!(
                            ", and there is no job in it that goes on and lacks rank {rank} of {world_size}"
                        )
                    });
                    bail!("{}: not an empty folder{lacks}; a run needs one of its own", folder.display());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot record into {}", folder.display()));
            }
        }
        folder.to_owned()
    } else if let Some(folder) = env::var_os(RUN_DIR_VARIABLE).filter(|folder| !folder.is_empty()) {
        // Whoever has set it for us has chosen for all.
        seat = None;
        PathBuf::from(folder)
    } else if let Some((folder, _)) = placement.shared_folder(Path::new(RUNS_FOLDER)) {
        folder
    } else {
        seat = None;
        Path::new(RUNS_FOLDER).join(new_name())
    };
    let absolute = std::path::absolute(&folder);
    Ok((absolute.with_context(|| format!("cannot record into {}", folder.display()))?, seat))
}

/// A name that sorts by time and that no other run has: the time in UTC, and our process id.
fn new_name() -> String {
    format!("{}-{}", calendar::for_file_names(), std::process::id())
}

/// Starts the command with the agent preloaded.
fn start(command: &[OsString], agent: &Path, folder: &Path, variables: Vec<(&str, OsString)>) -> Result<Job> {
    // clap has seen to it that there is at least one.
    let program = &command[0];
    let mut child = Command::new(program);
    child.args(&command[1..]).env("LD_PRELOAD", preload(agent)).env(RUN_DIR_VARIABLE, folder).envs(variables);
    Job::start(&mut child)
}

/// The value of `LD_PRELOAD` that adds the agent.
pub(super) fn preload(agent: &Path) -> OsString {
    let mut preload = agent.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    preload
}
