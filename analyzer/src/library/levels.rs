//! How often clean runs violate what was learned from others, by family of claims and by what the runs differ in; and from
//! that, which families may raise alarms. `scripts/calibrate` measures it, and [`super::calibration`] puts it together.
//!
//! Both ways: alarms by the rules of `infer` are notices where clean runs break their kind too often, and notices that
//! these rules are in [`Doubt`] of are alarms where enough clean runs do not. What the runs differ in is known when one is
//! checked, so it is then that levels are decided; the file of invariants says by which rule a notice is one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::bound::upper_bound;
use super::family::family;
use crate::difference::Difference;
use crate::invariants::{Doubt, Invariant, Invariants, Level, Rate};
use crate::whole_file;
use crate::words::plural;

/// What the field `format` says.
pub const FORMAT: &str = "traincheck-levels";
/// The version that is written and read.
pub const VERSION: u64 = 2;
/// The share of runs that may have a false alarm, unless it is said otherwise: 1 in 50.
pub const BUDGET: f64 = 0.02;
/// In how many runs claims of a family have to have come up before notices of it are alarms: of rarer ones a bound for all runs
/// would say no more than that they are rare.
const ENOUGH_RUNS: u64 = 30;
/// Of how many programs these have to be: what fewer do may be their habit.
const ENOUGH_PROGRAMS: u64 = 10;

/// What was measured with this program's tests and corpus.
const BUILT_IN: &str = include_str!("../../library/levels.json");

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u64,
    /// By what the runs that were checked differ in from those that were learned from.
    pub differences: BTreeMap<Difference, Measurement>,
}

/// Clean runs that were checked by what others say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Of how many programs.
    pub programs: u64,
    /// How many runs.
    pub runs: u64,
    /// By family, those whose claims are alarms by the rules.
    pub families: BTreeMap<String, Fared>,
    /// The same of notices that could be alarms, by why the rules take them for none.
    pub notices: BTreeMap<Doubt, BTreeMap<String, Fared>>,
}

/// How a family fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fared {
    /// In how many runs a claim of it came up.
    pub runs: u64,
    /// Of how many programs these are.
    pub programs: u64,
    /// How many claims did, in all runs together.
    pub claims: u64,
    /// The runs that violate one of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub broken: BTreeSet<String>,
}

/// What was measured with this program's tests and corpus.
pub fn built_in() -> &'static Levels {
    // A test sees to it that it is right.
    static LEVELS: LazyLock<Levels> = LazyLock::new(|| {
        serde_json::from_str(BUILT_IN).unwrap_or(Levels {
            format: FORMAT.into(),
            version: VERSION,
            differences: BTreeMap::new(),
        })
    });
    &LEVELS
}

/// What was decided of a kind of difference: the families whose levels are not those of the rules.
#[derive(Debug, Default, PartialEq)]
pub struct Decided<'a> {
    /// Alarms that are notices.
    pub lowered: BTreeMap<&'a str, Rate>,
    /// Notices that are alarms.
    pub raised: BTreeMap<(Doubt, &'a str), Rate>,
}

/// What was decided of each kind of difference.
#[derive(Debug)]
pub struct AllDecided<'a>(Vec<(Difference, Decided<'a>)>);

/// What became of the levels of invariants for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// In what the run differs from the references.
    pub difference: Difference,
    /// How many alarms are notices for that.
    pub lowered: usize,
    /// How many notices are alarms.
    pub raised: usize,
}

impl Fared {
    fn rate(&self) -> Rate {
        Rate { runs: self.runs, programs: self.programs, broken: self.broken.len() as u64 }
    }

    fn is_enough(&self) -> bool {
        self.runs >= ENOUGH_RUNS && self.programs >= ENOUGH_PROGRAMS
    }
}

/// Families that may raise alarms together.
struct Alarms<'a> {
    /// Runs that were checked.
    of: u64,
    budget: f64,
    /// Those of them with an alarm.
    broken: BTreeSet<&'a String>,
}

