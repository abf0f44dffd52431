//! Why a job hangs, or what mismatched collective it failed of: the first collective of each group at which its ranks differ, who
//! entered it and who did not, and where every rank was when its recording ended.
//!
//! The verdicts are those of PyTorch's flight recorder analysis, and two that it lacks: another reduction, another root.
//! Nothing is asked of the job: everything is in the recordings, those of killed processes in what is left of their rings.
mod groups;
pub mod text;

use serde::Serialize;

use crate::check::StackEntry;
use crate::engine::Course;
use crate::job::{Member, Nowhere};
use crate::relation::listener::Listeners;
use crate::relation::numbers::Numbers;

use groups::Groups;
pub use groups::{Difference, Entered, GroupEnd, Verdict};

/// How a job ended.
#[derive(Clone, Debug, Serialize)]
pub struct Hang {
    /// What each group of processes last did together: those in which something is wrong first.
    pub groups: Vec<GroupEnd>,
    /// Where each rank was, in the order of their numbers.
    pub ranks: Vec<RankEnd>,
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
    /// The calls that were open, outermost first.
    pub stack: Vec<StackEntry>,
    /// The recorded call that had returned last.
    pub after: Option<StackEntry>,
}

impl Hang {
    /// Whether something is wrong in any group.
    pub fn is_found(&self) -> bool {
        self.groups.iter().any(|group| group.verdict.is_wrong())
    }
}

struct Walker<'a> {
    member: Member<'a>,
    course: Course,
    /// How many collectives it has issued so far.
    issued: u64,
    /// Of its last record, `CLOCK_MONOTONIC`.
    last_ns: u64,
    has_ended: bool,
}

/// Reads all ranks of a job. `clocks`: for each rank what its machine's clock is ahead of its monotonic one, ns.
pub fn find(members: Vec<Member<'_>>, clocks: &[i128]) -> Hang {
    let mut numbers = Numbers::default();
    let mut groups = Groups::default();
    let start = |member| Walker {
        member,
        course: Course::with_collectives(Listeners::new(&[])),
        issued: 0,
        last_ns: 0,
        has_ended: false,
    };
    let mut walkers: Vec<Walker<'_>> = members.into_iter().map(start).collect();
    // The one that has issued the fewest goes on first: little waits for being compared.
    while let Some(at) = (0..walkers.len())
        .filter(|at| !walkers[*at].has_ended)
        .min_by_key(|at| (walkers[*at].issued, walkers[*at].course.scene().now))
    {
        let walker = &mut walkers[at];
        let source = &mut *walker.member.source;
        walker.has_ended = walker.course.advance(source, &mut numbers, &mut Nowhere).is_none();
        for came in walker.course.take_collectives() {
            walker.last_ns = walker.last_ns.max(came.record.time);
            walker.issued += u64::from(groups.came(walker.member.number, &came, source, &numbers));
        }
    }
    let at_end = |walker: &Walker<'_>| walker.last_ns.max(walker.course.last_ns());
    let wall = |(walker, clock): (&Walker<'_>, &i128)| i128::from(at_end(walker)) + clock;
    let last = walkers.iter().zip(clocks).map(wall).max().unwrap_or(0);
    let ranks = walkers.iter().zip(clocks).map(|(walker, clock)| {
        let (stack, after) = open_calls(walker, &numbers);
        RankEnd {
            rank: walker.member.number,
            process: walker.member.process.clone(),
            iteration: walker.course.passed().iterations,
            step: walker.course.passed().steps,
            before_last_ns: u64::try_from(last - wall((walker, clock))).unwrap_or(0),
            torn: walker.course.passed().end.torn.clone(),
            stack,
            after,
        }
    });
    Hang { groups: groups.end(), ranks: ranks.collect() }
}

/// The calls that were open in the thread that had the most of them open, and the one that was left last there: other threads
/// mostly wait for work.
fn open_calls(walker: &Walker<'_>, numbers: &Numbers) -> (Vec<StackEntry>, Option<StackEntry>) {
    let deepest = walker.course.left_open().iter().rev().max_by_key(|(stack, _)| stack.len());
    let entry = |frame| StackEntry::of(frame, numbers, &*walker.member.source);
    deepest.map_or_else(Default::default, |(stack, after)| {
        (stack.iter().map(entry).collect(), after.as_ref().map(entry))
    })
}
