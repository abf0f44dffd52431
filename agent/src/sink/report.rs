//! What the agent says of itself where `traincheck doctor` asks: a file for each process, beside no run.

use super::account;
use super::job::described;
use super::quiet::quietly;
use crate::base::fork;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
pub use traincheck_schema::run::Progress;
use traincheck_schema::run::{REPORT_VARIABLE, Report};

/// The report of this process, if one was asked for.
static ASKED: OnceLock<Asked> = OnceLock::new();

struct Asked {
    path: PathBuf,
    report: Mutex<Report>,
}

/// Looks whether a report is asked for, and begins it. `python` is what the interpreter says of itself; none: there
/// is no interpreter in this process.
pub fn boot(python: Option<String>) {
    let Some(folder) = std::env::var_os(REPORT_VARIABLE).filter(|value| !value.is_empty()) else { return };
    let pid = std::process::id();
    let report = Report {
        agent_version: env!("CARGO_PKG_VERSION").into(),
        pid,
        executable: std::env::current_exe()
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default(),
        progress: if python.is_some() { Progress::Waiting } else { Progress::NoPython },
        python: python.unwrap_or_default(),
        ..Report::default()
    };
    let path = Path::new(&folder).join(format!("{pid}.json"));
    if ASKED.set(Asked { path, report: Mutex::new(report) }).is_ok() {
        update(|_| ());
    }
}

/// It is armed, or has refused to arm itself.
pub fn report(progress: Progress) {
    update(|report| {
        report.progress = progress;
        if let Some(job) = described() {
            report.torch.clone_from(&job.torch_version);
            report.profile.clone_from(&job.profile);
        }
    });
}

/// The process ends.
pub fn finish() {
    update(|_| ());
}

/// Writes the report after a change, and with the hooks as they are.
fn update(change: impl FnOnce(&mut Report)) {
    let Some(asked) = ASKED.get() else { return };
    if fork::is_forked() {
        return;
    }
    let mut report = asked.report.lock().unwrap_or_else(PoisonError::into_inner);
    change(&mut report);
    report.hooks = account::hooks();
    report.trouble = account::what_went_wrong().unwrap_or_default().to_owned();
    // Who asked will miss it, and say so.
    let _ = quietly(|| write(&asked.path, &report));
}

fn write(path: &Path, report: &Report) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let text = serde_json::to_vec(report)?;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?.write_all(&text)?;
    std::fs::rename(&draft, path)
}
