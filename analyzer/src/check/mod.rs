//! Compares the windows of a run with invariants.
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use traincheck_schema::record::{Role, VariableKind};

use crate::call::Call;
use crate::engine::{self, Passed};
use crate::invariants::{Invariant, Invariants};
use crate::job::{self, Member};
use crate::precondition::Precondition;
use crate::relation::Part;
use crate::relation::bound::Bound;
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::sink::{Sink, Window};
use crate::scene::{Cut, Scene};
use crate::situation::{NOTHING, SituationId, TOO_MANY};
use crate::source::Source;
pub use violation::{Contents, Gradient, RanksNote, StackEntry, VariableNote, Violation};

/// How an invariant fared in a run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Windows in which it held.
    pub held: u64,
    /// Windows in which it did not.
    pub violated: u64,
    /// Windows without a verdict, by reason.
    pub undecided: BTreeMap<Cut, u64>,
    /// The first violation.
    pub first: Option<Violation>,
    /// Iteration and step of the last violation.
    pub last: (u32, u32),
    /// Since when it did not hold in windows that come too early for a verdict.
    early: Option<(u32, u32)>,
}

/// The four ends an invariant can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It did not hold at least once.
    Violated,
    /// It held wherever it could be decided.
    Held,
    /// It could never be decided.
    Undecided(Cut),
    /// What it is about never happened.
    NotTriggered,
}

impl Tally {
    /// The end it came to.
    pub fn status(&self) -> Status {
        if self.violated > 0 {
            return Status::Violated;
        }
        if self.held > 0 {
            return Status::Held;
        }
        // The reason that was met most often; on equal counts the first in the order of their definition.
        let most = self.undecided.iter().max_by_key(|(cut, count)| (**count, std::cmp::Reverse(**cut)));
        most.map_or(Status::NotTriggered, |(cut, _)| Status::Undecided(*cut))
    }

    fn merge(&mut self, other: Tally) {
        self.held += other.held;
        self.violated += other.violated;
        for (cut, count) in other.undecided {
            *self.undecided.entry(cut).or_default() += count;
        }
        self.last = self.last.max(other.last);
        let earlier = match (&self.first, &other.first) {
            (Some(ours), Some(theirs)) => (theirs.iteration, theirs.time) < (ours.iteration, ours.time),
            (ours, _) => ours.is_none(),
        };
        if earlier {
            self.first = other.first;
        }
    }
}

/// A process that was checked.
#[derive(Clone, Debug)]
pub struct CheckedProcess {
    /// `HOST-PID`.
    pub name: String,
    /// Its rank in the job whose ranks were compared; `None`: it is none of them.
    pub rank: Option<u32>,
    /// What was read of it.
    pub passed: Passed,
}

/// A run that was checked.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Its processes.
    pub processes: Vec<CheckedProcess>,
    /// In the order of the invariants.
    pub tallies: Vec<Tally>,
    /// The parameters and buffers that were seen.
    pub variables: BTreeMap<String, VariableKind>,
    /// Why its ranks were not compared, although it has some.
    pub ranks_not_compared: Option<String>,
    /// Which attempts of its job were not compared with one another, in words.
    pub attempts_left_out: Option<String>,
}

impl Checked {
    /// Adds what another part of the relations found in the same process.
    pub fn merge_part(&mut self, other: Checked) {
        self.merge(Checked { processes: Vec::new(), ..other });
    }

    /// Adds what was found in another process of the run.
    pub fn merge(&mut self, other: Checked) {
        self.processes.extend(other.processes);
        self.variables.extend(other.variables);
        if self.tallies.is_empty() {
            self.tallies = other.tallies;
        } else {
            for (ours, theirs) in self.tallies.iter_mut().zip(other.tallies) {
                ours.merge(theirs);
            }
        }
    }

    /// Invariants for which `counts` holds that came to an end for which `which` does.
    pub fn count(
        &self,
        invariants: &Invariants,
        counts: impl Fn(&Invariant) -> bool,
        which: impl Fn(Status) -> bool,
    ) -> usize {
        let all = invariants.invariants.iter().zip(&self.tallies);
        all.filter(|(one, tally)| counts(one) && which(tally.status())).count()
    }
}

/// Checks the records of one process, which is called `process` in what is found.
pub fn check(source: &mut dyn Source, invariants: &Invariants, process: &str) -> Checked {
    check_part(source, invariants, process, Part::WHOLE)
}

/// The same with a part of the relations.
pub fn check_part(source: &mut dyn Source, invariants: &Invariants, process: &str, part: Part) -> Checked {
    let mut numbers = Numbers::default();
    let mut checker = Checker::new(&invariants.invariants, process, &mut numbers);
    let passed = engine::pass(source, part, &mut numbers, &mut checker);
    Checked {
        processes: vec![CheckedProcess { name: process.to_owned(), rank: None, passed }],
        tallies: checker.tallies,
        variables: checker.variables,
        ..Checked::default()
    }
}

