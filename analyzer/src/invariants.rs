//! The file of invariants: JSON, versioned, the same bytes for the same references.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::optional::OptionalPart;
use crate::precondition::{MOST_CLAUSES, Precondition};
use crate::program;
use crate::relation::claim::{Claim, RelationName};
use crate::whole_file;
use crate::words::capitalised;

/// What the field `format` says.
pub const FORMAT: &str = "traincheck-invariants";
/// The version that is written, and the only one that is read: what older ones hold was learned by other rules.
pub const VERSION: u64 = 2;
/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// What a violation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// An error: `check` fails.
    Alarm,
    /// Worth a look.
    Notice,
}

/// Why a claim whose violation can be an error of training is a notice all the same. Each says how sure the references
/// leave it, so what was measured of such claims can overrule it. From the lightest to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Too little speaks for it, in some run, in the first half of all, or in all but one.
    FewExamples,
    /// Learned on a part of the references, it fails in the rest.
    FailsElsewhere,
    /// A weaker claim fits the references as well.
    Ambiguous,
}

/// How claims of the family of an invariant fared on clean runs that differ from their references as the run at hand does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// In how many runs one came up.
    pub runs: u64,
    /// Of how many programs these are.
    pub programs: u64,
    /// In how many of the runs one was violated.
    pub broken: u64,
}

/// Everything that was learned. The default: nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariants {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u64,
    /// The runs it was learned from.
    pub runs: Vec<ReferenceRun>,
    /// Invariants of the library that one of the runs breaks: they do not count, with references of several programs for
    /// those that break them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excused: Vec<Excuse>,
    /// In order of id.
    pub invariants: Vec<Invariant>,
}

/// An invariant of the library that does not count, since runs that are known to be good break it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excuse {
    /// Its id.
    pub id: String,
    /// In words.
    pub text: String,
    /// The programs that break it; `None`: one whose name was not recorded.
    pub programs: BTreeSet<Option<String>>,
}

/// A run that was learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceRun {
    /// Name of its folder.
    pub name: String,
    /// The script or module that ran, where that was recorded: see [`program::name`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub program: Option<String>,
    /// Processes.
    pub processes: u64,
    /// Iterations of the process that has most.
    pub iterations: u64,
    /// Events and states.
    pub records: u64,
    /// Whether some process was not sealed.
    pub torn: bool,
    /// The arguments of the script, as far as they were recorded.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub arguments: Vec<String>,
}

/// A claim with what speaks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invariant {
    /// Relation and hash of claim and precondition.
    pub id: String,
    /// In words.
    pub text: String,
    /// What a violation means.
    pub level: Level,
    /// Of a notice: the gravest reason why it is no alarm. None where it could not be one whatever was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// What is claimed.
    pub claim: Claim,
    /// Where; empty: everywhere.
    pub precondition: Precondition,
    /// What each run says, in the order of the runs.
    pub evidence: Vec<Evidence>,
    /// How probable it is that the next window holds, by the rule of succession, if windows were independent: from
    /// 0.666 after one example towards 1.
    #[serde(default)]
    pub confidence: f64,
    /// How it was tried, where it was not learned from these runs but is the library's: it names nothing of a program.
    /// No file of invariants has such.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
    /// By what its level was decided when a run was checked, where it is not that of the file.
    #[serde(skip)]
    pub measured: Option<Rate>,
}

/// On which programs a claim that names nothing of a program was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Programs in which it came up.
    pub programs: u64,
    /// Runs of them in which it did.
    pub runs: u64,
    /// Windows with a verdict in these.
    pub windows: u64,
    /// How many of the runs are of programs of which kind, as far as it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, u64>,
    /// In how many runs of which program it did not always hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub broken: BTreeMap<String, u64>,
}

/// What one run says about a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Windows within the precondition in which the outcome held.
    pub positive: u64,
    /// Windows outside the precondition in which it did not.
    pub negative: u64,
    /// Windows that gave no verdict.
    pub undecided: u64,
}

impl Invariant {
    /// Its id, text and confidence follow from the rest.
    pub fn new(claim: Claim, precondition: Precondition, level: Level, evidence: Vec<Evidence>) -> Invariant {
        let id = id(&claim, &precondition);
        let mut text = claim.text();
        if let Some(condition) = precondition.text() {
            text = format!("{text}, where {condition}");
        }
        let text = capitalised(&text);
        let confidence = confidence(evidence.iter().map(|run| run.positive).sum());
        Invariant {
            id,
            text,
            level,
            doubt: None,
            claim,
            precondition,
            evidence,
            confidence,
            tried: None,
            measured: None,
        }
    }
}

/// After so many examples and no counter-example; in thousandths, so that every machine writes the same.
fn confidence(examples: u64) -> f64 {
    let examples = u128::from(examples);
    ((examples + 1) * 1000 / (examples + 2)) as f64 / 1000.0
}

fn id(claim: &Claim, precondition: &Precondition) -> String {
    let canonical = serde_json::to_string(&(claim, precondition)).unwrap_or_default();
    format!("{}-{:016x}", claim.relation().word(), xxhash_rust::xxh3::xxh3_64(canonical.as_bytes()))
}

