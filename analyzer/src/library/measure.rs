//! Makes a library: from how general claims fared on many programs to which of them may raise alarms.
//!
//! What is bounded is the share of runs with a false alarm, over all alarms together. Claims are taken as alarms one after
//! the other, those that fewest programs break first, as long as the upper bound of that share fits the budget. Each
//! program is then checked by the alarms that the other programs alone would have given.

use std::collections::{BTreeMap, BTreeSet};

use super::bound::upper_bound;
use super::{Entry, FORMAT, Library, Measured, Origin, Program, VERSION};
use crate::evidence::{RunEvidence, Trial};
use crate::invariants::{Level, Tried};
use crate::relation::claim::Claim;

/// Programs in which a claim has to have come up before it can be an alarm: what fewer do may be their habit.
const ENOUGH_PROGRAMS: u64 = 10;
/// Where more of the programs in which it came up break it, a claim says nothing of any program.
const MOST_BROKEN: f64 = 0.1;

/// What a run of a corpus says.
#[derive(Clone, Debug)]
pub struct Tryout {
    /// Name of the program.
    pub program: String,
    /// What it is, where the corpus says so.
    pub origin: Option<Origin>,
    /// Name of the run.
    pub run: String,
    /// How many iterations it has.
    pub iterations: u64,
    /// What it says.
    pub evidence: RunEvidence,
}

/// How a claim fared in each run, in the order of the runs.
struct Tested {
    claim: Claim,
    trials: Vec<Trial>,
}

impl Tested {
    fn broken(&self) -> impl Iterator<Item = usize> {
        self.trials.iter().enumerate().filter(|(_, trial)| trial.violated > 0).map(|(run, _)| run)
    }

    /// On what it was tried, as far as `counts` says of a run that it does.
    fn tried(&self, tryouts: &[Tryout], counts: impl Fn(usize) -> bool) -> Tried {
        let mut programs = BTreeSet::new();
        let mut tried = Tried::default();
        for (run, Trial { held, violated }) in self.trials.iter().enumerate().filter(|(run, _)| counts(*run))
        {
            if held + violated == 0 {
                continue;
            }
            let program = tryouts[run].program.as_str();
            programs.insert(program);
            tried.runs += 1;
            tried.windows += held + violated;
            if let Some(Origin { kind, .. }) = &tryouts[run].origin {
                *tried.kinds.entry(kind.clone()).or_default() += 1;
            }
            if *violated > 0 {
                *tried.broken.entry(program.to_owned()).or_default() += 1;
            }
        }
        tried.programs = programs.len() as u64;
        tried
    }
}

/// By program and run, what a run has broken that is an alarm.
pub type FalseAlarms = BTreeMap<String, Vec<Claim>>;

/// Makes a library from runs that are known to be good; with which runs raised alarms, checked by what the other
/// programs bear out, and what they broke.
pub fn library(tryouts: Vec<Tryout>, budget: f64) -> (Library, FalseAlarms) {
    measure(&sorted(tryouts), budget, |_| true)
}

/// That a library cannot be added to.
#[derive(Debug, thiserror::Error)]
#[error(
    "the library has a program called {program} already: make it anew without it, or call that of the corpus something else"
)]
pub struct HasProgram {
    program: String,
}

/// Adds to a library what jobs that are known to be good bear out of claims over ranks. What it says of one process alone, which
/// other runs have borne out, stays; which of the jobs break that is counted with their false alarms.
///
/// # Errors
/// If the library has been made from one of the programs.
pub fn add_ranks(
    mut library: Library,
    tryouts: Vec<Tryout>,
    budget: f64,
) -> Result<(Library, FalseAlarms), HasProgram> {
    let tryouts = sorted(tryouts);
    let known = |tryout: &&Tryout| library.programs.iter().any(|program| program.name == tryout.program);
    if let Some(tryout) = tryouts.iter().find(known) {
        return Err(HasProgram { program: tryout.program.clone() });
    }
    let (of_ranks, mut false_alarms) = measure(&tryouts, budget, |claim| claim.subject().is_over_ranks());
    library.claims.retain(|entry| !entry.claim.subject().is_over_ranks());
    for entry in library.claims.iter().filter(|entry| entry.level == Level::Alarm) {
        for tryout in tryouts.iter().filter(|tryout| tryout.evidence.trial(&entry.claim).violated > 0) {
            false_alarms.entry(name(tryout)).or_default().push(entry.claim.clone());
        }
    }
    library.measured = Measured::of(
        budget,
        library.measured.runs + of_ranks.measured.runs,
        library.measured.alarms + false_alarms.len() as u64,
    );
    library.claims.extend(of_ranks.claims);
    library.claims.sort_by(|a, b| a.id.cmp(&b.id));
    library.programs.extend(of_ranks.programs);
    library.programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((library, false_alarms))
}