/// Checks what is claimed of all ranks of a job together.
pub fn check_ranks(members: Vec<Member<'_>>, invariants: &Invariants) -> Checked {
    let mut numbers = Numbers::default();
    let mut checker = Checker::new(&invariants.invariants, "", &mut numbers);
    job::pass(members, &mut numbers, &mut checker);
    Checked { tallies: checker.tallies, ..Checked::default() }
}

/// One invariant about a subject.
#[derive(Clone, Copy, Debug)]
struct Rule {
    outcome: OutcomeId,
    /// The bound that it is, where it is one.
    bound: Option<Bound>,
    /// Number of its condition.
    condition: usize,
    index: usize,
}

/// A precondition of one or more invariants, with what it says of each situation once it was asked.
struct Condition<'a> {
    precondition: &'a Precondition,
    known: Vec<Option<bool>>,
}

impl Condition<'_> {
    /// Whether it holds; `None`: situations are too many to be told apart.
    fn holds(&mut self, situation: SituationId, numbers: &Numbers) -> Option<bool> {
        if self.precondition.any_of.is_empty() {
            return Some(true);
        }
        if situation == TOO_MANY {
            return None;
        }
        let index = situation as usize;
        if index >= self.known.len() {
            self.known.resize(index + 1, None);
        }
        let holds = || self.precondition.holds(numbers.situations.get(situation));
        Some(*self.known[index].get_or_insert_with(holds))
    }
}

struct Checker<'a> {
    invariants: &'a [Invariant],
    process: &'a str,
    /// What was learned of programs, by what it is about.
    rules: Vec<Vec<Rule>>,
    /// What the library says of all programs, likewise.
    general: Vec<Vec<Rule>>,
    /// Outcomes of the window at hand that name nothing of a program.
    held: Vec<OutcomeId>,
    inconclusive: Vec<OutcomeId>,
    conditions: Vec<Condition<'a>>,
    tallies: Vec<Tally>,
    closed: Vec<bool>,
    variables: BTreeMap<String, VariableKind>,
}

impl<'a> Checker<'a> {
    fn new(invariants: &'a [Invariant], process: &'a str, numbers: &mut Numbers) -> Checker<'a> {
        let (mut rules, mut general): (Vec<Vec<Rule>>, Vec<Vec<Rule>>) = (Vec::new(), Vec::new());
        let mut conditions: Vec<Condition<'_>> = Vec::new();
        let mut known: BTreeMap<&Precondition, usize> = BTreeMap::new();
        for (index, invariant) in invariants.iter().enumerate() {
            let claim = &invariant.claim;
            let subject = numbers.subject(claim.subject()) as usize;
            let rules = if invariant.tried.is_some() { &mut general } else { &mut rules };
            rules.resize_with(rules.len().max(subject + 1), Vec::new);
            let outcome = numbers.outcome(claim.outcome());
            let precondition = &invariant.precondition;
            let condition = *known.entry(precondition).or_insert_with(|| {
                conditions.push(Condition { precondition, known: Vec::new() });
                conditions.len() - 1
            });
            let bound = claim.outcome().bound();
            rules[subject].push(Rule { outcome, bound, condition, index });
        }
        Checker {
            invariants,
            process,
            rules,
            general,
            held: Vec::new(),
            inconclusive: Vec::new(),
            conditions,
            tallies: vec![Tally::default(); invariants.len()],
            closed: vec![false; invariants.len()],
            variables: BTreeMap::new(),
        }
    }
}

/// Whether a function of the same role is called instead, in a run that has not called this one so far: `SGD.step` where
/// the references step with `AdamW`, `model.zero_grad()` where they clear with the optimizer's.
fn is_done_otherwise(outcome: OutcomeId, window: &Window<'_>, numbers: &Numbers) -> bool {
    let Some(call) = numbers.outcomes().get(outcome).called() else { return false };
    let does_the_same = |other: &Call| other.role == call.role && other.function != call.function;
    !matches!(call.role, Role::User | Role::Other)
        && window.held.iter().any(|&held| numbers.outcomes().get(held).called().is_some_and(does_the_same))
        && !numbers.calls.contains(&Call { object: None, ..call.clone() })
}

/// Whether an invariant says that a model is called which this process never called, or only from within another: the
/// run is of another model, or of the same in a wrapper, and says nothing about it.
fn names_another_model(invariant: &Invariant, outermost: &BTreeSet<&Call>) -> bool {
    let outcome = invariant.claim.outcome();
    outcome.call().is_some_and(|call| call.role == Role::ModuleCall && !outermost.contains(call))
}

