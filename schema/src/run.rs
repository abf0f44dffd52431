//! A run: the folder of segments and rings that the processes of one job wrote.
mod info;
mod process;

use std::path::{Path, PathBuf};

use thiserror::Error;

pub use info::{HookInfo, RunInfo};
pub use process::{Batch, Process, ProcessReader, ReadError, Torn};

/// Why a run could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenRunError {
    /// There is nothing.
    #[error("{path}: no such folder; give the folder that was recorded into")]
    Missing {
        /// What was asked for.
        path: PathBuf,
    },
    /// It is a file, and no segment.
    #[error("{path}: neither a run folder nor a segment (.tcs); give the folder that was recorded into")]
    NotAFolder {
        /// What was asked for.
        path: PathBuf,
    },
    /// Nothing was recorded in it.
    #[error(
        "{path}: no segment (HOST-PID-N.tcs) in this folder; was the job recorded, and into this folder?"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file is named like a segment and is none.
    #[error("{path}: this is no segment: {what}; move it out of the run folder, or restore it")]
    NotASegment {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by a newer traincheck.
    #[error("{path}: format {major}.{minor} is newer than this traincheck reads; install a newer traincheck")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// `run.json` is broken.
    #[error("{path}: cannot read what was run: {source}; mend the file, or remove it")]
    Info {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The folder or a file in it cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A run that can be read.
#[derive(Clone, Debug)]
pub struct Run {
    /// The folder, or the segment that was given in its place.
    pub folder: PathBuf,
    /// What was run; none without `run.json`.
    pub info: Option<RunInfo>,
    /// The processes, in the order of host and pid.
    pub processes: Vec<Process>,
}

impl Run {
    /// Opens the run in `folder`. A single segment is taken for a run of one process.
    ///
    /// # Errors
    /// If it is no run, or one that this version cannot read; see [`OpenRunError`].
    pub fn open(folder: &Path) -> Result<Run, OpenRunError> {
        let _ = folder;
        unimplemented!()
    }
}