fn sorted(mut tryouts: Vec<Tryout>) -> Vec<Tryout> {
    tryouts.sort_by(|a, b| (&a.program, &a.run).cmp(&(&b.program, &b.run)));
    tryouts
}

fn name(tryout: &Tryout) -> String {
    format!("{}/{}", tryout.program, tryout.run)
}

impl Measured {
    fn of(budget: f64, runs: u64, alarms: u64) -> Measured {
        let upper_bound = (upper_bound(alarms, runs) * 1000.0).ceil() / 1000.0;
        Measured { budget, runs, alarms, upper_bound }
    }
}

/// A library of the claims of which `is_of` says that they are of it, from runs in order.
fn measure(tryouts: &[Tryout], budget: f64, is_of: impl Fn(&Claim) -> bool) -> (Library, FalseAlarms) {
    let claims: BTreeSet<Claim> =
        tryouts.iter().flat_map(|tryout| claims(&tryout.evidence)).filter(is_of).collect();
    let tested: Vec<Tested> = claims
        .into_iter()
        .map(|claim| Tested { trials: tryouts.iter().map(|one| one.evidence.trial(&claim)).collect(), claim })
        .collect();
    let alarms: BTreeSet<&Claim> = alarms(&tested, tryouts, budget, |_| true).collect();
    let entry = |tested: &Tested| {
        let tried = tested.tried(tryouts, |_| true);
        let level = if alarms.contains(&tested.claim) { Level::Alarm } else { Level::Notice };
        let is_a_rule = tried.broken.len() as f64 <= MOST_BROKEN * tried.programs as f64;
        (level == Level::Alarm || is_a_rule && tried.programs >= ENOUGH_PROGRAMS)
            .then(|| Entry::new(tested.claim.clone(), level, tried))
    };
    let mut entries: Vec<Entry> = tested.iter().filter_map(entry).collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    let mut programs: BTreeMap<&str, Program> = BTreeMap::new();
    for tryout in tryouts {
        let name = tryout.program.as_str();
        let new = || Program { name: name.into(), origin: tryout.origin.clone(), runs: 0, iterations: 0 };
        let program = programs.entry(name).or_insert_with(new);
        program.runs += 1;
        program.iterations += tryout.iterations;
    }
    let false_alarms = left_out(&tested, tryouts, budget);
    let measured = Measured::of(budget, tryouts.len() as u64, false_alarms.len() as u64);
    let programs = programs.into_values().collect();
    (Library { format: FORMAT.into(), version: VERSION, measured, programs, claims: entries }, false_alarms)
}

/// General claims that held in a run and may matter.
fn claims(evidence: &RunEvidence) -> impl Iterator<Item = Claim> {
    evidence.general.iter().flat_map(|(subject, found)| {
        let held = found.outcomes.iter().filter(|(outcome, [held, _])| *held > 0 && !outcome.is_support());
        let claims = held.map(|(outcome, _)| Claim::new(subject.clone(), outcome.clone()));
        claims.filter(|claim| claim.is_critical() && claim.literal().is_none())
    })
}

/// The claims that runs bear out as alarms: those runs of which `counts` says that they do.
fn alarms<'a>(
    tested: &'a [Tested],
    tryouts: &[Tryout],
    budget: f64,
    counts: impl Fn(usize) -> bool + Copy,
) -> impl Iterator<Item = &'a Claim> {
    let runs = (0..tryouts.len()).filter(|run| counts(*run)).count() as u64;
    let mut candidates: Vec<(usize, usize, &Tested)> = tested
        .iter()
        .filter_map(|one| {
            let tried = one.tried(tryouts, counts);
            let broken = one.broken().filter(|run| counts(*run)).count();
            (tried.programs >= ENOUGH_PROGRAMS).then_some((tried.broken.len(), broken, one))
        })
        .collect();
    candidates.sort_by_key(|(programs, runs, _)| (*programs, *runs));
    let mut alarmed: BTreeSet<usize> = BTreeSet::new();
    let mut taken = Vec::new();
    for (_, _, one) in candidates {
        let with: BTreeSet<usize> =
            alarmed.iter().copied().chain(one.broken().filter(|run| counts(*run))).collect();
        if upper_bound(with.len() as u64, runs) <= budget {
            alarmed = with;
            taken.push(&one.claim);
        }
    }
    taken.into_iter()
}

