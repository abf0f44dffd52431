//! What was run: the contents of `run.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
