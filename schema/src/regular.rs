//! Opening files that anybody may have put where they are.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Opens the file at `path` for reading, if it is one that has an end.
///
/// # Errors
/// As `open(2)` says, and if it is something else: who opens a pipe waits for its writer, and devices give for ever.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("this is no regular file; move it out of the run folder"));
    }
    File::open(path)
}