/// Runs that raise alarms by what the other programs bear out, and what they break.
fn left_out(tested: &[Tested], tryouts: &[Tryout], budget: f64) -> FalseAlarms {
    let programs: BTreeSet<&str> = tryouts.iter().map(|tryout| tryout.program.as_str()).collect();
    let mut false_alarms = FalseAlarms::new();
    for program in programs {
        let others: BTreeSet<&Claim> =
            alarms(tested, tryouts, budget, |run| tryouts[run].program != program).collect();
        for one in tested.iter().filter(|one| others.contains(&one.claim)) {
            for run in one.broken().filter(|run| tryouts[*run].program == program) {
                false_alarms.entry(name(&tryouts[run])).or_default().push(one.claim.clone());
            }
        }
    }
    false_alarms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::GeneralEvidence;
    use crate::relation::owned::claim::{Outcome, Subject};

    const EVERY: [Outcome; 3] = [Outcome::Held, Outcome::HeldOnce, Outcome::Reached];

    /// Runs of `programs` programs, ten each. An outcome holds in each of five windows, but for those of which `breaks`
    /// says that the run, by number of program and run, breaks them.
    fn corpus(programs: usize, breaks: impl Fn(Outcome, usize, usize) -> bool) -> Vec<Tryout> {
        let subject = Subject::Root { class: crate::call::ANY.into() };
        let mut tryouts = Vec::new();
        for program in 0..programs {
            for run in 0..10 {
                let held = |outcome| [if breaks(outcome, program, run) { 4 } else { 5 }, 0];
                let outcomes = EVERY.into_iter().map(|outcome| (outcome.into(), held(outcome))).collect();
                let mut evidence = RunEvidence::default();
                evidence.general.insert(subject.clone().into(), GeneralEvidence { total: 5, outcomes });
                // Of the odd ones the corpus says nothing.
                let kind = if program % 4 == 0 { "fours" } else { "twos" };
                let origin = Origin { kind: kind.into(), packages: BTreeMap::new() };
                let origin = (program % 2 == 0).then_some(origin);
                let (program, run) = (format!("program-{program:02}"), format!("run-{run}"));
                tryouts.push(Tryout { program, origin, run, iterations: 100, evidence });
            }
        }
        tryouts
    }

    fn levels(library: &Library) -> Vec<(String, Level)> {
        let mut levels: Vec<(String, Level)> = library
            .claims
            .iter()
            .map(|entry| {
                (serde_json::to_value(&entry.claim).unwrap()["outcome"]["is"].to_string(), entry.level)
            })
            .collect();
        levels.sort();
        levels
    }

    /// Jobs of `programs` programs, ten each, of which the numbered one breaks what it can of one process.
    fn jobs(programs: usize, breaks: Option<usize>) -> Vec<Tryout> {
        use crate::relation::consistent::claim;
        let mut tryouts = corpus(programs, |outcome, program, run| {
            outcome == Outcome::Held && Some(program) == breaks && run < 2
        });
        for tryout in &mut tryouts {
            tryout.program = tryout.program.replace("program", "job");
            let same = [(claim::Outcome::SameOnAllRanks.into(), [5, 0])];
            let found = GeneralEvidence { total: 5, outcomes: same.into() };
            tryout.evidence.general.insert(claim::Subject::SameGradient.into(), found);
        }
        tryouts
    }

    #[test]
    fn jobs_add_claims_over_ranks_and_their_false_alarms_and_nothing_else() {
        let (before, _) = library(corpus(20, |_, _, _| false), 0.02);
        let (after, false_alarms) = add_ranks(before.clone(), jobs(20, Some(3)), 0.02).unwrap();
        assert_eq!(false_alarms.keys().collect::<Vec<_>>(), ["job-03/run-0", "job-03/run-1"]);
        assert_eq!((after.measured.runs, after.measured.alarms), (400, 2));
        assert_eq!(after.programs.len(), 40);
        let of_one = |library: &Library| -> Vec<Entry> {
            let claims = library.claims.iter();
            claims.filter(|entry| !entry.claim.subject().is_over_ranks()).cloned().collect()
        };
        assert_eq!(of_one(&after), of_one(&before));
        let added: Vec<&Entry> =
            after.claims.iter().filter(|entry| entry.claim.subject().is_over_ranks()).collect();
        assert_eq!((added.len(), added[0].level, added[0].tried.runs), (1, Level::Alarm, 200));
        assert!(after.claims.is_sorted_by_key(|entry| &entry.id));
        // Too few jobs bear nothing out.
        let (few, _) = add_ranks(before, jobs(10, None), 0.02).unwrap();
        assert!(few.claims.iter().any(|entry| entry.level == Level::Notice));
        assert!(add_ranks(after, jobs(20, None), 0.02).is_err(), "they would count twice");
    }

    #[test]
    fn what_no_program_breaks_is_an_alarm_where_enough_was_tried() {
        let (of_all, false_alarms) = library(corpus(20, |_, _, _| false), 0.02);
        assert!(of_all.claims.iter().all(|entry| entry.level == Level::Alarm), "{:?}", levels(&of_all));
        assert_eq!(of_all.claims.len(), 3);
        assert!(false_alarms.is_empty());
        assert_eq!((of_all.measured.runs, of_all.measured.alarms), (200, 0));
        // A hundred runs without an alarm do not show that fewer than one in fifty have one.
        let (of_few, _) = library(corpus(10, |_, _, _| false), 0.02);
        assert!(of_few.claims.iter().all(|entry| entry.level == Level::Notice), "{:?}", levels(&of_few));
    }

    #[test]
    fn what_many_break_is_no_alarm_and_what_most_break_is_nothing() {
        let breaks = |outcome, program, _| match outcome {
            Outcome::Held => false,
            Outcome::HeldOnce => program == 3,
            Outcome::Reached => program < 15,
            Outcome::Part | Outcome::GetsGradient => false,
        };
        let (library, false_alarms) = library(corpus(20, breaks), 0.02);
        let expected = [("\"held\"".to_owned(), Level::Alarm), ("\"held_once\"".to_owned(), Level::Notice)];
        assert_eq!(levels(&library), expected);
        // Without program 3 nothing speaks against it: there it raises ten false alarms.
        assert_eq!(false_alarms.len(), 10);
        assert!(false_alarms.keys().all(|run| run.starts_with("program-03/")), "{false_alarms:?}");
        assert!(library.measured.upper_bound > 0.05);
    }

    #[test]
    fn a_claim_says_on_what_kinds_of_programs_it_was_tried() {
        let (library, _) = library(corpus(11, |_, _, _| false), 0.05);
        let kinds = BTreeMap::from([("fours".to_owned(), 30), ("twos".to_owned(), 30)]);
        assert!(library.claims.iter().all(|entry| entry.tried.kinds == kinds), "{:?}", library.claims);
        let kind = |program: &Program| program.origin.as_ref().map(|origin| origin.kind.clone());
        let found: Vec<Option<String>> = library.programs.iter().take(3).map(kind).collect();
        assert_eq!(found, [Some("fours".into()), None, Some("twos".into())]);
    }

    #[test]
    fn alarms_share_one_budget() {
        // Each of them alone would fit.
        let breaks = |outcome, program, run| match outcome {
            Outcome::Held => program == 1 && run == 0,
            Outcome::HeldOnce => program == 2 && run == 0,
            Outcome::Reached => program == 3 && run == 0,
            Outcome::Part | Outcome::GetsGradient => false,
        };
        let of = |budget| library(corpus(20, breaks), budget).0;
        let alarms = |library: &Library| library.claims.iter().filter(|e| e.level == Level::Alarm).count();
        assert_eq!(alarms(&of(0.02)), 0);
        assert_eq!(alarms(&of(0.024)), 1);
        assert_eq!(alarms(&of(0.04)), 3);
    }

    #[test]
    fn the_order_of_the_runs_makes_no_difference() {
        let breaks = |outcome, program, run| outcome == Outcome::HeldOnce && (program + run) % 7 == 0;
        let runs = corpus(12, breaks);
        let mut turned = runs.clone();
        turned.reverse();
        assert_eq!(library(runs, 0.05), library(turned, 0.05));
    }
}
