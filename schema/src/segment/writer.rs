//! Writing a segment.
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Dropped, Ending, ProcessHeader, RingPosition};
use crate::record::{DictEntry, Event, State};

/// Why a segment could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file could not be made.
    #[error("cannot create segment {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A frame could not be written. The segment ends with the frame before.
    #[error("cannot write to segment {path} at offset {offset}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Where the frame was to begin, in bytes.
        offset: u64,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Writes one segment.
#[derive(Debug)]
pub struct SegmentWriter {}

impl SegmentWriter {
    /// Makes the file, which must not exist, readable by its owner only, and writes its header.
    ///
    /// # Errors
    /// If the file exists or cannot be made or written.
    pub fn create(path: &Path, header: &ProcessHeader) -> Result<Self, WriteError> {
        let _ = (path, header);
        unimplemented!()
    }

    /// Writes dictionary entries. An entry comes before the first block that uses it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_dictionary(&mut self, entries: &[DictEntry]) -> Result<(), WriteError> {
        let _ = entries;
        unimplemented!()
    }

    /// Writes a block: events and states in any order, what is missing since the last block, and how far the
    /// rings have been written with this block. Only afterwards may their space be released.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_block(
        &mut self,
        events: &[Event],
        states: &[State],
        dropped: &[Dropped],
        positions: &[RingPosition],
    ) -> Result<(), WriteError> {
        let _ = (events, states, dropped, positions);
        unimplemented!()
    }

    /// Length of the file in bytes.
    pub fn bytes_written(&self) -> u64 {
        unimplemented!()
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn seal(self, ending: &Ending) -> Result<(), WriteError> {
        let _ = ending;
        unimplemented!()
    }
}
