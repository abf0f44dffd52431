//! Finding an interpreter, and what it says of itself without the agent.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// What an interpreter says of itself.
#[derive(Debug, Deserialize)]
pub struct Facts {
    /// `CPython`, `PyPy`, ...
    pub implementation: String,
    /// `3.11.7`.
    pub version: String,
    /// Its file.
    pub executable: String,
    /// Whether it has no global interpreter lock.
    pub free_threaded: bool,
    /// Version of PyTorch; empty: it is not installed.
    pub torch: String,
}

impl Facts {
    /// Asks it.
    ///
    /// # Errors
    /// If it cannot be started, or does not answer as a Python does.
    pub fn of(python: &Path) -> Result<Facts> {
        let output = Command::new(python)
            .args(["-c", include_str!("facts.py")])
            .env_remove("LD_PRELOAD")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let error = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("{} does not run: {}", python.display(), last_line(&error));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        // What is wrong with what it printed is of no use to anybody.
        serde_json::from_str(last_line(&text))
            .ok()
            .with_context(|| format!("{} is not a Python interpreter", python.display()))
    }

    /// What keeps its training from being recorded, as far as it can be known without the agent.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.implementation != "CPython" {
            problems.push(format!(
                "python calls: this is {}, and only CPython can be hooked",
                self.implementation
            ));
        }
        if self.free_threaded {
            problems.push("python calls: this is a free-threaded build of CPython".to_owned());
        }
        if self.torch.is_empty() {
            problems.push("torch: this Python has no PyTorch".to_owned());
        }
        problems
    }
}

/// The last line that is not blank.
pub fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("")
}

/// The interpreter to look at: the one that is named, else `python3` on the PATH.
///
/// # Errors
/// If there is none.
pub fn find(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path).map(|folder| folder.join("python3"));
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file())
        .context("no python3 on the PATH; name an interpreter with --python")
}