/// Why a file of invariants cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadInvariantsError {
    /// There is none, or it cannot be read.
    #[error("{path}: cannot read the invariants: {source}; make them with `traincheck infer RUN... -o FILE`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than anything `infer` writes.
    #[error("{path}: {bytes} bytes is too large for a file of invariants; is it another file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not JSON, or not of this shape.
    #[error("{path}: not a file of invariants: {source}; make one with `traincheck infer RUN... -o FILE`")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// JSON of something else.
    #[error(
        "{path}: not a file of invariants: it lacks `\"format\": \"{FORMAT}\"` and a `version`; \
         make one with `traincheck infer RUN... -o FILE`"
    )]
    NoVersion {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer traincheck.
    #[error(
        "{path}: version {version} of the format is newer than this traincheck reads ({VERSION}); install a newer traincheck"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
    /// Written by an older traincheck, whose rules were others.
    #[error(
        "{path}: version {version} of the format is older than this traincheck reads ({VERSION}); \
         make it anew with `traincheck infer RUN... -o FILE`"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
    /// An id or relation does not fit the claim: edited by hand, or damaged.
    #[error("{path}: invariant {number} ({id}) is inconsistent: {what}; infer the invariants anew")]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: usize,
        /// As it stands there.
        id: String,
        /// What does not fit.
        what: &'static str,
    },
}

/// What a file of ours says before all else.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    #[serde(default)]
    pub format: Option<String>,
    #[serde(default)]
    pub version: Option<u64>,
}

impl Invariants {
    /// Reads a file. Nothing in it is trusted or executed.
    ///
    /// # Errors
    /// If it is missing, no file of invariants, or of another version than this program's; see [`ReadInvariantsError`].
    pub fn read(path: &Path) -> Result<Invariants, ReadInvariantsError> {
        let failed = |source| ReadInvariantsError::Io { path: path.into(), source };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > LARGEST {
            return Err(ReadInvariantsError::TooLarge { path: path.into(), bytes });
        }
        Invariants::parse(&fs::read(path).map_err(failed)?, path)
    }

    /// The same from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Invariants::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Invariants, ReadInvariantsError> {
        let shape = |source| ReadInvariantsError::Shape { path: path.into(), source };
        // Only the envelope first: of a newer version nothing else can be expected to fit.
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(shape)?;
        match (envelope.format.as_deref(), envelope.version) {
            (Some(FORMAT), Some(version)) if version > VERSION => {
                return Err(ReadInvariantsError::Newer { path: path.into(), version });
            }
            (Some(FORMAT), Some(version)) if version < VERSION => {
                return Err(ReadInvariantsError::Older { path: path.into(), version });
            }
            (Some(FORMAT), Some(_)) => {}
            _ => return Err(ReadInvariantsError::NoVersion { path: path.into() }),
        }
        let invariants: Invariants = serde_json::from_slice(bytes).map_err(shape)?;
        for (index, invariant) in invariants.invariants.iter().enumerate() {
            if let Err(what) = consistent(invariant) {
                return Err(ReadInvariantsError::Inconsistent {
                    path: path.into(),
                    number: index + 1,
                    id: invariant.id.clone(),
                    what,
                });
            }
        }
        Ok(invariants)
    }

    /// The same, as it applies to a run of `program`.
    ///
    /// Learned from runs of one program, everything is meant for whatever is checked. Where the references are of
    /// several, an alarm that a single one speaks for may be a habit of that one: for other programs it is a
    /// notice. So is whatever speaks of functions of the script, which share no more than a name, or of what the same
    /// function calls, which is a matter of how a script is cut into functions, and that a part is there which a
    /// training can do without.
    pub fn for_program(&self, program: Option<&str>) -> Cow<'_, Invariants> {
        if self.is_of_one_program() {
            return Cow::Borrowed(self);
        }
        let mut invariants = self.clone();
        let programs: Vec<Option<&str>> =
            [program].into_iter().chain(self.runs.iter().map(|run| run.program.as_deref())).collect();
        // That of this run is the first.
        let programs = program::numbered(&programs);
        let may_be_alarms = |i: &&mut Invariant| i.level == Level::Alarm || i.doubt.is_some();
        for invariant in invariants.invariants.iter_mut().filter(may_be_alarms) {
            let runs =
                programs[1..].iter().zip(&invariant.evidence).filter(|(_, evidence)| evidence.positive > 0);
            let speaking: BTreeSet<usize> = runs.map(|(program, _)| *program).collect();
            let of_a_script =
                invariant.claim.says().is_of_a_script() || OptionalPart::of(&invariant.claim).is_some();
            if !speaking.contains(&programs[0]) && (speaking.len() < 2 || of_a_script) {
                invariant.level = Level::Notice;
                // Whatever was measured: clean runs of other programs do break habits.
                invariant.doubt = None;
            }
        }
        Cow::Owned(invariants)
    }

    /// Whether all references are of one program.
    pub fn is_of_one_program(&self) -> bool {
        program::are_one(self.runs.iter().map(|run| run.program.as_deref()))
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
    pub fn write(&self, path: &Path) -> io::Result<()> {
        whole_file::write(path, self.to_json().as_bytes())
    }
}

fn consistent(invariant: &Invariant) -> Result<(), &'static str> {
    if invariant.id != id(&invariant.claim, &invariant.precondition) {
        return Err("the id is not that of the claim and precondition");
    }
    if invariant.precondition.any_of.len() > MOST_CLAUSES {
        return Err("the precondition has more than two clauses");
    }
    let claim = &invariant.claim;
    if invariant.level == Level::Alarm && (!claim.is_critical() || claim.literal().is_some()) {
        return Err("such a claim can be no more than a notice");
    }
    Ok(())
}

/// How many claims of each relation there are, alarms first.
pub fn count_by_relation(invariants: &[Invariant]) -> Vec<(RelationName, usize, usize)> {
    RelationName::ALL
        .iter()
        .map(|&relation| {
            let of_it = || invariants.iter().filter(|i| i.claim.relation() == relation);
            let alarms = of_it().filter(|i| i.level == Level::Alarm).count();
            (relation, alarms, of_it().count() - alarms)
        })
        .collect()
}
