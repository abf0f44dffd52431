//! Which cause a violation speaks for: a table, `causes.toml`, from the most to the least telling.
mod pattern;

use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::Spanned;

use crate::relation::claim::Claim;
use crate::table::{self, ReadTableError};
use pattern::Pattern;
pub use pattern::Sign;

/// The table that is built in.
const BUILT_IN: &str = include_str!("../causes.toml");

/// A cause that can be told from what it violates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cause {
    /// A short name, for programs.
    pub id: String,
    /// What is wrong, in plain words.
    pub title: String,
    /// What to try.
    pub advice: String,
    /// Where more is said.
    #[serde(default)]
    pub link: Option<String>,
    /// Whether it is more often the result of another error than one of its own.
    #[serde(default)]
    pub consequence: bool,
    /// What proves it.
    proof: Vec<Pattern>,
    /// What is to be expected where it is proven.
    #[serde(default)]
    symptom: Vec<Pattern>,
}

impl Cause {
    /// Whether a violation proves it.
    pub fn is_proven_by(&self, sign: &Sign) -> bool {
        self.proof.iter().any(|pattern| pattern.fits(sign))
    }
    /// Whether a violation belongs to it where it is proven.
    pub fn explains(&self, sign: &Sign) -> bool {
        self.is_proven_by(sign) || self.symptom.iter().any(|pattern| pattern.fits(sign))
    }
}

/// Causes in the order in which they are tried. A violation goes to the first one that explains it and is proven by
/// some violation.
#[derive(Clone, Debug, Default)]
pub struct Causes {
    rows: Vec<Cause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    cause: Vec<Spanned<Cause>>,
}

/// The causes that are built in.
pub fn built_in() -> &'static Causes {
    // A test sees to it that the table is right: its patterns are not asked each time.
    static CAUSES: LazyLock<Causes> = LazyLock::new(|| {
        Causes::parse_checked(BUILT_IN, Path::new("causes.toml"), |_| Ok(())).unwrap_or_default()
    });
    &CAUSES
}

impl Causes {
    /// In the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Cause> {
        self.rows.iter()
    }

    /// The causes whose proof or symptom a violation of `claim` could be: whether it could be proof, and the cause.
    pub fn possible(&self, claim: &Claim) -> Vec<(bool, &Cause)> {
        let sign = Sign::expected(claim);
        let of_it = self.rows.iter().filter(|cause| cause.explains(&sign));
        of_it.map(|cause| (cause.is_proven_by(&sign), cause)).collect()
    }

    /// Those of a file, if one is given, and then those that are built in. A row with the id of one of these replaces it.
    ///
    /// # Errors
    /// If the file cannot be read, or a row is wrong.
    pub fn read(path: Option<&Path>) -> Result<Causes, ReadTableError> {
        let Some(path) = path else { return Ok(built_in().clone()) };
        let mut causes = Causes::parse(&table::read(path, "causes")?, path)?;
        let is_new = |cause: &&Cause| causes.rows.iter().all(|own| own.id != cause.id);
        let others: Vec<Cause> = built_in().iter().filter(is_new).cloned().collect();
        causes.rows.extend(others);
        Ok(causes)
    }

    fn parse(text: &str, path: &Path) -> Result<Causes, ReadTableError> {
        Causes::parse_checked(text, path, Pattern::check)
    }

    /// The same, with what is to be asked of each pattern: those of the table that ships a test has asked.
    fn parse_checked(
        text: &str,
        path: &Path,
        check: impl Fn(&Pattern) -> Result<(), String>,
    ) -> Result<Causes, ReadTableError> {
        let table: Table = table::parse(text, path)?;
        let mut rows: Vec<Cause> = Vec::new();
        for row in table.cause {
            let at = row.span().start;
            let row = row.into_inner();
            let named = |what: String| table::wrong(text, path, at, format!("cause `{}`: {what}", row.id));
            if row.id.is_empty() || row.proof.is_empty() {
                return Err(named("it needs an id and a proof".into()));
            }
            if rows.iter().any(|other| other.id == row.id) {
                return Err(named("another cause has the same id".into()));
            }
            for pattern in row.proof.iter().chain(&row.symptom) {
                check(pattern).map_err(named)?;
            }
            rows.push(row);
        }
        Ok(Causes { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_right() {
        let causes = Causes::parse(BUILT_IN, Path::new("causes.toml")).unwrap_or_else(|e| panic!("{e}"));
        assert!(causes.rows.len() >= 16, "{}", causes.rows.len());
        for cause in causes.iter() {
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(cause.id.chars().all(kebab), "{}", cause.id);
            assert!(!cause.title.is_empty() && !cause.title.ends_with('.'), "{}", cause.title);
            assert!(cause.advice.ends_with('.'), "{}: {}", cause.id, cause.advice);
        }
    }

    #[test]
    fn what_is_said_is_right_for_the_library_too() {
        for Cause { id, title, advice, .. } in built_in().iter() {
            for text in [title, advice] {
                assert!(!text.contains("reference"), "{id}: {text}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said_with_its_line() {
        let of = |rows: &str| {
            let text =
                format!("# a comment\n\n[[cause]]\nid = \"x\"\ntitle = \"t\"\nadvice = \"a.\"\n{rows}");
            Causes::parse(&text, Path::new("own.toml")).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(of("proof = [{ outcome.is = \"held\" }]"), Ok(()));
        assert_eq!(of("proof = [{ subject.call.function = \"*.step\" }]"), Ok(()));
        for (rows, says) in [
            ("", "own.toml:3: missing field `proof`"),
            ("proof = []", "own.toml:3: cause `x`: it needs an id and a proof"),
            ("proof = [{ outcome.is = \"hold\" }]", "own.toml:3: cause `x`: outcome: unknown variant `hold`"),
            ("proof = [{ outcome.is = [\"held\", \"hold\"] }]", "unknown variant `hold`"),
            ("proof = [{ relation = \"covers\" }]", "relation: unknown variant `covers`"),
            ("proof = [{ relation = \"moving\", why = \"because\" }]", "why: unknown variant `because`"),
            ("proof = [{ outcome = { is = \"called\", cal.role = \"x\" } }]", "outcome: unknown field `cal`"),
            ("proof = [{ outcome = { is = \"called\", call.role = \"x\" } }]", "`x` is not a role"),
            ("proof = [{ relation = \"moving\", variable.sort = \"loss\" }]", "variable: there is no `sort`"),
            ("proof = [{}]", "a pattern has to name a relation, subject or outcome"),
            ("proof = [{ why = \"no_gradient\" }]", "a pattern has to name"),
            ("proof = [{ whose = \"x\" }]", "own.toml:7: unknown field `whose`"),
            ("proof = [{", "own.toml:7: "),
        ] {
            let error = of(rows).expect_err(rows);
            assert!(error.contains(says), "{rows}: {error}");
        }
    }
}