/// Whether an invariant says that a method of a gradient scaler is called.
fn is_of_a_scaler(invariant: &Invariant) -> bool {
    let roles = [Role::ScalerScale, Role::ScalerUnscale, Role::ScalerStep, Role::ScalerUpdate];
    invariant.claim.outcome().call().is_some_and(|call| roles.contains(&call.role))
}

fn rules_of(rules: &[Vec<Rule>], subject: SubjectId) -> &[Rule] {
    rules.get(subject as usize).map_or(&[], Vec::as_slice)
}

impl Checker<'_> {
    /// Tells a rule about one of its windows.
    fn judge(
        &mut self,
        rule: Rule,
        window: &Window<'_>,
        scene: &Scene,
        numbers: &Numbers,
        source: &dyn Source,
    ) {
        let applies = self.conditions[rule.condition].holds(window.situation, numbers);
        if applies == Some(false) {
            return;
        }
        let tally = &mut self.tallies[rule.index];
        let held = match rule.bound.zip(window.number) {
            Some((bound, number)) => bound.admits(number),
            None => window.held.contains(&rule.outcome),
        };
        let inconclusive = !held
            && (window.inconclusive.contains(&rule.outcome)
                || is_done_otherwise(rule.outcome, window, numbers));
        let closed = self.closed[rule.index].then_some(Cut::Thinned);
        let cut = window.cut.or(closed).or(applies.is_none().then_some(Cut::Unclear));
        match cut {
            Some(cut) => {
                *tally.undecided.entry(cut).or_default() += 1;
                if cut == Cut::First && !held && !inconclusive {
                    tally.early.get_or_insert(window.began.unwrap_or(window.now));
                }
            }
            None if held => {
                tally.held += 1;
                tally.early = None;
            }
            None if inconclusive => *tally.undecided.entry(Cut::Unclear).or_default() += 1,
            None => {
                tally.violated += 1;
                tally.last = window.now;
                if tally.first.is_none() {
                    let mut violation =
                        Violation::describe(window, rule.outcome, self.process, scene, numbers, source);
                    violation.began = violation.began.or(tally.early);
                    tally.first = Some(violation);
                }
            }
        }
    }
}

impl Sink for Checker<'_> {
    fn wants(&self, subject: SubjectId, numbers: &mut Numbers) -> bool {
        !rules_of(&self.rules, subject).is_empty()
            || numbers.general(subject).is_some_and(|general| !rules_of(&self.general, general).is_empty())
    }

    fn window(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, source: &dyn Source) {
        for at in 0..rules_of(&self.rules, window.subject).len() {
            self.judge(self.rules[window.subject as usize][at], window, scene, numbers, source);
        }
        self.general(window, scene, numbers, source);
    }

    fn general(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, source: &dyn Source) {
        let Some(subject) = numbers.general(window.subject) else { return };
        let rules = rules_of(&self.general, subject).len();
        if rules == 0 {
            return;
        }
        let mut general = |into: &mut Vec<OutcomeId>, outcomes: &[OutcomeId]| {
            into.clear();
            into.extend(outcomes.iter().filter_map(|&outcome| numbers.general_outcome(outcome)));
            std::mem::take(into)
        };
        let held = general(&mut self.held, window.held);
        let inconclusive = general(&mut self.inconclusive, window.inconclusive);
        let general =
            Window { subject, situation: NOTHING, held: &held, inconclusive: &inconclusive, ..*window };
        for at in 0..rules {
            self.judge(self.general[subject as usize][at], &general, scene, numbers, source);
        }
        (self.held, self.inconclusive) = (held, inconclusive);
    }

    fn thinned(&mut self, function: &str) {
        for (index, invariant) in self.invariants.iter().enumerate() {
            self.closed[index] |= invariant.claim.calls().iter().any(|call| call.function == function);
        }
    }

    fn end(&mut self, scene: &Scene, numbers: &Numbers) {
        let outermost: BTreeSet<&Call> = scene.outermost.iter().map(|&id| numbers.calls.get(id)).collect();
        for (invariant, tally) in self.invariants.iter().zip(&mut self.tallies) {
            if names_another_model(invariant, &outermost)
                || scene.variables.scales_nothing() && is_of_a_scaler(invariant)
            {
                *tally = Tally::default();
            }
        }
        let tensors = scene.variables.iter().filter(|(_, variable)| {
            matches!(variable.kind, VariableKind::Parameter | VariableKind::Buffer | VariableKind::Unreached)
        });
        self.variables = tensors.map(|(_, variable)| (variable.name.clone(), variable.kind)).collect();
    }
}
