//! A library from a file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Entry, FORMAT, Library, VERSION};
use crate::invariants::{Envelope, Level, Tried};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// Why a library cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadLibraryError {
    /// There is none, or it cannot be read.
    #[error("{path}: cannot read the library: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than any library.
    #[error("{path}: {bytes} bytes is too large for a library; is it another file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not JSON, or not of this shape.
    #[error("{path}: not a library: {source}; make one with `traincheck library CORPUS -o FILE`")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// JSON of something else.
    #[error(
        "{path}: not a library: it lacks `\"format\": \"{FORMAT}\"` and a `version`; make one with `traincheck library \
         CORPUS -o FILE`, and give what `traincheck infer` wrote with -i"
    )]
    NoVersion {
        /// The file.
        path: PathBuf,
    },
    /// Written by another traincheck.
    #[error(
        "{path}: a library of version {version}, and this traincheck reads version {VERSION}; make it anew with \
         `traincheck library CORPUS -o FILE`"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
    /// An entry contradicts itself: edited by hand, or damaged.
    #[error("{path}: entry {number} ({id}) is inconsistent: {what}; restore the file, or make it anew")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: usize,
        /// As it stands there.
        id: String,
        /// What does not fit.
        what: &'static str,
    },
}

impl Library {
    /// Reads a file. Nothing in it is trusted.
    ///
    /// # Errors
    /// If it is missing, no library, of another version than this program's, or damaged.
    pub fn read(path: &Path) -> Result<Library, ReadLibraryError> {
        let failed = |source| ReadLibraryError::Io { path: path.into(), source };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > LARGEST {
            return Err(ReadLibraryError::TooLarge { path: path.into(), bytes });
        }
        Library::parse(&fs::read(path).map_err(failed)?, path)
    }

    /// The same from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Library::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Library, ReadLibraryError> {
        let shape = |source| ReadLibraryError::Shape { path: path.into(), source };
        // Only the envelope first: of another version nothing else can be expected to fit.
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(shape)?;
        match (envelope.format.as_deref(), envelope.version) {
            (Some(FORMAT), Some(VERSION)) => {}
            (Some(FORMAT), Some(version)) => {
                return Err(ReadLibraryError::OtherVersion { path: path.into(), version });
            }
            _ => return Err(ReadLibraryError::NoVersion { path: path.into() }),
        }
        let library: Library = serde_json::from_slice(bytes).map_err(shape)?;
        let mut before = "";
        for (index, entry) in library.claims.iter().enumerate() {
            let consistent = if before < entry.id.as_str() {
                consistent(entry)
            } else {
                Err("the entries are not in order of id, or one is there twice")
            };
            if let Err(what) = consistent {
                let (path, id) = (path.into(), entry.id.clone());
                return Err(ReadLibraryError::Inconsistent { path, number: index + 1, id, what });
            }
            before = &entry.id;
        }
        Ok(library)
    }
}

fn consistent(entry: &Entry) -> Result<(), &'static str> {
    let Entry { id, text, level, claim, tried } = entry;
    let made = Entry::new(claim.clone(), *level, tried.clone());
    if *id != made.id {
        return Err("the id is not that of the claim");
    }
    if *text != made.text {
        return Err("the text is not that of the claim");
    }
    if !claim.is_general() {
        return Err("the claim names something of a program");
    }
    if *level == Level::Alarm && (!claim.is_critical() || claim.literal().is_some()) {
        return Err("such a claim can be no more than a notice");
    }
    if !adds_up(tried) {
        return Err("what is said of how it was tried does not add up");
    }
    Ok(())
}

/// Whether no more is broken, or of known kinds, than was tried.
fn adds_up(tried: &Tried) -> bool {
    let Tried { programs, runs, windows, broken, kinds } = tried;
    let sum = |counts: &BTreeMap<String, u64>| counts.values().try_fold(0u64, |sum, n| sum.checked_add(*n));
    broken.len() as u64 <= *programs
        && programs <= runs
        && runs <= windows
        && [broken, kinds].into_iter().all(|counts| sum(counts).is_some_and(|n| n <= *runs))
}
