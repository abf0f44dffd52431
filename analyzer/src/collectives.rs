//! The collectives of all ranks of a job, gone over side by side.

use crate::engine::Course;
use crate::job::{Member, Nowhere};
use crate::relation::listener::Listeners;
use crate::relation::numbers::Numbers;
use crate::scene::came::Came;
use crate::source::Source;

/// A rank whose records have been gone over.
pub struct Walked<'a> {
    /// What it is.
    pub member: Member<'a>,
    /// At the end of its records.
    pub course: Course,
    /// The time of its last record, `CLOCK_MONOTONIC`, ns.
    pub last_ns: u64,
}

struct Walker<'a> {
    walked: Walked<'a>,
    /// How many collectives it has issued so far.
    issued: u64,
    has_ended: bool,
}

/// Tells what became of the collectives of all ranks; `came` says whether a collective was issued. The rank that has issued the
/// fewest goes on first: little waits for being compared.
pub fn walk<'a>(
    members: Vec<Member<'a>>,
    numbers: &mut Numbers,
    mut came: impl FnMut(Came, u32, &dyn Source) -> bool,
) -> Vec<Walked<'a>> {
    let start = |member| {
        let course = Course::with_collectives(Listeners::new(&[]));
        Walker { walked: Walked { member, course, last_ns: 0 }, issued: 0, has_ended: false }
    };
    let mut walkers: Vec<Walker<'a>> = members.into_iter().map(start).collect();
    while let Some(at) = (0..walkers.len())
        .filter(|at| !walkers[*at].has_ended)
        .min_by_key(|at| (walkers[*at].issued, walkers[*at].walked.course.scene().now))
    {
        let Walker { walked, issued, has_ended } = &mut walkers[at];
        let source = &mut *walked.member.source;
        *has_ended = walked.course.advance(source, numbers, &mut Nowhere).is_none();
        for one in walked.course.take_collectives() {
            walked.last_ns = walked.last_ns.max(one.record.time);
            *issued += u64::from(came(one, walked.member.number, source));
        }
        walked.last_ns = walked.last_ns.max(walked.course.last_ns());
    }
    walkers.into_iter().map(|walker| walker.walked).collect()
}
