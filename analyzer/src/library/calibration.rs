//! From which clean runs broke what of that which was learned from others to how often families do: [`Levels`]; and how
//! often these would be wrong on programs that nobody has measured. `scripts/calibrate` has the runs checked and writes what
//! came of it to a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::bound::upper_bound;
use super::levels::{FORMAT, Fared, Levels, Measurement, VERSION};
use crate::difference::Difference;
use crate::invariants::Doubt;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 28;

/// What came of all checks, by what the runs that were checked differ in from those that were learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Calibration {
    /// Each with the runs that were checked so.
    pub differences: BTreeMap<Difference, Checked>,
}

/// Clean runs that were checked by what others say. Runs are named `program/run`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// All of them.
    pub runs: BTreeSet<String>,
    /// By family, those whose claims are alarms by the rules.
    pub families: BTreeMap<String, Tally>,
    /// The same of notices that could be alarms, by why the rules take them for none.
    pub notices: BTreeMap<Doubt, BTreeMap<String, Tally>>,
}

/// How a family fared, run by run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The runs in which a claim of it came up.
    pub runs: BTreeSet<String>,
    /// How many claims did, in all of them together.
    pub claims: u64,
    /// The runs that violate one of them.
    pub broken: BTreeSet<String>,
}

/// Runs with a false alarm, where each program is checked by the levels that all other programs would have given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut<'a> {
    /// By what is an alarm by the rules.
    pub by_alarms: BTreeSet<&'a str>,
    /// By what was a notice.
    pub by_notices: BTreeSet<&'a str>,
}

impl LeftOut<'_> {
    /// How many runs have one.
    pub fn runs(&self) -> u64 {
        self.by_alarms.union(&self.by_notices).count() as u64
    }

    /// How many have none by what is an alarm by the rules.
    pub fn only_by_notices(&self) -> u64 {
        self.by_notices.difference(&self.by_alarms).count() as u64
    }

    /// An upper bound of the share of runs with one, of 95 % confidence, where so many were checked.
    pub fn upper_bound(&self, of: u64) -> f64 {
        upper_bound(self.runs(), of)
    }
}

/// Of a run's name.
fn program_of(run: &str) -> &str {
    run.split_once('/').map_or(run, |(program, _)| program)
}

fn programs_of<'a>(runs: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    runs.map(|run| program_of(run)).collect()
}

impl Tally {
    /// In numbers, as far as `counts` says of a program that it does. How many claims a run had is not known, so all are
    /// counted: nothing is decided by them.
    fn fared(&self, counts: impl Fn(&str) -> bool + Copy) -> Fared {
        let of = |run: &&String| counts(program_of(run));
        Fared {
            runs: self.runs.iter().filter(of).count() as u64,
            programs: programs_of(self.runs.iter().filter(of)).len() as u64,
            claims: self.claims,
            broken: self.broken.iter().filter(of).cloned().collect(),
        }
    }

    /// The runs of a program that violate a claim.
    fn broken_by(&self, program: &str) -> impl Iterator<Item = &str> {
        self.broken.iter().map(String::as_str).filter(move |run| program_of(run) == program)
    }

    /// What does not fit, where these runs were checked.
    fn inconsistency(&self, checked: &BTreeSet<String>) -> Option<&'static str> {
        if !self.runs.is_subset(checked) {
            return Some("it came up in a run that was not checked");
        }
        if !self.broken.is_subset(&self.runs) {
            return Some("it is broken by a run in which it did not come up");
        }
        (self.claims < self.runs.len() as u64).then_some("it came up in more runs than it has claims")
    }
}

impl Checked {
    /// How often runs violate what was learned.
    pub fn measurement(&self) -> Measurement {
        self.measurement_of(|_| true)
    }

    /// The same of those programs of which `counts` says that they count.
    fn measurement_of(&self, counts: impl Fn(&str) -> bool + Copy) -> Measurement {
        let all = |tallies: &BTreeMap<String, Tally>| -> BTreeMap<String, Fared> {
            tallies.iter().map(|(family, tally)| (family.clone(), tally.fared(counts))).collect()
        };
        let of = |run: &&String| counts(program_of(run));
        let notices = self.notices.iter().filter(|(_, tallies)| !tallies.is_empty());
        Measurement {
            programs: programs_of(self.runs.iter().filter(of)).len() as u64,
            runs: self.runs.iter().filter(of).count() as u64,
            families: all(&self.families),
            notices: notices.map(|(doubt, tallies)| (*doubt, all(tallies))).collect(),
        }
    }

