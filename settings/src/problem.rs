//! What is wrong with a setting, where, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where something was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it is the default.
    Default,
    /// In a file; the line counts from 1, 0: the file as a whole.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// In a variable of the environment.
    Variable(String),
    /// In an option of `traincheck collect`.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default => f.write_str("default"),
            Place::File { path, line: 0 } => write!(f, "{}", path.display()),
            Place::File { path, line } => write!(f, "{}:{line}", path.display()),
            Place::Variable(name) => f.write_str(name),
            Place::Option(name) => write!(f, "--{name}"),
        }
    }
}

/// Something that was set and cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {what}")]
pub struct Problem {
    /// The setting, or what was taken for one; `file` where it is the file as a whole.
    pub setting: String,
    /// Where it was set.
    pub place: Place,
    /// What is wrong and what to do.
    pub what: String,
}

/// The one of `known` that somebody who wrote `name` most likely meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let given = name.to_lowercase().replace('-', "_");
    known
        .map(|known| (strsim::osa_distance(&given, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// `; did you mean NAME?`, or nothing.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"))
}

/// A text as it was given, short enough for a message and on one line.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "..." } else { "" };
    format!("{short:?}{dots}")
}