impl<'a> Alarms<'a> {
    /// Adds a family if the budget allows it.
    fn take(&mut self, fared: &'a Fared) -> bool {
        let with: BTreeSet<&String> = self.broken.iter().copied().chain(&fared.broken).collect();
        let fits = upper_bound(with.len() as u64, self.of) <= self.budget;
        if fits {
            self.broken = with;
        }
        fits
    }
}

impl Measurement {
    /// Which families may raise alarms within the budget, as far as that differs from the rules.
    ///
    /// Families are taken one after the other, those that the fewest runs violate first, as long as the upper bound of the
    /// share of runs with a false alarm, over all of them together, stays within the budget; see [`upper_bound`]. Those of
    /// notices come last, so that none takes the place of one that is an alarm by the rules, and only if enough was tried and the
    /// alarms of the family, of which the references are surer, are not too often violated.
    pub fn decide(&self, budget: f64) -> Decided<'_> {
        let mut decided = Decided::default();
        let mut alarms = Alarms { of: self.runs, budget, broken: BTreeSet::new() };
        let mut broken: Vec<(&String, &Fared)> =
            self.families.iter().filter(|(_, fared)| !fared.broken.is_empty()).collect();
        broken.sort_by_key(|(name, fared)| (fared.broken.len(), *name));
        for (name, fared) in broken {
            if !alarms.take(fared) {
                decided.lowered.insert(name, fared.rate());
            }
        }
        let notices = self
            .notices
            .iter()
            .flat_map(|(doubt, of)| of.iter().map(move |(name, fared)| (*doubt, name, fared)));
        let mut tried: Vec<(Doubt, &String, &Fared)> = notices
            .filter(|(_, name, fared)| fared.is_enough() && !decided.lowered.contains_key(name.as_str()))
            .collect();
        tried.sort_by_key(|(doubt, name, fared)| (fared.broken.len(), *doubt, *name));
        for (doubt, name, fared) in tried {
            if alarms.take(fared) {
                decided.raised.insert((doubt, name), fared.rate());
            }
        }
        decided
    }
}

impl Decided<'_> {
    /// The level of an invariant if it is not that of the rules, and by what rate.
    fn level(&self, invariant: &Invariant) -> Option<(Level, Rate)> {
        let family = || family(&invariant.claim);
        match (invariant.level, invariant.doubt) {
            (Level::Alarm, _) => self.lowered.get(family().as_str()).map(|rate| (Level::Notice, *rate)),
            (Level::Notice, Some(doubt)) => {
                self.raised.get(&(doubt, family().as_str())).map(|rate| (Level::Alarm, *rate))
            }
            (Level::Notice, None) => None,
        }
    }
}

impl AllDecided<'_> {
    /// For runs that differ in what an invariant has another level than that of the rules, in words.
    pub fn text(&self, invariant: &Invariant) -> Option<String> {
        let text = |(difference, decided): &(Difference, Decided<'_>)| {
            let (level, Rate { runs, programs, broken }) = decided.level(invariant)?;
            let level = match level {
                Level::Alarm => "an alarm",
                Level::Notice => "a notice",
            };
            let (of, programs) = (difference.text(), plural(programs, "program"));
            Some(format!(
                "{level} where it was learned from {of} ({broken} of {runs} clean runs of {programs} violate such)"
            ))
        };
        let texts: Vec<String> = self.0.iter().filter_map(text).collect();
        (!texts.is_empty()).then(|| format!("measured: {}", texts.join(", ")))
    }
}

impl Levels {
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

