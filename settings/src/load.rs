//! From where settings come, and which source wins: option, variable, file, default.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::file::{self, Value};
use crate::problem::{Place, Problem, did_you_mean, nearest, quoted};
use crate::{Kind, Settings, TABLE};

/// The file that is read if no other is named.
const FILE: &str = "traincheck.toml";
/// What the names of our variables begin with.
const PREFIX: &str = "TRAINCHECK_";
/// After so many problems the rest is of the same kind: another file was named.
const MOST_PROBLEMS: usize = 20;

/// A setting that was given as an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name in the table.
    pub setting: &'static str,
    /// Its values, one unless it is a list.
    pub values: Vec<OsString>,
}

/// Where settings are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The working directory.
    pub folder: PathBuf,
    /// The variables; see [`environment`].
    pub environment: Vec<(String, OsString)>,
    /// The options.
    pub options: Vec<Given>,
}

/// A setting and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its name.
    pub name: &'static str,
    /// The value as text; empty: none.
    pub value: String,
    /// Where it comes from.
    pub place: Place,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// The same, as text, in the order of the table.
    pub in_force: Vec<InForce>,
    /// What could not be followed.
    pub problems: Vec<Problem>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// The variables of this process whose names are ours.
pub fn environment() -> Vec<(String, OsString)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Reads all sources. The one file is read from the disk, and paths are looked up; else the result depends on
/// `sources` only.
pub fn load(sources: &Sources) -> Loaded {
    let mut reading = Reading {
        settings: Settings::default(),
        places: TABLE.iter().map(|_| Place::Default).collect(),
        problems: Vec::new(),
    };
    let file = find_file(sources, &mut reading.problems);
    if let Some(path) = &file {
        reading.file(path);
    }
    reading.environment(sources);
    reading.options(sources);
    let Reading { mut settings, places, mut problems } = reading;
    problems.truncate(MOST_PROBLEMS);
    let in_force = TABLE
        .iter()
        .zip(places)
        .filter_map(|(row, place)| Some(InForce { name: row.name, value: row.show(&mut settings)?, place }))
        .collect();
    Loaded { settings, in_force, problems, file }
}

struct Reading {
    settings: Settings,
    /// Of each row of the table.
    places: Vec<Place>,
    problems: Vec<Problem>,
}

impl Reading {
    /// Takes over the value of one row.
    fn set(&mut self, row: usize, value: &Value, place: Place, base: &Path) {
        let faults = TABLE[row].set(&mut self.settings, value, base);
        // A list is in force with what is right in it; any other value that is wrong leaves what was there.
        if faults.is_empty() || TABLE[row].is_list() {
            self.places[row] = place.clone();
        }
        for (at, what) in faults {
            self.problem(
                TABLE[row].name,
                at.unwrap_or_else(|| place.clone()),
                format!("`{}`: {what}", TABLE[row].name),
            );
        }
    }

    fn problem(&mut self, setting: &str, place: Place, what: String) {
        self.problems.push(Problem { setting: setting.chars().take(60).collect(), place, what });
    }

    fn file(&mut self, path: &Path) {
        let whole = || Place::File { path: path.to_owned(), line: 0 };
        let text = match file::read(path) {
            Ok(text) => text,
            Err(what) => return self.problem("file", whole(), what),
        };
        let entries = match file::parse(&text, path) {
            Ok(entries) => entries,
            Err((place, what)) => return self.problem("file", place, what),
        };
        let base = path.parent().unwrap_or(Path::new("/"));
        for (key, value, place) in entries {
            match TABLE.iter().position(|row| row.name == key) {
                Some(row) if TABLE[row].in_file => self.set(row, &value, place, base),
                Some(row) => {
                    let what =
                        format!("`{key}` cannot be set in the file; set {} instead", TABLE[row].variable);
                    self.problem(&key, place, what);
                }
                None => {
                    let known = TABLE.iter().filter(|row| row.in_file).map(|row| row.name);
                    let hint = match did_you_mean(&key, known.clone()) {
                        hint if hint.is_empty() => {
                            format!("; the settings are {}", known.collect::<Vec<_>>().join(", "))
                        }
                        hint => hint,
                    };
                    self.problem(&key, place, format!("unknown setting {}{hint}", quoted(&key)));
                }
            }
        }
    }

    fn environment(&mut self, sources: &Sources) {
        for (row, setting) in TABLE.iter().enumerate() {
            if matches!(setting.kind, Kind::Path) || setting.variable.is_empty() {
                continue;
            }
            let Some(value) = variable(sources, setting.variable) else { continue };
            let place = Place::Variable(setting.variable.to_owned());
            self.text(row, value, place, &sources.folder);
        }
        // A name that is not ours may be somebody else's; one that is nearly ours is a slip.
        let known = || TABLE.iter().map(|row| row.variable).filter(|variable| !variable.is_empty());
        for (name, _) in &sources.environment {
            let rest = name.strip_prefix(PREFIX).unwrap_or(name);
            let meant = nearest(rest, known().filter_map(|known| known.strip_prefix(PREFIX)));
            if let Some(meant) = meant.filter(|meant| *meant != rest) {
                let what = format!("no such variable; did you mean `{PREFIX}{meant}`?");
                self.problem(name, Place::Variable(name.clone()), what);
            }
        }
    }

    fn options(&mut self, sources: &Sources) {
        for given in &sources.options {
            let Some(row) = TABLE.iter().position(|row| row.name == given.setting) else { continue };
            if matches!(TABLE[row].kind, Kind::Path) {
                continue;
            }
            let value = given.values.join(OsStr::new(","));
            self.text(row, &value, Place::Option(TABLE[row].option), &sources.folder);
        }
    }

    fn text(&mut self, row: usize, value: &OsStr, place: Place, base: &Path) {
        match value.to_str() {
            Some(text) => self.set(row, &Value::Text(text.to_owned()), place, base),
            None => {
                let what = format!("`{}`: the value is not UTF-8", TABLE[row].name);
                self.problem(TABLE[row].name, place, what);
            }
        }
    }
}

/// A variable that is set to something.
fn variable<'a>(sources: &'a Sources, name: &str) -> Option<&'a OsStr> {
    let (_, value) = sources.environment.iter().find(|(known, _)| known == name)?;
    (!value.is_empty()).then_some(value)
}

fn find_file(sources: &Sources, problems: &mut Vec<Problem>) -> Option<PathBuf> {
    let option = sources.options.iter().find(|given| given.setting == "config");
    let named = option
        .and_then(|given| Some((Place::Option("config"), given.values.last()?.as_os_str())))
        .or_else(|| {
            Some((Place::Variable("TRAINCHECK_CONFIG".to_owned()), variable(sources, "TRAINCHECK_CONFIG")?))
        });
    let Some((place, named)) = named else {
        let usual = sources.folder.join(FILE);
        return usual.exists().then_some(usual);
    };
    let path = sources.folder.join(named);
    if path.exists() {
        return Some(path);
    }
    let what = format!("{}: no such file; name a file of settings, or none", path.display());
    problems.push(Problem { setting: "file".to_owned(), place, what });
    None
}