    /// Checks each program by what the others bear out.
    pub fn left_out(&self, budget: f64) -> LeftOut<'_> {
        let mut left_out = LeftOut::default();
        for program in programs_of(self.runs.iter()) {
            let others = self.measurement_of(|other| other != program);
            let decided = others.decide(budget);
            for (family, tally) in &self.families {
                if !decided.lowered.contains_key(family.as_str()) {
                    left_out.by_alarms.extend(tally.broken_by(program));
                }
            }
            for (doubt, tallies) in &self.notices {
                for (family, tally) in tallies {
                    if decided.raised.contains_key(&(*doubt, family.as_str())) {
                        left_out.by_notices.extend(tally.broken_by(program));
                    }
                }
            }
        }
        left_out
    }
}

/// Why what was measured cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadCalibrationError {
    /// There is no such file, or it cannot be read.
    #[error("{path}: cannot read what was measured: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than what is measured of any corpus.
    #[error("{path}: {bytes} bytes is too large for what was measured; is it another file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not JSON, or not of this shape.
    #[error("{path}: not what was measured: {source}; scripts/calibrate makes such a file")]
    Shape {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// Nothing can be said of no runs.
    #[error(
        "{path}: no run was checked; scripts/calibrate needs two runs or more of a program, or two programs"
    )]
    NoRuns {
        /// The file.
        path: PathBuf,
    },
    /// A run's name does not say of which program it is.
    #[error("{path}: the run {run:?} is not named PROGRAM/RUN; make the file anew with scripts/calibrate")]
    Name {
        /// The file.
        path: PathBuf,
        /// As it stands there.
        run: String,
    },
    /// A family contradicts the runs: edited by hand, or damaged.
    #[error(
        "{path}: the family {family:?} is inconsistent: {what}; make the file anew with scripts/calibrate"
    )]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// As it stands there.
        family: String,
        /// What does not fit.
        what: &'static str,
    },
}

impl Calibration {
    /// How often families are violated, as `check` goes by it.
    pub fn levels(&self) -> Levels {
        let differences = self.differences.iter();
        let differences = differences.map(|(difference, checked)| (*difference, checked.measurement()));
        Levels { format: FORMAT.into(), version: VERSION, differences: differences.collect() }
    }

    /// Reads a file. Nothing in it is trusted.
    ///
    /// # Errors
    /// If it is missing, something else, empty, or contradicts itself.
    pub fn read(path: &Path) -> Result<Calibration, ReadCalibrationError> {
        let failed = |source| ReadCalibrationError::Io { path: path.into(), source };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        if bytes > LARGEST {
            return Err(ReadCalibrationError::TooLarge { path: path.into(), bytes });
        }
        Calibration::parse(&fs::read(path).map_err(failed)?, path)
    }

    /// The same from bytes; `path` is for messages.
    ///
    /// # Errors
    /// As [`Calibration::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Calibration, ReadCalibrationError> {
        let shape = |source| ReadCalibrationError::Shape { path: path.into(), source };
        let calibration: Calibration = serde_json::from_slice(bytes).map_err(shape)?;
        if calibration.differences.values().all(|checked| checked.runs.is_empty()) {
            return Err(ReadCalibrationError::NoRuns { path: path.into() });
        }
        for checked in calibration.differences.values() {
            if let Some(run) = checked.runs.iter().find(|run| !is_a_name(run)) {
                return Err(ReadCalibrationError::Name { path: path.into(), run: run.clone() });
            }
            for (family, tally) in checked.families.iter().chain(checked.notices.values().flatten()) {
                if let Some(what) = tally.inconsistency(&checked.runs) {
                    let (path, family) = (path.into(), family.clone());
                    return Err(ReadCalibrationError::Inconsistent { path, family, what });
                }
            }
        }
        Ok(calibration)
    }
}

