//! What `check` says about a run.
pub mod configured;
pub mod finding;
mod group;
pub mod json;
pub mod text;

use std::collections::BTreeSet;

use traincheck_schema::run::EndInfo;

use crate::cause::{self, Causes};
use crate::check::{Checked, Status};
use crate::invariants::{Invariant, Invariants, Level};
use crate::library::levels::Applied;
use crate::scene::Cut;
use crate::suppress::Judged;
use crate::words::NOTHING_RECORDED;
use configured::Explained;
use finding::Finding;

/// Why there is no verdict where training calls no module.
const NO_MODULE: &str = "no call of a module (torch.nn.Module) was seen in training, and iterations begin with one: too little \
                         can be checked";

/// Where less than one in so many invariants was tested a verdict says so: a program that trains a model has half of those
/// of the library tested.
const LITTLE: usize = 4;

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No alarm.
    Clean,
    /// At least one alarm.
    Alarms,
    /// Too little could be checked to say.
    NoVerdict(&'static str),
}

impl Verdict {
    /// The exit code of `check`.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Clean => 0,
            Verdict::Alarms => 1,
            Verdict::NoVerdict(_) => 2,
        }
    }

    /// As one word.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Clean => "clean",
            Verdict::Alarms => "alarms",
            Verdict::NoVerdict(_) => "no_verdict",
        }
    }
}

/// Everything there is to say about a run.
#[derive(Debug)]
pub struct Report<'a> {
    /// Name of the run's folder.
    pub run: String,
    /// Options that name the files that the invariants are from, for the commands that it proposes.
    pub from: String,
    /// How the command ended, where that is known.
    pub ended: Option<EndInfo>,
    /// What was learned.
    pub invariants: &'a Invariants,
    /// How the run fared.
    pub checked: &'a Checked,
    /// What of it does not count.
    pub suppressed: Option<Judged<'a>>,
    /// Options of the command line that explain violations.
    pub explained: Explained,
    /// In what the run differs from the references, and what became of levels for that.
    pub measured: Option<Applied>,
    /// The gravest first.
    pub findings: Vec<Finding<'a>>,
    /// The verdict.
    pub verdict: Verdict,
}

/// How many invariants of a level came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Violated, and not suppressed.
    pub violated: usize,
    /// Violated, and suppressed.
    pub suppressed: usize,
    /// Held.
    pub held: usize,
    /// Undecided.
    pub undecided: usize,
    /// Not triggered.
    pub not_triggered: usize,
}

/// How much of what may raise an alarm was tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tested {
    /// Invariants that held, or did not, at least once.
    pub decided: usize,
    /// All of them.
    pub of: usize,
}

