//! What can be wrong with a trace that is read.

use std::path::PathBuf;

use thiserror::Error;

use super::frame::FormatVersion;
use crate::ring::RingError;

/// Why a part of a trace could not be read. Unless said otherwise, what comes behind it still is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read; the rest of it is given up.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else; there is nothing to read in it.
    #[error("{path}: this is no segment of traincheck; move it out of the run folder, or restore it")]
    NotASegment {
        /// The file.
        path: PathBuf,
    },
    /// Bytes are not what was written.
    #[error("{path}: damaged at offset {offset}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the frame in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer traincheck; the rest of the file is given up.
    #[error(
        "{path}: format {found} is newer than this traincheck reads ({}): install a newer traincheck",
        FormatVersion::CURRENT
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: FormatVersion,
    },
    /// A ring that a process left cannot be read.
    #[error("{path}: cannot recover what was not yet written: {source}")]
    Ring {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RingError,
    },
}
