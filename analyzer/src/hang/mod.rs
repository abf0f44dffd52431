//! Why a job hangs, or what mismatched collective it failed of: the first collective of each group at which its ranks differ, who
//! entered it and who did not, and where every rank was when its recording ended.
//!
//! The verdicts are those of PyTorch's flight recorder analysis, and two that it lacks: another reduction, another root.
//! Nothing is asked of the job: everything is in the recordings, those of killed processes in what is left of their rings.
//! Dumps of the flight recorder are a second witness: of what was recorded they confirm or contradict it, and of the rest, as of
//! backends whose collectives are not recorded, they tell alone.
mod dumps;
mod groups;
pub mod text;
mod witness;
pub mod written;

use serde::Serialize;

use crate::check::StackEntry;
use crate::collectives::{Walked, walk};
use crate::flight_recorder::Dump;
use crate::job::Member;
use crate::relation::numbers::Numbers;
use crate::scene::came::Came;

pub use dumps::DumpEnd;
pub use groups::{Entered, GroupEnd, Verdict};
use groups::{Groups, Place};
pub use witness::{Agreement, Further, Witness};

/// How a job ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hang {
    /// What of the job is missing or does not belong to it, in words; `None`: nothing.
    pub note: Option<String>,
    /// The how many-eth attempt of the job it was, from 1, where earlier ones are in the run, too.
    pub attempt: Option<u32>,
    /// What each group of processes last did together: those in which something is wrong first.
    pub groups: Vec<GroupEnd>,
    /// Where each rank was, in the order of their numbers.
    pub ranks: Vec<RankEnd>,
    /// The dumps of the flight recorder that were read, in the order of their ranks.
    pub flight_recorder: Vec<DumpEnd>,
}

/// Where a rank was when its recording ended.
#[derive(Clone, Debug, Serialize)]
pub struct RankEnd {
    /// Its number.
    pub rank: u32,
    /// Its process: `HOST-PID`.
    pub process: String,
    /// Iteration of its last record.
    pub iteration: u32,
    /// Step of its last record.
    pub step: u32,
    /// How long before the last record of all ranks its own last one was, by the clocks of their machines, in ns.
    pub before_last_ns: u64,
    /// Why its recording is not whole: it was killed, or is running yet; `None`: it ended by itself.
    pub torn: Option<String>,
    /// Where its recording is not what was written: what is said of it may be wrong.
    pub damage: Vec<String>,
    /// The calls that were open, outermost first.
    pub stack: Vec<StackEntry>,
    /// The recorded call that had returned last.
    pub after: Option<StackEntry>,
}

impl Hang {
    /// Whether some recording is damaged: then nothing is for certain.
    pub fn is_damaged(&self) -> bool {
        self.ranks.iter().any(|rank| !rank.damage.is_empty())
    }

    /// Whether something is wrong in any group.
    pub fn is_found(&self) -> bool {
        self.groups.iter().any(GroupEnd::is_wrong)
    }

    /// With what dumps of the flight recorder say of the job.
    pub fn with_dumps(self, dumps: &[Dump]) -> Hang {
        let flight_recorder = dumps.iter().map(DumpEnd::of).collect();
        let dumped = dumps::groups(dumps, &self.groups);
        Hang { groups: witness::join(self.groups, dumped), flight_recorder, ..self }
    }
}

/// Reads all ranks of a job. `clocks`: for each rank what its machine's clock is ahead of its monotonic one, ns.
pub fn find(members: Vec<Member<'_>>, clocks: &[i128]) -> Hang {
    let mut numbers = Numbers::default();
    let mut groups = Groups::default();
    let walked = walk(members, &mut numbers, |came, rank, source| {
        let Some(entry) = source.entry(came.record.group) else { return false };
        let place = Place {
            name: &entry.text,
            backend: &entry.type_name,
            size: entry.line,
            rank_in_group: entry.owner,
        };
        groups.came(rank, came, place)
    });
    let wall = |(walked, clock): (&Walked<'_>, &i128)| i128::from(walked.last_ns) + clock;
    let last = walked.iter().zip(clocks).map(wall).max().unwrap_or(0);
    let ranks = walked.iter().zip(clocks).map(|(walked, clock)| {
        let (stack, after) = open_calls(walked, &numbers);
        RankEnd {
            rank: walked.member.number,
            process: walked.member.process.clone(),
            iteration: walked.course.passed().iterations,
            step: walked.course.passed().steps,
            before_last_ns: u64::try_from(last - wall((walked, clock))).unwrap_or(0),
            torn: walked.course.passed().end.torn.clone(),
            damage: walked.course.passed().damage.iter().map(ToString::to_string).collect(),
            stack,
            after,
        }
    });
    let ranks = ranks.collect();
    let describe = |rank: u32, came: &Came, failed: bool| {
        let walked = walked.iter().find(|walked| walked.member.number == rank)?;
        Some(Entered::of(rank, came, failed, &numbers, &*walked.member.source))
    };
    let is_whole = |rank: u32| {
        walked.iter().any(|walked| walked.member.number == rank && walked.course.passed().end.torn.is_none())
    };
    let groups = groups.end(Witness::Recording, &describe, &is_whole);
    Hang { groups, ranks, ..Hang::default() }
}

/// The calls that were open in the thread that had the most of them open, and the one that was left last there: other threads
/// mostly wait for work.
fn open_calls(walked: &Walked<'_>, numbers: &Numbers) -> (Vec<StackEntry>, Option<StackEntry>) {
    let deepest = walked.course.left_open().iter().rev().max_by_key(|(stack, _)| stack.len());
    let entry = |frame| StackEntry::of(frame, numbers, &*walked.member.source);
    deepest.map_or_else(Default::default, |(stack, after)| {
        (stack.iter().map(entry).collect(), after.as_ref().map(entry))
    })
}