impl<'a> Report<'a> {
    /// Sums up how a run fared, by the causes that are built in.
    pub fn new(run: String, invariants: &'a Invariants, checked: &'a Checked) -> Report<'a> {
        Report::judged(run, invariants, checked, cause::built_in(), None)
    }

    /// Sums up how a run fared.
    pub fn judged(
        run: String,
        invariants: &'a Invariants,
        checked: &'a Checked,
        causes: &'a Causes,
        suppressed: Option<Judged<'a>>,
    ) -> Report<'a> {
        let mut report = Report {
            run,
            from: String::new(),
            ended: None,
            invariants,
            checked,
            suppressed,
            explained: Explained::new(),
            measured: None,
            findings: Vec::new(),
            verdict: Verdict::Clean,
        };
        let counts = |index| report.suppression(index).is_none();
        report.findings = group::findings(invariants, checked, causes, counts);
        report.verdict = report.judge();
        report
    }

    /// The options that explain what a finding is about, each once.
    pub fn options(&self, finding: &Finding<'_>) -> Vec<&str> {
        let of_it = finding.broken.iter().filter_map(|broken| self.explained.get(&broken.invariant.id));
        let options: BTreeSet<&str> = of_it.flatten().map(String::as_str).collect();
        options.into_iter().collect()
    }

    /// The entry that suppresses the invariant at `index`.
    pub fn suppression(&self, index: usize) -> Option<usize> {
        self.suppressed.as_ref().and_then(|judged| judged.by_invariant.get(index).copied().flatten())
    }

    /// The violated invariants that the entry with this number suppresses.
    pub fn suppressed_by(&self, entry: usize) -> impl Iterator<Item = &'a Invariant> {
        let all = self.invariants.invariants.iter().zip(&self.checked.tallies).enumerate();
        let of_it = move |index| self.suppression(index) == Some(entry);
        all.filter(move |(index, (_, tally))| tally.violated > 0 && of_it(*index)).map(|(_, (one, _))| one)
    }

    /// How the invariants of a level ended.
    pub fn counts(&self, level: Level) -> Counts {
        let mut counts = Counts::default();
        let all = self.invariants.invariants.iter().zip(&self.checked.tallies).enumerate();
        for (index, (_, tally)) in all.filter(|(_, (invariant, _))| invariant.level == level) {
            match tally.status() {
                Status::Violated if self.suppression(index).is_some() => counts.suppressed += 1,
                Status::Violated => counts.violated += 1,
                Status::Held => counts.held += 1,
                Status::Undecided(_) => counts.undecided += 1,
                Status::NotTriggered => counts.not_triggered += 1,
            }
        }
        counts
    }

    /// How many of the alarm-level invariants were tested: of the library's, and of those that were learned.
    pub fn tested(&self) -> [Tested; 2] {
        let mut tested = [Tested::default(); 2];
        for (invariant, tally) in self.invariants.invariants.iter().zip(&self.checked.tallies) {
            if invariant.level == Level::Alarm {
                let tested = &mut tested[usize::from(invariant.tried.is_none())];
                tested.of += 1;
                tested.decided += usize::from(tally.held + tally.violated > 0);
            }
        }
        tested
    }

    /// How many were tested in all, if that is little.
    pub fn little_tested(&self) -> Option<Tested> {
        let [library, learned] = self.tested();
        let all = Tested { decided: library.decided + learned.decided, of: library.of + learned.of };
        (LITTLE * all.decided < all.of).then_some(all)
    }

    fn has_trained(&self) -> bool {
        self.checked.processes.iter().any(|process| process.passed.backward || process.passed.steps > 0)
    }

    /// Whether it trained, but outside of iterations, since those begin with the call of a module.
    fn has_no_module(&self) -> bool {
        self.has_trained() && self.checked.processes.iter().all(|process| process.passed.iterations == 0)
    }

    fn judge(&self) -> Verdict {
        let alarms = |which: fn(Status) -> bool| {
            self.checked.count(self.invariants, |one| one.level == Level::Alarm, which)
        };
        if self.counts(Level::Alarm).violated > 0 {
            return Verdict::Alarms;
        }
        if self.checked.processes.iter().any(|process| !process.passed.damage.is_empty()) {
            return Verdict::NoVerdict(
                "the trace is damaged or ends before the job, and an alarm may be missing with what was lost",
            );
        }
        let triggered = alarms(|status| status != Status::NotTriggered);
        if triggered == 0 {
            return Verdict::NoVerdict(if self.checked.processes.is_empty() {
                NOTHING_RECORDED
            } else if self.has_no_module() {
                NO_MODULE
            } else if self.has_trained() {
                "no alarm-level invariant was triggered in this run"
            } else {
                "no backward pass was seen in this run: nothing was trained, or not where it can be recorded"
            });
        }
        // What was raised is mostly of what comes up rarely: that it did not here says nothing of the run.
        let by_the_rules = |which: fn(Status) -> bool| {
            let counts = |one: &Invariant| one.level == Level::Alarm && one.measured.is_none();
            self.checked.count(self.invariants, counts, which)
        };
        let short = by_the_rules(|status| matches!(status, Status::Undecided(Cut::First | Cut::End)));
        let unseen = by_the_rules(|status| status == Status::Undecided(Cut::Loss));
        if 2 * (short + unseen) > by_the_rules(|status| status != Status::NotTriggered) {
            return Verdict::NoVerdict(if self.has_no_module() {
                NO_MODULE
            } else if unseen > short {
                "too much of the run was not recorded: more than half of the alarm-level invariants are undecided"
            } else {
                "the run is too short: more than half of the alarm-level invariants are undecided"
            });
        }
        Verdict::Clean
    }
}

/// A status in one word.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Violated => "violated",
        Status::Held => "held",
        Status::Undecided(_) => "undecided",
        Status::NotTriggered => "not_triggered",
    }
}
