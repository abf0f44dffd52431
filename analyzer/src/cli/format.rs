//! How a command prints what it has found.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people; long lists are cut
    Text,
    /// For programs; complete
    Json,
}

/// Prints `value` on stdout: as `text` writes it, or as JSON.
///
/// # Errors
/// If it cannot be printed.
pub(super) fn print<T: Serialize>(
    format: Format,
    value: &T,
    text: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Text => text(value, &mut out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()
}
