//! What was run: the contents of `run.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

use crate::own_file;

/// What was run, where and with which versions. Fields that a reader does not know are ignored, and those that
/// are missing are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInfo {
    /// Version of the trace format, `major.minor`.
    pub format_version: String,
    /// Version of the agent.
    pub agent_version: String,
    /// When the recording began: nanoseconds since 1970.
    pub started_wall_ns: u64,
    /// Name of the machine.
    pub host: String,
    /// The command and those of its arguments that may be recorded.
    pub command: Vec<String>,
    /// The working directory when PyTorch was imported, or empty: where the script is that has no absolute path.
    pub folder: String,
    /// Version of Python, or empty.
    pub python: String,
    /// Version of PyTorch, or empty.
    pub torch: String,
    /// Name of the profile.
    pub profile: String,
    /// The settings in force.
    pub settings: Vec<SettingInfo>,
    /// What the agent says its work cost in the process that began the run, once that has ended: nanoseconds for a
    /// kind of hook, else counts.
    pub account: BTreeMap<String, u64>,
    /// What was recorded with, and what could not be.
    pub hooks: Vec<HookInfo>,
    /// How the command ended, where `traincheck` started it and saw its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndInfo>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndInfo {
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The number of the signal that ended it, if one did.
    pub signal: Option<i32>,
}

impl EndInfo {
    /// Whether it is another end than success.
    pub fn is_failure(self) -> bool {
        self.exit_code != Some(0)
    }
}

impl From<ExitStatus> for EndInfo {
    fn from(status: ExitStatus) -> EndInfo {
        EndInfo { exit_code: status.code(), signal: status.signal() }
    }
}

/// Behind "the command": `ended with exit code 1`.
impl fmt::Display for EndInfo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.signal {
            Some(libc::SIGHUP) => " (SIGHUP)",
            Some(libc::SIGINT) => " (SIGINT)",
            Some(libc::SIGQUIT) => " (SIGQUIT)",
            Some(libc::SIGILL) => " (SIGILL)",
            Some(libc::SIGABRT) => " (SIGABRT)",
            Some(libc::SIGBUS) => " (SIGBUS)",
            Some(libc::SIGFPE) => " (SIGFPE)",
            Some(libc::SIGKILL) => " (SIGKILL)",
            Some(libc::SIGSEGV) => " (SIGSEGV)",
            Some(libc::SIGTERM) => " (SIGTERM)",
            _ => "",
        };
        match (self.signal, self.exit_code) {
            (Some(signal), _) => write!(out, "was ended by signal {signal}{name}"),
            (None, Some(code)) => write!(out, "ended with exit code {code}"),
            (None, None) => write!(out, "ended"),
        }
    }
}

/// Writes into `run.json` how the command ended. Of several that record into one folder, as on the nodes of a job, the first
/// that failed counts.
///
/// # Errors
/// If `run.json` is there and cannot be read or written anew.
pub fn note_end(folder: &Path, ended: EndInfo) -> io::Result<()> {
    let path = folder.join("run.json");
    let Some(mut info) = super::read_info(&path).map_err(io::Error::other)? else { return Ok(()) };
    if info.ended.is_some_and(EndInfo::is_failure) {
        return Ok(());
    }
    info.ended = Some(ended);
    let mut text = serde_json::to_vec_pretty(&info)?;
    text.push(b'\n');
    let draft = folder.join(format!(".run.json-{}", std::process::id()));
    let written = own_file::create(&draft, OpenOptions::new().write(true))
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| fs::rename(&draft, &path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}

/// A setting and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SettingInfo {
    /// Its name.
    pub name: String,
    /// Its value; empty: none.
    pub value: String,
    /// Where it was set: `FILE:LINE`, the name of a variable, or `default`.
    pub from: String,
}

/// One way of recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookInfo {
    /// Its name.
    pub name: String,
    /// Whether it was on.
    pub on: bool,
    /// If it was: how, by what interface; else empty.
    pub how: String,
    /// If not: why; else empty.
    pub why: String,
}
