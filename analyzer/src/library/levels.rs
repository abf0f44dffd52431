//! How often clean runs violate what was learned from others, by family of claims and by what the runs differ in; and from
//! that, which families may raise alarms. `scripts/calibrate` measures it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::bound::upper_bound;
use super::family::family;
use crate::difference::Difference;
use crate::invariants::{Invariants, Level};

/// What the field `format` says.
pub const FORMAT: &str = "traincheck-levels";
/// The version that is written and read.
pub const VERSION: u64 = 1;
/// The share of runs that may have a false alarm, unless it is said otherwise: 1 in 50.
pub const BUDGET: f64 = 0.02;

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
    /// By family, those whose claims would be alarms.
    pub families: BTreeMap<String, Fared>,
}

/// How a family fared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fared {
    /// In how many runs a claim of it came up.
    pub runs: u64,
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

impl Measurement {
    /// The families that may raise no alarm within the budget. Families are taken one after the other, those that the
    /// fewest runs violate first, as long as the upper bound of the share of runs with a false alarm, over all of them
    /// together, stays within the budget; see [`upper_bound`].
    pub fn too_often(&self, budget: f64) -> BTreeSet<&str> {
        let mut broken: Vec<(&String, &Fared)> =
            self.families.iter().filter(|(_, fared)| !fared.broken.is_empty()).collect();
        broken.sort_by_key(|(name, fared)| (fared.broken.len(), *name));
        let mut alarmed: BTreeSet<&String> = BTreeSet::new();
        let mut refused = BTreeSet::new();
        for (name, fared) in broken {
            let with: BTreeSet<&String> = alarmed.iter().copied().chain(&fared.broken).collect();
            if upper_bound(with.len() as u64, self.runs) <= budget {
                alarmed = with;
            } else {
                refused.insert(name.as_str());
            }
        }
        refused
    }
}

impl Levels {
    /// Makes notices of the alarms that were learned from runs which differ so from the one to be checked, and are of
    /// families that clean ones violate too often for the budget. Returns how many.
    pub fn lower(&self, invariants: &mut Invariants, difference: Difference, budget: f64) -> usize {
        let Some(measured) = self.differences.get(&difference) else { return 0 };
        let refused = measured.too_often(budget);
        if refused.is_empty() {
            return 0;
        }
        let learned = invariants.invariants.iter_mut().filter(|one| one.tried.is_none());
        let mut lowered = 0;
        for invariant in learned.filter(|one| one.level == Level::Alarm) {
            if refused.contains(family(&invariant.claim).as_str()) {
                invariant.level = Level::Notice;
                lowered += 1;
            }
        }
        lowered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(runs: u64, families: &[(&str, &[&str])]) -> Measurement {
        let fared = |broken: &[&str]| Fared {
            runs,
            claims: runs,
            broken: broken.iter().map(|run| (*run).to_owned()).collect(),
        };
        let families = families.iter().map(|(name, broken)| ((*name).to_owned(), fared(broken)));
        Measurement { programs: 10, runs, families: families.collect() }
    }

    #[test]
    fn what_shipped_is_right() {
        let levels: Levels = serde_json::from_str(BUILT_IN).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((levels.format.as_str(), levels.version), (FORMAT, VERSION));
        let text = serde_json::to_string_pretty(&levels).unwrap_or_default();
        assert_eq!(format!("{text}\n"), BUILT_IN, "make it anew with scripts/calibrate");
    }

    #[test]
    fn families_that_break_for_one_cause_count_once() {
        let together = measured(300, &[("a", &["p/1"]), ("b", &["p/1"]), ("c", &[])]);
        assert!(together.too_often(BUDGET).is_empty());
        // Two runs of 300 are at most 2.1 %: one family too many.
        let apart = measured(300, &[("a", &["p/1"]), ("b", &["p/2"]), ("c", &[])]);
        assert_eq!(apart.too_often(BUDGET), BTreeSet::from(["b"]));
        assert_eq!(apart.too_often(0.03), BTreeSet::new());
    }

    #[test]
    fn too_few_runs_show_nothing_of_what_breaks() {
        assert_eq!(measured(40, &[("a", &["p/1"]), ("b", &[])]).too_often(BUDGET), BTreeSet::from(["a"]));
    }
}
