//! A run: the folder of segments and rings that the processes of one job wrote.
mod files;
mod info;
mod process;
mod recovery;
mod report;
mod seat;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use crate::segment::ReadError;
pub use files::{host, rescue_rings};
pub use info::{EndInfo, HookInfo, RunInfo, SettingInfo, note_end};
pub use process::{Batch, Process, ProcessReader, Torn};
pub use report::{Progress, REPORT_VARIABLE, Report};
pub use seat::{Seat, TakenSeat};

use crate::regular;
use crate::segment::{FormatVersion, SegmentReader};

/// A longer `run.json` is none, in bytes.
const MAX_INFO: u64 = 16 << 20;

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
    /// A segment cannot be read at all: it is something else, or of a newer version.
    #[error(transparent)]
    Segment(ReadError),
    /// `run.json` says that the run is of a newer version.
    #[error(
        "{path}: format {found} is newer than this traincheck reads ({}): install a newer traincheck",
        FormatVersion::CURRENT
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version found, as text.
        found: String,
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
        let failed = |path: &Path, source: io::Error| OpenRunError::Io { path: path.to_owned(), source };
        match fs::metadata(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenRunError::Missing { path: folder.to_owned() });
            }
            Err(error) => return Err(failed(folder, error)),
            Ok(found) if !found.is_dir() => return open_segment(folder),
            Ok(_) => {}
        }
        let info = read_info(&folder.join("run.json"))?;
        let processes = files::processes(folder).map_err(|error| failed(folder, error))?;
        if processes.is_empty() {
            return Err(OpenRunError::Empty { path: folder.to_owned() });
        }
        for segment in processes.iter().flat_map(|process| &process.segments) {
            check_segment(segment)?;
        }
        Ok(Run { folder: folder.to_owned(), info, processes })
    }
}

fn open_segment(path: &Path) -> Result<Run, OpenRunError> {
    if path.extension().is_none_or(|extension| extension != "tcs") {
        return Err(OpenRunError::NotAFolder { path: path.to_owned() });
    }
    check_segment(path)?;
    let process = files::process_of_segment(path);
    Ok(Run { folder: path.to_owned(), info: None, processes: vec![process] })
}

/// Whether there is something to be read in a segment. Damage is not judged here.
fn check_segment(path: &Path) -> Result<(), OpenRunError> {
    let first = SegmentReader::open(path).and_then(|mut reader| reader.next_frame().transpose());
    match first {
        Ok(_) | Err(ReadError::Damaged { .. }) => Ok(()),
        Err(error) => Err(OpenRunError::Segment(error)),
    }
}

fn read_info(path: &Path) -> Result<Option<RunInfo>, OpenRunError> {
    let read = regular::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(MAX_INFO).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let bytes = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenRunError::Io { path: path.to_owned(), source }),
        Ok(bytes) => bytes,
    };
    // An object first, for a list would do for a struct.
    let info: RunInfo = serde_json::from_slice(&bytes)
        .and_then(|object| serde_json::from_value(serde_json::Value::Object(object)))
        .map_err(|source| OpenRunError::Info { path: path.to_owned(), source })?;
    let major = info.format_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major > u32::from(FormatVersion::CURRENT.major)) {
        return Err(OpenRunError::Newer { path: path.to_owned(), found: info.format_version });
    }
    Ok(Some(info))
}
