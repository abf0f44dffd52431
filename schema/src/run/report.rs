//! What the agent says of itself in one process, when it is asked to: see `traincheck doctor`.

use super::HookInfo;
use serde::{Deserialize, Serialize};

/// Names a folder that is there. The agent writes a [`Report`] into it, as `PID.json`, in every process that it is
/// loaded into: at its start, when it has armed itself or refused to, and at the end.
pub const REPORT_VARIABLE: &str = "TRAINCHECK_DOCTOR";

/// How far the agent got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is loaded into a process without CPython, which it leaves alone.
    #[default]
    NoPython,
    /// It waits for `import torch`.
    Waiting,
    /// It could not arm itself: the hooks say why.
    Refused,
    /// It is armed: the hooks say with what.
    Armed,
}

/// What the agent says of itself in one process. Fields that a reader does not know are ignored, and those that are
/// missing are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Version of the agent.
    pub agent_version: String,
    /// Process id.
    pub pid: u32,
    /// The program.
    pub executable: String,
    /// What Python says of its version and its build, or empty.
    pub python: String,
    /// Version of PyTorch, or empty.
    pub torch: String,
    /// Name of the profile, or empty.
    pub profile: String,
    /// How far the agent got.
    pub progress: Progress,
    /// What it records with, and what it cannot.
    pub hooks: Vec<HookInfo>,
    /// What stopped the recording, or empty.
    pub trouble: String,
}
