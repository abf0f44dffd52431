//! Suppressions: violations that are known, and are reported without counting.
mod edit;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;

use crate::invariants::Invariants;
use crate::select::{self, Choice};
use crate::table::{self, ReadTableError};
pub use edit::{WriteSuppressionError, add};

/// The name of the file that is read without being asked for, beside the invariants.
pub const FILE_NAME: &str = "traincheck-suppressions.toml";
/// What is in it.
const WHAT: &str = "suppressions";

/// One entry of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppression {
    /// Id of an invariant, or the beginning of one.
    pub id: Option<String>,
    /// Which invariants, where it is not the one with that id.
    pub choice: Choice,
    /// Why.
    pub reason: String,
    /// The last day on which it holds (UTC), `YYYY-MM-DD`.
    pub until: Option<String>,
    /// The line in the file at which it begins, from 1.
    pub line: usize,
}

impl fmt::Display for Suppression {
    /// What it suppresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields();
        let parts: Vec<String> = fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
        f.write_str(&parts.join(", "))
    }
}

impl Suppression {
    /// What it is told by: keys of the file and their values.
    pub fn fields(&self) -> Vec<(&'static str, &str)> {
        let choice = &self.choice;
        let all = [
            ("id", &self.id),
            ("relation", &choice.relation),
            ("function", &choice.function),
            ("variable", &choice.variable),
            ("text", &choice.text),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }
}

/// The entries of a file.
#[derive(Clone, Debug, Default)]
pub struct Suppressions {
    /// The file.
    pub path: PathBuf,
    /// In the order of the file.
    pub entries: Vec<Suppression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    suppress: Vec<Spanned<Row>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: Option<String>,
    relation: Option<String>,
    function: Option<String>,
    variable: Option<String>,
    text: Option<String>,
    reason: String,
    until: Option<toml::Value>,
}

impl Suppressions {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or an entry is wrong.
    pub fn read(path: &Path) -> Result<Suppressions, ReadTableError> {
        Suppressions::parse(&table::read(path, WHAT)?, path)
    }

    /// The same from its text; `path` is for messages.
    ///
    /// # Errors
    /// As [`Suppressions::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Suppressions, ReadTableError> {
        let file: File = table::parse(text, path)?;
        let mut entries = Vec::new();
        for row in file.suppress {
            let at = row.span().start;
            let wrong = |what: String| table::wrong(text, path, at, what);
            let row = row.into_inner();
            if row.reason.trim().is_empty() {
                return Err(wrong("the reason is empty: say why it is suppressed".into()));
            }
            let until = match row.until {
                None => None,
                Some(value) => {
                    let text = match value {
                        toml::Value::String(text) => text,
                        toml::Value::Datetime(day) => day.to_string(),
                        _ => "until".to_owned(),
                    };
                    Some(day(&text).map_err(wrong)?)
                }
            };
            let Row { id, relation, function, variable, text: part, reason, .. } = row;
            let choice = Choice { relation, level: None, function, variable, text: part };
            if id.is_none() && choice.is_empty() {
                let what = "nothing is named: an entry needs an id, relation, function, variable or text";
                return Err(wrong(what.into()));
            }
            entries.push(Suppression { id, choice, reason, until, line: table::line(text, at) });
        }
        Ok(Suppressions { path: path.into(), entries })
    }

    /// What they say of these invariants, `today` being `YYYY-MM-DD`.
    pub fn judge<'a>(&'a self, invariants: &Invariants, today: &str) -> Judged<'a> {
        let mut by_invariant: Vec<Option<usize>> = vec![None; invariants.invariants.len()];
        let mut entries: Vec<JudgedEntry<'a>> = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            let of_id = entry.id.as_ref().map(|id| select::by_id(&invariants.invariants, id));
            let trouble = of_id.as_ref().and_then(|of_id| of_id.as_ref().err().cloned());
            let chosen = invariants.invariants.iter().enumerate().filter(|(_, invariant)| {
                let is_it = match &of_id {
                    Some(Ok(one)) => one.id == invariant.id,
                    Some(Err(_)) => false,
                    None => true,
                };
                is_it && entry.choice.takes(invariant)
            });
            let chosen: Vec<usize> = chosen.map(|(index, _)| index).collect();
            let expired = entry.until.as_deref().is_some_and(|until| until < today);
            if !expired {
                for &index in &chosen {
                    by_invariant[index].get_or_insert(number);
                }
            }
            entries.push(JudgedEntry { suppression: entry, matches: chosen, expired, trouble });
        }
        Judged { path: &self.path, by_invariant, entries }
    }
}

/// What suppressions say of a file of invariants.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The file of suppressions.
    pub path: &'a Path,
    /// Which entry suppresses each invariant: the first one that does.
    pub by_invariant: Vec<Option<usize>>,
    /// In the order of the file.
    pub entries: Vec<JudgedEntry<'a>>,
}

/// What an entry says of a file of invariants.
#[derive(Clone, Debug)]
pub struct JudgedEntry<'a> {
    /// The entry.
    pub suppression: &'a Suppression,
    /// The invariants that it chooses.
    pub matches: Vec<usize>,
    /// Whether it no longer holds.
    pub expired: bool,
    /// What is wrong with its id.
    pub trouble: Option<String>,
}

/// A day of the calendar, as it came.
///
/// # Errors
/// If it is none.
pub fn day(text: &str) -> Result<String, String> {
    // Other forms that the parser takes would not be in the order of time as texts.
    let is_day = text.parse::<Date>().is_ok_and(|day| day.to_string() == text);
    if is_day { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a day: write it as YYYY-MM-DD")) }
}
