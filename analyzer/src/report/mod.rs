//! What `check` says about a run.
pub mod finding;
pub mod json;
pub mod text;

use crate::check::{Checked, Status};
use crate::invariants::{Invariants, Level};
use crate::scene::Cut;
use finding::Finding;

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
    /// What was learned.
    pub invariants: &'a Invariants,
    /// How the run fared.
    pub checked: &'a Checked,
    /// The gravest first.
    pub findings: Vec<Finding<'a>>,
    /// The verdict.
    pub verdict: Verdict,
}

impl<'a> Report<'a> {
    /// Sums up how a run fared.
    pub fn new(run: String, invariants: &'a Invariants, checked: &'a Checked) -> Report<'a> {
        let findings = finding::findings(invariants, checked);
        Report { run, invariants, checked, findings, verdict: verdict(invariants, checked) }
    }

    /// How many invariants of a level were violated, held, were undecided and not triggered.
    pub fn counts(&self, level: Level) -> [usize; 4] {
        let count = |which: fn(Status) -> bool| self.checked.count(self.invariants, level, which);
        [
            count(|status| status == Status::Violated),
            count(|status| status == Status::Held),
            count(|status| matches!(status, Status::Undecided(_))),
            count(|status| status == Status::NotTriggered),
        ]
    }
}

fn verdict(invariants: &Invariants, checked: &Checked) -> Verdict {
    let alarms = |which: fn(Status) -> bool| checked.count(invariants, Level::Alarm, which);
    if alarms(|status| status == Status::Violated) > 0 {
        return Verdict::Alarms;
    }
    let triggered = alarms(|status| status != Status::NotTriggered);
    if triggered == 0 {
        return Verdict::NoVerdict("nothing that the alarms are about happened in this run");
    }
    let wanting = alarms(|status| matches!(status, Status::Undecided(Cut::First | Cut::End | Cut::Loss)));
    if 2 * wanting > triggered {
        return Verdict::NoVerdict("the run is too short to decide more than half of the alarms");
    }
    Verdict::Clean
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
