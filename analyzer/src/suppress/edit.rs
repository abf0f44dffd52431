//! Writing suppressions: what stands in the file already, comments included, stays as it is.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::table::{self, ReadTableError};
use crate::whole_file;

use super::{Suppression, Suppressions, WHAT};

/// What a new file begins with.
const HEAD: &str =
    "# Violations that are known: `traincheck check` reports them and counts them as no alarms.\n";

/// Why a suppression cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteSuppressionError {
    /// What is there is no file of suppressions.
    #[error(transparent)]
    Read(#[from] ReadTableError),
    /// It is, in a form that nothing can be added to.
    #[error("{path}: nothing can be added: {what}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// It cannot be written.
    #[error("{path}: cannot write the suppressions: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Adds a suppression to a file, which is made if there is none. One of the same invariants gets the new reason and
/// day; whether there was one.
///
/// # Errors
/// If the file is wrong or cannot be written; it is then left as it was.
pub fn add(path: &Path, new: &Suppression) -> Result<bool, WriteSuppressionError> {
    let old = match table::read(path, WHAT) {
        Err(ReadTableError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => HEAD.to_owned(),
        text => text?,
    };
    let there = Suppressions::parse(&old, path)?;
    let same = there.entries.iter().position(|entry| entry.fields() == new.fields());
    let form = |what: String| WriteSuppressionError::Form { path: path.into(), what };
    let mut document: DocumentMut = old.parse().map_err(|e: toml_edit::TomlError| form(e.to_string()))?;
    // What stands at the end stays where it is, in front of what is added.
    let end = document.trailing().as_str().unwrap_or_default().to_owned();
    if same.is_none() {
        document.set_trailing("");
    }
    let tables = document.entry("suppress").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let tables =
        tables.as_array_of_tables_mut().ok_or_else(|| form("write its entries as `[[suppress]]`".into()))?;
    match same.and_then(|index| tables.get_mut(index)) {
        Some(table) => {
            table["reason"] = value(&new.reason);
            match day(new) {
                Some(day) => table["until"] = day,
                None => {
                    table.remove("until");
                }
            }
        }
        None => {
            let mut table = Table::new();
            for (key, text) in new.fields() {
                table[key] = value(text);
            }
            table["reason"] = value(&new.reason);
            if let Some(day) = day(new) {
                table["until"] = day;
            }
            table.decor_mut().set_prefix(format!("{end}\n"));
            tables.push(table);
        }
    }
    whole_file::write(path, document.to_string().as_bytes())
        .map_err(|source| WriteSuppressionError::Io { path: path.into(), source })?;
    Ok(same.is_some())
}

/// The last day on which it holds, as TOML has days.
fn day(suppression: &Suppression) -> Option<Item> {
    let until = suppression.until.as_ref()?;
    Some(until.parse::<toml_edit::Datetime>().map_or_else(|_| value(until), value))
}
