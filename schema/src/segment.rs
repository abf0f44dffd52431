//! Segments: append-only files of checksummed, compressed frames.
//!
//! A [`SegmentWriter`] appends whole frames; a [`SegmentReader`] gives them back one by one. Whatever happened
//! to the file meanwhile, the reader gives what was written or says where it is damaged and goes on behind it.

mod block;
mod column;
mod error;
pub(crate) mod frame;
mod prose;
mod reader;
mod source;
mod types;
mod writer;

pub use block::{BlockEnd, MAX_ROWS};
pub use error::ReadError;
pub use frame::{FILE_HEADER_SIZE, FRAME_HEADER_SIZE, FormatVersion, FrameKind, MAGIC, MAX_PAYLOAD, SYNC};
pub use prose::{Footer, FrameEntry, MAX_INDEXED_FRAMES, MAX_TEXT, Totals};
pub use reader::{Frame, SegmentReader};
pub use source::Source;
pub use types::{DropReason, Dropped, Ending, ProcessHeader, RingPosition};
pub use writer::{Records, SegmentWriter, WriteError};
