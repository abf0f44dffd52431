//! What the start of a run says about the job.

use std::sync::OnceLock;
use traincheck_schema::run::SettingInfo;

/// What is known of the process once torch is imported.
#[derive(Clone, Debug, Default)]
pub struct StartInfo {
    /// Version of Python, or empty.
    pub python_version: String,
    /// Version of PyTorch, or empty.
    pub torch_version: String,
    /// Name of the profile.
    pub profile: String,
    /// The working directory, or empty.
    pub folder: String,
    /// The settings in force.
    pub settings: Vec<SettingInfo>,
}

static JOB: OnceLock<StartInfo> = OnceLock::new();

/// Remembers what the start of the run will say.
pub fn describe(info: StartInfo) {
    let _ = JOB.set(info);
}

/// It, once it is known.
pub fn described() -> Option<&'static StartInfo> {
    JOB.get()
}
