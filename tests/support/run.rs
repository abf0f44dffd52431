//! Running commands, never for ever.

use std::env;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{left_out, left_out_by_this_machine};

/// A command that takes longer hangs. Training takes seconds; this leaves room for a machine that does much else.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What a command left.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Finished {
    /// Itself, if the command exited with `code`.
    ///
    /// # Panics
    /// If it did not; the message has all that it printed.
    #[track_caller]
    pub fn exited(self, code: i32) -> Finished {
        assert_eq!(
            self.status.code(),
            Some(code),
            "ended with {} (signal {:?})\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.status.signal(),
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails unless this and `expected` ended in the same way with the same output.
    #[track_caller]
    pub fn assert_same(&self, expected: &Finished) {
        assert_eq!(self.status, expected.status, "{}", self.stderr);
        assert_eq!(self.stdout, expected.stdout);
        assert_eq!(self.stderr, expected.stderr);
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder around this crate").to_owned()
}

fn from_environment(variable: &str) -> PathBuf {
    let Some(value) = env::var_os(variable) else {
        panic!("{variable} is not set; run the end-to-end tests with scripts/test");
    };
    PathBuf::from(value)
}

/// The Python that trains.
pub fn python() -> PathBuf {
    from_environment("TRAINCHECK_TEST_PYTHON")
}

fn bin() -> PathBuf {
    from_environment("TRAINCHECK_TEST_BIN")
}

/// The agent.
pub fn agent() -> PathBuf {
    bin().join("libtraincheck.so")
}

/// A command with nothing in its environment that could switch the agent on or change it. PyTorch computes on one thread:
/// its threads spin while they wait, and two trainings that share the cores would take many times as long as one after
/// the other.
fn clean(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_remove("LD_PRELOAD").env("PYTHONDONTWRITEBYTECODE", "1").env("OMP_NUM_THREADS", "1");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("TRAINCHECK_") {
            command.env_remove(name);
        }
    }
    command
}

/// Python without the agent.
pub fn plain() -> Command {
    clean(python())
}

/// The interpreters there are to test with, each with the version that it says it has (`3.11`): [`python`], and those
/// that variables such as `TRAINCHECK_TEST_PYTHON_315` name. One of those that `scripts/test` has is said to be left out if
/// it is missing; an empty variable says that there is none to be had here.
///
/// # Panics
/// If one cannot say its version, or is not of the version that its variable is for.
pub fn interpreters() -> Vec<(String, PathBuf)> {
    let first = python();
    let mut all = vec![(version(&first), first)];
    for (minor, wanted) in [(11, false), (12, true), (13, true), (14, false), (15, true)] {
        let (name, variable) = (format!("3.{minor}"), format!("TRAINCHECK_TEST_PYTHON_3{minor}"));
        match env::var_os(&variable) {
            Some(path) if !path.is_empty() => {
                let path = PathBuf::from(path);
                assert_eq!(version(&path), name, "{variable} is {}", path.display());
                all.push((name, path));
            }
            Some(_) if wanted => {
                left_out_by_this_machine(&format!("CPython {name}"), "there is none to be had here");
            }
            None if wanted => left_out(&format!("CPython {name}"), &format!("{variable} is not set")),
            _ => {}
        }
    }
    all
}

/// The version that an interpreter says it has, without its last number.
fn version(python: &Path) -> String {
    let asked = "import sys; print('%d.%d' % sys.version_info[:2])";
    finish(plain_in(python).args(["-c", asked])).exited(0).stdout.trim().to_owned()
}

/// The Python `python` without the agent.
pub fn plain_in(python: &Path) -> Command {
    clean(python)
}

/// The Python `python` with the agent preloaded, recording into `folder`.
pub fn preloaded_in(python: &Path, folder: &Path) -> Command {
    let mut command = plain_in(python);
    command.env("LD_PRELOAD", agent()).env("TRAINCHECK_RUN_DIR", folder);
    command
}

/// Python with the agent preloaded, recording into `folder`.
pub fn preloaded(folder: &Path) -> Command {
    let mut command = plain();
    command.env("LD_PRELOAD", agent()).env("TRAINCHECK_RUN_DIR", folder);
    command
}

/// What to set `LD_PRELOAD` to for these libraries, in this order.
pub fn preloads(libraries: &[&Path]) -> String {
    let paths: Vec<_> = libraries.iter().map(|library| library.display().to_string()).collect();
    paths.join(":")
}

/// A library to be preloaded, made in `folder` from the C file of that name.
pub fn shared_library(folder: &Path, name: &str) -> PathBuf {
    let library = folder.join(format!("{name}.so"));
    let source = crate::script(&format!("{name}.c"));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
    finish(&mut compiler).exited(0);
    library
}

/// The `traincheck` command.
pub fn traincheck() -> Command {
    clean(bin().join("traincheck"))
}

/// Starts `command` with its output in pipes.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A shell starts what runs in the background with SIGINT ignored, and that is inherited: Python would then leave
    // it ignored, and tests that interrupt it would wait in vain.
    // SAFETY: `signal` may be called between fork and exec; nothing else happens there.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// Held while a command runs: tests of one file share their process under `cargo test`, and some ask for all cores.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs `command` to its end, one at a time.
///
/// # Panics
/// If it cannot be started, or takes longer than five minutes.
#[track_caller]
pub fn finish(command: &mut Command) -> Finished {
    finish_within(TIME_LIMIT, command)
}

/// As [`finish`], for commands that do much.
///
/// # Panics
/// If it cannot be started, or takes longer than `limit`.
#[track_caller]
pub fn finish_within(limit: Duration, command: &mut Command) -> Finished {
    // Another test that failed leaves nothing behind that could be wrong.
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = spawn(command);
    let stdout = child.stdout.take().map(reader);
    let stderr = child.stderr.take().map(reader);
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child to wait for") {
            Some(status) => break Some(status),
            None if begun.elapsed() > limit => break None,
            None => thread::sleep(Duration::from_millis(10)),
        }
    };
    let Some(status) = status else {
        let _ = child.kill();
        panic!("still running after {limit:?}: {command:?}");
    };
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.map_or_else(String::new, |thread| thread.join().expect("a reader that does not panic"))
    };
    Finished { status, stdout: text(stdout), stderr: text(stderr) }
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
