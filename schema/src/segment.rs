//! Segments: append-only files of checksummed, compressed frames.
mod types;
mod writer;

pub use types::{DropReason, Dropped, Ending, ProcessHeader, RingPosition};
pub use writer::{SegmentWriter, WriteError};
