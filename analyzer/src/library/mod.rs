//! The library: invariants that name nothing of a program, tried on programs that nobody here wrote, with levels that were
//! measured on them. It ships with the program; [`measure`] makes it. [`levels`] has what was measured of claims that are
//! learned from runs; [`calibration`] makes that.
mod bound;
pub mod calibration;
pub mod family;
pub mod levels;
pub mod measure;
mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::infer::Reference;
use crate::invariants::{Excuse, Invariant, Invariants, Level, Tried};
use crate::precondition::Precondition;
use crate::program;
use crate::relation::claim::Claim;
use crate::whole_file;
pub use read::ReadLibraryError;

/// What the field `format` says.
pub const FORMAT: &str = "traincheck-library";
/// The version that is written and read.
pub const VERSION: u64 = 1;

/// The library that ships.
const BUILT_IN: &str = include_str!("../../library/general.json");

/// Invariants of any program, and what they were tried on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u64,
    /// How often its alarms are false on programs that it was not made from.
    pub measured: Measured,
    /// The programs, in order of name.
    pub programs: Vec<Program>,
    /// In order of id.
    pub claims: Vec<Entry>,
}

/// Each program checked by what the others bear out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The share of runs that may have a false alarm.
    pub budget: f64,
    /// Runs that are known to be good.
    pub runs: u64,
    /// How many of them raised an alarm.
    pub alarms: u64,
    /// An upper bound of the rate, of 95 % confidence if runs were independent.
    pub upper_bound: f64,
}

/// A program that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its name in the corpus.
    pub name: String,
    /// What it is and ran with; none where the corpus does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// How many runs, each of another configuration or seed.
    pub runs: u64,
    /// Iterations of all of them.
    pub iterations: u64,
}

/// What a program of a corpus is and ran with: `program.json` in its folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Programs of one kind train alike: one package's loop, or one field's.
    pub kind: String,
    /// The packages whose loop it is, and PyTorch, with their versions.
    pub packages: BTreeMap<String, String>,
}

/// A claim and how it fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// That of the invariant that it makes.
    pub id: String,
    /// In words.
    pub text: String,
    /// What a violation means.
    pub level: Level,
    /// What is claimed.
    pub claim: Claim,
    /// On what it was tried.
    pub tried: Tried,
}

/// The library that ships with this program.
pub fn built_in() -> &'static Library {
    // A test sees to it that it is right.
    static LIBRARY: LazyLock<Library> = LazyLock::new(|| serde_json::from_str(BUILT_IN).unwrap_or_default());
    &LIBRARY
}

impl Entry {
    /// A claim that was tried.
    fn new(claim: Claim, level: Level, tried: Tried) -> Entry {
        let Invariant { id, text, .. } =
            Invariant::new(claim.clone(), Precondition::default(), level, Vec::new());
        Entry { id, text, level, claim, tried }
    }

    fn invariant(&self) -> Invariant {
        let mut invariant =
            Invariant::new(self.claim.clone(), Precondition::default(), self.level, Vec::new());
        invariant.tried = Some(self.tried.clone());
        invariant
    }
}

impl Library {
    /// Adds its invariants to what was learned, as it applies to a run of `program`, but for those that are excused, and
    /// those that were learned as well. What is left of `excused` are those that were left out for it.
    pub fn join(&self, learned: &mut Invariants, program: Option<&str>) {
        let of_one = learned.is_of_one_program();
        learned.excused.retain(|one| {
            let is_of_it =
                || program::same_as(program, one.programs.iter().map(Option::as_deref)).contains(&true);
            (of_one || is_of_it()) && self.claims.iter().any(|entry| entry.id == one.id)
        });
        let excused = |entry: &Entry| learned.excused.iter().any(|one| one.id == entry.id);
        let is_known = |entry: &Entry| {
            learned.invariants.iter().any(|one| one.id == entry.id && one.level <= entry.level)
        };
        let added: Vec<Invariant> = self
            .claims
            .iter()
            .filter(|entry| !excused(entry) && !is_known(entry))
            .map(Entry::invariant)
            .collect();
        learned.invariants.extend(added);
    }

    /// Those of its invariants that references break.
    pub fn excused_by(&self, references: &[Reference]) -> Vec<Excuse> {
        let excuse = |entry: &Entry| {
            let breaking =
                references.iter().filter(|reference| reference.evidence.trial(&entry.claim).violated > 0);
            let programs = breaking.map(|reference| reference.run.program.clone()).collect();
            Excuse { id: entry.id.clone(), text: entry.text.clone(), programs }
        };
        self.claims.iter().map(excuse).filter(|excuse| !excuse.programs.is_empty()).collect()
    }

    /// As the bytes of a file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes the file as a whole or not at all.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        whole_file::write(path, self.to_json().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::invariants::ReferenceRun;

    #[test]
    fn the_library_that_ships_is_right() {
        let library = Library::parse(BUILT_IN.as_bytes(), Path::new("general.json"));
        let library = library.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(library.to_json(), BUILT_IN, "make it anew with `traincheck library`");
    }

    /// How many of the library are left out for a run of `program`, with references of these programs; the first breaks one.
    fn left_out(references: &[&str], program: Option<&str>) -> usize {
        let run =
            |program: &&str| ReferenceRun { program: Some((*program).into()), ..ReferenceRun::default() };
        let Entry { id, text, .. } = built_in().claims[0].clone();
        let programs = BTreeSet::from([Some(references[0].into())]);
        let unknown = Excuse { id: "unknown".into(), text: text.clone(), programs: programs.clone() };
        let mut learned = Invariants {
            runs: references.iter().map(run).collect(),
            excused: vec![Excuse { id, text, programs }, unknown],
            ..Invariants::default()
        };
        built_in().join(&mut learned, program);
        let (joined, of) = (learned.invariants.len(), built_in().claims.len());
        assert_eq!(learned.excused.len(), of - joined);
        of - joined
    }

    #[test]
    fn references_of_one_program_excuse_whatever_is_checked() {
        for program in [Some("train.py"), Some("./train.py"), Some("/home/you/train.py"), None] {
            assert_eq!(left_out(&["train.py", "train.py"], program), 1, "{program:?}");
        }
        assert_eq!(left_out(&["train.py", "other.py"], Some("train.py")), 1);
        assert_eq!(left_out(&["train.py", "other.py"], Some("other.py")), 0);
    }
}
