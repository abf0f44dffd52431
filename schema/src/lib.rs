//! The trace format of traincheck: what a traced process writes, and how it is read back.
//!
//! - [`record`]: the records themselves, the same in memory, in a ring and to a reader.
//! - [`ring`]: shared memory between a traced thread and the writer; survives the death of the process.
//! - [`segment`]: append-only files of checksummed frames, what is left when the process has ended.
//! - [`own_file`]: how the files of a traced process are opened, so that they are not in its way.
//! - [`run`]: a folder of segments and rings, read as one run.
//!
//! `docs/trace-format.md` describes the bytes for somebody who writes a reader of their own.
pub mod dictionary;
pub mod own_file;
pub mod record;
mod regular;
pub mod ring;
pub mod run;
pub mod segment;

// Generated; private, for the types around it say what it means.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, missing_docs, unused)]
#[rustfmt::skip]
mod trace_capnp;
