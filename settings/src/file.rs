//! Values as they are given: texts from variables and options, more from a TOML file.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Place, quoted};

/// A longer file is none of ours, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// `O_NONBLOCK` of Linux: a pipe without a writer must not make a job wait.
const NONBLOCK: i32 = 0o4000;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Flag(bool),
    /// A list, with the place of each element.
    List(Vec<(Value, Place)>),
    /// A table.
    Table(Vec<Entry>),
    /// Anything that no setting takes, as it is written.
    Other(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
            Value::Other(text) => f.write_str(text),
        }
    }
}

/// A key, its value and its place.
pub type Entry = (String, Value, Place);

/// Reads the text of a file.
///
/// # Errors
/// Why it cannot be read.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
    file.and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err("is longer than 1 MiB: that is not a file of settings".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8: write it anew as plain text".to_owned())
}

/// The entries at the top of the file, in the order of the file.
///
/// # Errors
/// Where it is not TOML, and why.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Entry>, (Place, String)> {
    let place = |at: usize| Place::File {
        path: path.to_owned(),
        line: text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1,
    };
    match DeTable::parse(text) {
        Ok(table) => Ok(entries(table.get_ref(), &place)),
        Err(error) => {
            let at =
                error.span().map_or(Place::File { path: path.to_owned(), line: 0 }, |span| place(span.start));
            Err((at, format!("this is not TOML: {}; nothing of the file can be used", error.message())))
        }
    }
}

fn entries(table: &DeTable, place: &impl Fn(usize) -> Place) -> Vec<Entry> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
        .into_iter()
        .map(|(key, found)| (key.get_ref().to_string(), value(found, place), place(key.span().start)))
        .collect()
}

fn value(found: &Spanned<DeValue>, place: &impl Fn(usize) -> Place) -> Value {
    match found.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Other(quoted(number.as_str())), Value::Integer),
        DeValue::Float(number) => Value::Other(number.as_str().chars().take(40).collect()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Other(time.to_string()),
        DeValue::Array(elements) => Value::List(
            elements.iter().map(|element| (value(element, place), place(element.span().start))).collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table, place)),
    }
}
