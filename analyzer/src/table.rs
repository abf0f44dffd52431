//! Tables that people write, in TOML: causes, suppressions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// A longer file is none that people write, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why a table cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadTableError {
    /// There is none, or it cannot be read.
    #[error("{path}: cannot read the {of}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What is in it, in the plural.
        of: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than anybody would write.
    #[error("{path}: {bytes} bytes is too large for a file of {of}; is it another file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What should be in it, in the plural.
        of: &'static str,
        /// Its size.
        bytes: u64,
    },
    /// Not TOML, or an entry is wrong.
    #[error("{path}:{line}: {what}")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// The text of a file of `of`.
///
/// # Errors
/// If it cannot be read or is too long.
pub fn read(path: &Path, of: &'static str) -> Result<String, ReadTableError> {
    let failed = |source| ReadTableError::Io { path: path.into(), of, source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > LARGEST {
        return Err(ReadTableError::TooLarge { path: path.into(), of, bytes });
    }
    fs::read_to_string(path).map_err(failed)
}

/// What a text says; `path` is for messages.
///
/// # Errors
/// If it is no TOML, or not of this shape.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ReadTableError> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(text, path, at, error.message().replace('\n', ", "))
    })
}

/// What is wrong with the entry at this byte.
pub fn wrong(text: &str, path: &Path, at: usize, what: String) -> ReadTableError {
    ReadTableError::Entry { path: path.into(), line: line(text, at), what }
}

/// The line that this byte is in, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1
}