/// Whether it says of a run which one it is of which program.
fn is_a_name(run: &str) -> bool {
    run.split_once('/').is_some_and(|(program, run)| !program.is_empty() && !run.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No false alarm, by alarms or by notices.
    const NONE: [Vec<&str>; 2] = [Vec::new(), Vec::new()];

    /// Ten runs each of so many programs, `p0/0` to `p0/9` and so on.
    fn runs(programs: usize) -> BTreeSet<String> {
        (0..programs).flat_map(|program| (0..10).map(move |run| format!("p{program}/{run}"))).collect()
    }

    /// A family that came up in all of these, with one claim each.
    fn tally(runs: &BTreeSet<String>, broken: &[&str]) -> Tally {
        let broken = broken.iter().map(|run| (*run).to_owned()).collect();
        Tally { runs: runs.clone(), claims: runs.len() as u64, broken }
    }

    /// With an alarm-level family `a` and a notice `n`, broken by these.
    fn checked(programs: usize, alarm: &[&str], notice: &[&str]) -> Checked {
        let runs = runs(programs);
        let of = |name: &str, broken| BTreeMap::from([(name.to_owned(), tally(&runs, broken))]);
        let notices =
            BTreeMap::from([(Doubt::FewExamples, of("n", notice)), (Doubt::Ambiguous, BTreeMap::new())]);
        Checked { families: of("a", alarm), notices, runs }
    }

    /// The runs with a false alarm by alarms and by notices, with the budget of one in 50.
    fn left_out(checked: &Checked) -> [Vec<&str>; 2] {
        let LeftOut { by_alarms, by_notices } = checked.left_out(0.02);
        [by_alarms, by_notices].map(|runs| runs.into_iter().collect())
    }

    #[test]
    fn runs_are_counted_by_program() {
        let found = checked(2, &["p0/3", "p1/0"], &[]).measurement();
        assert_eq!((found.programs, found.runs), (2, 20));
        let broken = BTreeSet::from(["p0/3".to_owned(), "p1/0".to_owned()]);
        assert_eq!(found.families["a"], Fared { runs: 20, programs: 2, claims: 20, broken });
        // Of a doubt in which there is nothing the file has nothing.
        let held = Fared { runs: 20, programs: 2, claims: 20, broken: BTreeSet::new() };
        let notices = BTreeMap::from([(Doubt::FewExamples, BTreeMap::from([("n".to_owned(), held)]))]);
        assert_eq!(found.notices, notices);
    }

    #[test]
    fn a_program_that_alone_breaks_something_is_a_false_alarm_by_the_others() {
        let all = ["p0/0", "p0/1", "p0/2", "p0/3", "p0/4"];
        // All together five of 300 are too many (3.5 %), and `a` is a notice. Without p0 nothing speaks against it.
        let one = checked(30, &all, &[]);
        assert!(one.measurement().decide(0.02).lowered.contains_key("a"));
        assert_eq!(left_out(&one), [all.to_vec(), vec![]]);
        // Where two programs break it each is checked by what the other one bears out: five of 290 are too many as well.
        let more = ["p1/0", "p1/1", "p1/2", "p1/3", "p1/4"];
        let two = checked(30, &[&all[..], &more].concat(), &[]);
        assert_eq!(left_out(&two), NONE);
        // One of 290 (1.6 %) is not, so both are false alarms; one of 140 (3.3 %) is.
        assert_eq!(left_out(&checked(30, &["p0/0", "p1/0"], &[])), [vec!["p0/0", "p1/0"], vec![]]);
        assert_eq!(left_out(&checked(15, &["p0/0", "p1/0"], &[])), NONE);
    }

    #[test]
    fn false_alarms_by_what_was_a_notice_are_told_apart() {
        let both = checked(30, &["p0/0"], &["p0/0", "p0/1"]);
        assert_eq!(left_out(&both), [vec!["p0/0"], vec!["p0/0", "p0/1"]]);
        let found = both.left_out(0.02);
        assert_eq!((found.runs(), found.only_by_notices()), (2, 1));
        assert_eq!(found.upper_bound(300), upper_bound(2, 300));
        // Ten programs are enough to take a notice for an alarm; nine others are not.
        let mut habit = checked(30, &[], &["p0/0"]);
        let ten = habit.runs.iter().filter(|run| run.len() == "p0/0".len()).cloned().collect();
        habit.notices.insert(Doubt::FewExamples, BTreeMap::from([("n".into(), tally(&ten, &["p0/0"]))]));
        assert!(!habit.measurement().decide(0.02).raised.is_empty());
        assert_eq!(left_out(&habit), NONE);
    }

    #[test]
    fn a_program_is_what_comes_before_the_slash() {
        // p1 begins as p10 does. Two of 290 speak against `a` where p1 is left out, one where p10 is.
        let found = checked(30, &["p1/0", "p10/0", "p10/1"], &[]);
        assert_eq!(left_out(&found), [vec!["p10/0", "p10/1"], vec![]]);
    }
}
