//! One process of a run, read as a stream of batches.

use std::path::PathBuf;

use thiserror::Error;

use crate::dictionary::Dictionary;
use crate::record::{Event, State};
use crate::ring::RingError;
use crate::segment::{Dropped, Ending, ProcessHeader};

/// One process of a run.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name of the machine, as in the names of its files.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Its segments, in order.
    pub segments: Vec<PathBuf>,
    /// Files of its rings that are left. None after a clean end.
    pub rings: Vec<PathBuf>,
}

impl Process {
    /// A reader from the beginning.
    pub fn reader(&self) -> ProcessReader {
        unimplemented!()
    }
}

/// Records of one block, each list in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Events.
    pub events: Vec<Event>,
    /// States.
    pub states: Vec<State>,
    /// What is missing since the batch before.
    pub dropped: Vec<Dropped>,
    /// These were never written to a segment: they were found in the rings of a process that did not end well.
    pub recovered: bool,
}

/// What is known of the end of a process whose last segment was not sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Torn {
    /// Bytes behind the last whole frame: a frame that was being written.
    pub bytes_after_last_frame: u64,
    /// Events found in the rings.
    pub events_recovered: u64,
    /// States found in the rings.
    pub states_recovered: u64,
}

/// Why a part of a trace could not be read. What comes behind it still is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
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
    /// A ring that a process left cannot be read.
    #[error("{path}: cannot recover what was not yet written: {source}")]
    Ring {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RingError,
    },
}

/// Reads the trace of one process, block by block, in bounded memory.
#[derive(Debug)]
pub struct ProcessReader {}

impl ProcessReader {
    /// The next block; none at the end. After an error the next call goes on behind the damage.
    ///
    /// When following, none says that there is no further whole block yet; [`ProcessReader::finished`] tells.
    pub fn next_batch(&mut self) -> Option<Result<Batch, ReadError>> {
        unimplemented!()
    }

    /// From now on the end of what is written is not taken for the end of the process.
    pub fn follow(&mut self) {
        unimplemented!()
    }

    /// The process is known to have ended: what was written is all there is. The next call of
    /// [`ProcessReader::next_batch`] goes on to the end, and to what the rings still hold.
    pub fn stop_following(&mut self) {
        unimplemented!()
    }

    /// Whether all was read.
    pub fn finished(&self) -> bool {
        unimplemented!()
    }

    /// Who wrote it; none before the first batch, or if it was lost.
    pub fn header(&self) -> Option<&ProcessHeader> {
        unimplemented!()
    }

    /// The names read so far: all that the batches given so far use.
    pub fn dictionary(&self) -> &Dictionary {
        unimplemented!()
    }

    /// How the process ended, once all was read and if its last segment was sealed.
    pub fn ending(&self) -> Option<&Ending> {
        unimplemented!()
    }

    /// What is known of the end, once all was read and if its last segment was not sealed.
    pub fn torn(&self) -> Option<&Torn> {
        unimplemented!()
    }
}