    /// The families whose levels are not those of the rules, by what a run differs in.
    pub fn decide(&self, budget: f64) -> AllDecided<'_> {
        let differences = self.differences.iter();
        AllDecided(differences.map(|(difference, measured)| (*difference, measured.decide(budget))).collect())
    }

    /// Gives what was learned the levels that were measured of runs which differ so from the one to be checked.
    pub fn apply(&self, invariants: &mut Invariants, difference: Difference, budget: f64) -> Applied {
        let mut applied = Applied { difference, lowered: 0, raised: 0 };
        let Some(measured) = self.differences.get(&difference) else { return applied };
        let decided = measured.decide(budget);
        for invariant in invariants.invariants.iter_mut().filter(|one| one.tried.is_none()) {
            let Some((level, rate)) = decided.level(invariant) else { continue };
            match level {
                Level::Notice => applied.lowered += 1,
                Level::Alarm => applied.raised += 1,
            }
            (invariant.level, invariant.measured) = (level, Some(rate));
        }
        applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fared(runs: u64, broken: &[&str]) -> Fared {
        let broken = broken.iter().map(|run| (*run).to_owned()).collect();
        Fared { runs, programs: runs / 2, claims: runs, broken }
    }

    fn measured(runs: u64, families: &[(&str, &[&str])]) -> Measurement {
        let families = families.iter().map(|(name, broken)| ((*name).to_owned(), fared(runs, broken)));
        Measurement { programs: 10, runs, families: families.collect(), notices: BTreeMap::new() }
    }

    fn lowered(measured: &Measurement, budget: f64) -> Vec<&str> {
        measured.decide(budget).lowered.into_keys().collect()
    }

    fn raised(measured: &Measurement, budget: f64) -> Vec<&str> {
        measured.decide(budget).raised.into_keys().map(|(_, name)| name).collect()
    }

    /// Of 300 runs, in which an alarm-level family was broken by these, with notices of such families.
    fn with_notices(broken: &[&str], notices: &[(&str, Doubt, u64, &[&str])]) -> Measurement {
        let mut measured = measured(300, &[("a", broken)]);
        for (name, doubt, runs, broken) in notices {
            measured.notices.entry(*doubt).or_default().insert((*name).to_owned(), fared(*runs, broken));
        }
        measured
    }

    #[test]
    fn what_shipped_is_right() {
        let levels: Levels = serde_json::from_str(BUILT_IN).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((levels.format.as_str(), levels.version), (FORMAT, VERSION));
        assert_eq!(levels.to_json(), BUILT_IN, "make it anew with scripts/calibrate");
    }

    #[test]
    fn families_that_break_for_one_cause_count_once() {
        let together = measured(300, &[("a", &["p/1"]), ("b", &["p/1"]), ("c", &[])]);
        assert!(lowered(&together, BUDGET).is_empty());
        // Two runs of 300 are at most 2.1 %: one family too many.
        let apart = measured(300, &[("a", &["p/1"]), ("b", &["p/2"]), ("c", &[])]);
        assert_eq!(lowered(&apart, BUDGET), ["b"]);
        assert!(lowered(&apart, 0.03).is_empty());
    }

    #[test]
    fn too_few_runs_show_nothing_of_what_breaks() {
        assert_eq!(lowered(&measured(40, &[("a", &["p/1"]), ("b", &[])]), BUDGET), ["a"]);
    }

    #[test]
    fn notices_that_enough_runs_do_not_break_are_alarms() {
        use Doubt::{Ambiguous, FailsElsewhere, FewExamples};
        let notices: [(&str, Doubt, u64, &[&str]); 4] = [
            ("held", FewExamples, 100, &[]),
            ("rare", FewExamples, 29, &[]),
            ("broken", FailsElsewhere, 200, &["p/1", "p/2"]),
            ("once", Ambiguous, 200, &["p/1"]),
        ];
        let mut measured = with_notices(&[], &notices);
        let habit = Fared { programs: 9, ..fared(200, &[]) };
        measured.notices.entry(Ambiguous).or_default().insert("held".into(), habit);
        let decided = measured.decide(BUDGET);
        let expected = [(FewExamples, "held"), (Ambiguous, "once")];
        assert!(decided.raised.keys().eq(expected.iter()), "{:?}", decided.raised);
        assert_eq!(decided.raised[&expected[1]], Rate { runs: 200, programs: 100, broken: 1 });
        assert_eq!(raised(&measured, 0.04), ["held", "broken", "once"]);
    }

    #[test]
    fn notices_have_what_alarms_leave_of_the_budget() {
        let once: [(&str, Doubt, u64, &[&str]); 2] =
            [("other", Doubt::FewExamples, 300, &["p/2"]), ("same", Doubt::FewExamples, 300, &["p/1"])];
        let measured = with_notices(&["p/1"], &once);
        assert!(lowered(&measured, BUDGET).is_empty());
        assert_eq!(raised(&measured, BUDGET), ["same"]);
        // Where the alarms of a family break too often its notices are none, however they fared.
        let held: [(&str, Doubt, u64, &[&str]); 2] =
            [("a", Doubt::FewExamples, 300, &[]), ("b", Doubt::FewExamples, 300, &[])];
        let measured = with_notices(&["p/1", "p/2"], &held);
        assert_eq!((lowered(&measured, BUDGET), raised(&measured, BUDGET)), (vec!["a"], vec!["b"]));
        // With so few runs not even what none breaks is known well enough.
        let few: [(&str, Doubt, u64, &[&str]); 1] = [("held", Doubt::FewExamples, 120, &[])];
        let measured = Measurement { runs: 120, ..with_notices(&[], &few) };
        assert!(raised(&measured, BUDGET).is_empty());
        assert_eq!(raised(&measured, 0.03), ["held"]);
    }

    fn levels(measured: Measurement) -> Levels {
        let differences = BTreeMap::from([(Difference::Configuration, measured)]);
        Levels { format: FORMAT.into(), version: VERSION, differences }
    }

    #[test]
    fn a_level_that_was_measured_says_so() {
        let claim = r#"{"relation": "moving", "subject": {"of": "variable", "name": "w"}, "outcome": {"is": "moves"}}"#;
        let claim: crate::relation::claim::Claim =
            serde_json::from_str(claim).unwrap_or_else(|error| panic!("{error}"));
        let name = family(&claim);
        let alarm = Invariant::new(claim, Default::default(), Level::Alarm, Vec::new());
        let notice = |doubt| Invariant { level: Level::Notice, doubt, ..alarm.clone() };
        let doubted = notice(Some(Doubt::FewExamples));
        let invariants = vec![alarm.clone(), doubted, notice(Some(Doubt::Ambiguous)), notice(None)];
        let given = |difference, broken: &[&str], held: &[&str]| {
            let mut measured = measured(300, &[(&name, broken)]);
            let notices = BTreeMap::from([(name.clone(), fared(300, held))]);
            measured.notices.insert(Doubt::FewExamples, notices);
            let mut learned = Invariants { invariants: invariants.clone(), ..Invariants::default() };
            let applied = levels(measured).apply(&mut learned, difference, BUDGET);
            let found: Vec<(Level, Option<u64>)> = learned
                .invariants
                .iter()
                .map(|one| (one.level, one.measured.map(|rate| rate.broken)))
                .collect();
            (applied.lowered, applied.raised, found)
        };
        use Level::{Alarm, Notice};
        let by_the_rules = vec![(Alarm, None), (Notice, None), (Notice, None), (Notice, None)];
        assert_eq!(given(Difference::Seed, &["p/1", "p/2"], &[]), (0, 0, by_the_rules.clone()));
        assert_eq!(given(Difference::Configuration, &["p/1"], &["p/2"]), (0, 0, by_the_rules.clone()));
        let (lowered, raised, found) = given(Difference::Configuration, &["p/1", "p/2"], &[]);
        assert_eq!((lowered, raised, found[0]), (1, 0, (Notice, Some(2))));
        assert_eq!(found[1..], by_the_rules[1..]);
        let (lowered, raised, found) = given(Difference::Configuration, &["p/1"], &[]);
        assert_eq!((lowered, raised, found[1]), (0, 1, (Alarm, Some(0))));
        assert_eq!((found[0], &found[2..]), (by_the_rules[0], &by_the_rules[2..]));
    }
}
