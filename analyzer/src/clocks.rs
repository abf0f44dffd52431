//! The clocks of the hosts of a job, aligned by what their ranks did together.
//!
//! A collective in which everybody needs what everybody gives ends nowhere before its last rank has come to it. Each one so bounds
//! what the clock of a host is ahead of that of another, from both sides: by the difference of an end here and a coming there. The
//! narrowest bounds over a run leave little. Clocks that they do not contradict are taken as they are. The idea is that of
//! Cristian's clock synchronisation (1989), read off messages that are there anyway.

use std::collections::BTreeMap;

use traincheck_schema::record::{Collective, CollectiveEvent, CollectiveKind};

use crate::collectives::walk;
use crate::job::Member;
use crate::relation::numbers::Numbers;

/// Collectives that have not ended on all ranks are remembered up to this number in each group.
const MOST_WAITING: usize = 1 << 12;

/// What makes times of several ranks those of one clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// For each rank what is to be added to its times, ns.
    pub ahead: Vec<i128>,
    /// On how many hosts the ranks are.
    pub hosts: usize,
    /// By how much a host's clock may still be off, ns; `None`: nobody knows, for no collective of all ranks was
    /// recorded on all of them. 0 on one host.
    pub error_ns: Option<u64>,
}

/// Aligns the clocks of the hosts of a job. By place of the rank: `hosts` says which host it is on, from 0, and `ahead` what is to be
/// added to its times so that they are those of its host's wall clock, ns.
pub fn align(members: Vec<Member<'_>>, hosts: &[usize], ahead: Vec<i128>) -> Clocks {
    let numbers: Vec<u32> = members.iter().map(|member| member.number).collect();
    let mut bounds = Bounds::new(hosts);
    walk(members, &mut Numbers::default(), |came, rank, source| {
        let place = numbers.iter().position(|number| *number == rank);
        if let (Some(place), Some(group)) = (place, source.entry(came.record.group))
            && group.line as usize == numbers.len()
        {
            bounds.came(&group.text, &came.record, place, ahead.get(place).copied().unwrap_or(0));
        }
        came.record.event == CollectiveEvent::Issued as u8
    });
    bounds.solve(ahead)
}

/// Whether nobody's part in it ends before everybody has come.
fn needs_everybody(kind: CollectiveKind) -> bool {
    use CollectiveKind as Kind;
    matches!(
        kind,
        Kind::AllReduce
            | Kind::AllReduceCoalesced
            | Kind::AllGather
            | Kind::AllGatherIntoTensor
            | Kind::AllGatherCoalesced
            | Kind::AllGatherIntoTensorCoalesced
            | Kind::ReduceScatter
            | Kind::ReduceScatterTensor
            | Kind::ReduceScatterTensorCoalesced
            | Kind::Barrier
    )
}

/// A collective: by place of the rank, when it came to it, and when it ended there.
#[derive(Default)]
struct Meeting {
    came: BTreeMap<usize, i128>,
    ended: BTreeMap<usize, i128>,
}

struct Bounds<'a> {
    /// The host of each rank.
    hosts: &'a [usize],
    count: usize,
    /// `[one][other]`: at most so much the correction of the other's clock exceeds that of the one's.
    most: Vec<Vec<Option<i128>>>,
    waiting: BTreeMap<String, BTreeMap<u32, Meeting>>,
}

impl Bounds<'_> {
    fn new(hosts: &[usize]) -> Bounds<'_> {
        let count = hosts.iter().max().map_or(0, |last| last + 1);
        Bounds { hosts, count, most: vec![vec![None; count]; count], waiting: BTreeMap::new() }
    }

    /// Something became of a collective of all ranks on the one at `place`.
    fn came(&mut self, group: &str, record: &Collective, place: usize, ahead: i128) {
        if !CollectiveKind::try_from(record.op).is_ok_and(needs_everybody) {
            return;
        }
        let time = i128::from(record.time) + ahead;
        if !self.waiting.contains_key(group) {
            self.waiting.insert(group.to_owned(), BTreeMap::new());
        }
        let Some(waiting) = self.waiting.get_mut(group) else { return };
        let meeting = waiting.entry(record.sequence).or_default();
        match CollectiveEvent::try_from(record.event) {
            Ok(CollectiveEvent::Issued) => meeting.came.insert(place, time),
            Ok(CollectiveEvent::Completed) => meeting.ended.insert(place, time),
            _ => return,
        };
        if meeting.came.len() == self.hosts.len()
            && meeting.ended.len() == self.hosts.len()
            && let Some(meeting) = waiting.remove(&record.sequence)
        {
            self.met(&meeting);
        } else if waiting.len() > MOST_WAITING {
            waiting.pop_first();
        }
    }

    fn met(&mut self, meeting: &Meeting) {
        let mut ended: Vec<Option<i128>> = vec![None; self.count];
        let mut came = ended.clone();
        for (place, time) in &meeting.ended {
            let first = &mut ended[self.hosts[*place]];
            *first = Some(first.map_or(*time, |known| known.min(*time)));
        }
        for (place, time) in &meeting.came {
            let last = &mut came[self.hosts[*place]];
            *last = (*last).max(Some(*time));
        }
        for (one, ended) in ended.iter().enumerate() {
            for (other, came) in came.iter().enumerate() {
                let (Some(ended), Some(came)) = (ended, came) else { continue };
                let most = &mut self.most[one][other];
                *most = Some(most.map_or(ended - came, |known| known.min(ended - came)));
            }
        }
    }

    /// Corrects the clocks relative to that of the first host.
    fn solve(mut self, ahead: Vec<i128>) -> Clocks {
        let count = self.count;
        // What is bounded by way of a third.
        for by in 0..count {
            for one in 0..count {
                for other in 0..count {
                    if let (Some(first), Some(second)) = (self.most[one][by], self.most[by][other]) {
                        let most = &mut self.most[one][other];
                        *most = Some(most.map_or(first + second, |known| known.min(first + second)));
                    }
                }
            }
        }
        let corrections: Option<Vec<(i128, i128)>> = (0..count)
            .map(|host| match host {
                0 => Some((0, 0)),
                _ => Some(correction(-self.most[host][0]?, self.most[0][host]?)),
            })
            .collect();
        let Some(corrections) = corrections else { return Clocks { ahead, hosts: count, error_ns: None } };
        let error = corrections.iter().map(|(_, error)| *error).max().unwrap_or(0);
        let corrected = ahead.iter().zip(self.hosts).map(|(ahead, host)| ahead + corrections[*host].0);
        Clocks {
            ahead: corrected.collect(),
            hosts: count,
            error_ns: Some(u64::try_from(error).unwrap_or(u64::MAX)),
        }
    }
}

/// A correction between `least` and `most`, and how far it may be off. Where these cross, the clock has drifted.
fn correction(least: i128, most: i128) -> (i128, i128) {
    let correction = if least <= 0 && most >= 0 { 0 } else { (least + most) / 2 };
    (correction, (most - correction).abs().max((correction - least).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i128 = 1_000_000;

    /// Two ranks on each of `clocks.len()` hosts, whose clocks are ahead by so much, make `count` all-reduces that take 1 ms.
    fn aligned(clocks: &[i128], count: u32, kind: CollectiveKind) -> Clocks {
        let hosts: Vec<usize> = (0..2 * clocks.len()).map(|place| place / 2).collect();
        let mut bounds = Bounds::new(&hosts);
        for sequence in 1..=count {
            let came = |place: usize| {
                // Each of them is the last at some time.
                let late = if place == sequence as usize % hosts.len() { 5 } else { 0 };
                i128::from(sequence) * 100 * MS + late * MS
            };
            for place in 0..hosts.len() {
                let ended = i128::from(sequence) * 100 * MS + 6 * MS;
                for (event, time) in
                    [(CollectiveEvent::Issued, came(place)), (CollectiveEvent::Completed, ended)]
                {
                    // Of its own clock, to which what the header says of the wall clock is added again.
                    let time = u64::try_from(time + 1000 * MS).expect("a time");
                    let record = Collective {
                        op: kind as u8,
                        event: event as u8,
                        sequence,
                        time,
                        ..Collective::EMPTY
                    };
                    bounds.came("all", &record, place, clocks[hosts[place]]);
                }
            }
        }
        bounds.solve(hosts.iter().map(|host| clocks[*host]).collect())
    }

    #[test]
    fn clocks_an_hour_apart_are_aligned_to_how_long_a_collective_takes() {
        let found = aligned(&[0, 3_600_000 * MS, -17 * MS], 12, CollectiveKind::AllReduce);
        let error = i128::from(found.error_ns.expect("aligned"));
        assert!(error <= MS, "{error}");
        assert!(found.ahead.iter().all(|ahead| ahead.abs() <= error), "{found:?}");
        assert_eq!(found.hosts, 3);
    }

    #[test]
    fn clocks_that_nothing_contradicts_stay_as_they_are() {
        let found = aligned(&[0, MS / 2], 12, CollectiveKind::Barrier);
        assert_eq!(found.ahead, [0, 0, MS / 2, MS / 2]);
        assert_eq!(found.error_ns, Some(3 * MS as u64 / 2));
    }

    #[test]
    fn what_a_rank_may_leave_before_others_come_says_nothing() {
        let clocks = [0, 40 * MS];
        for found in
            [aligned(&clocks, 12, CollectiveKind::Broadcast), aligned(&clocks, 0, CollectiveKind::Barrier)]
        {
            assert_eq!((found.error_ns, found.ahead), (None, vec![0, 0, 40 * MS, 40 * MS]));
        }
    }

    #[test]
    fn one_host_needs_no_alignment() {
        let found = aligned(&[7 * MS], 0, CollectiveKind::Barrier);
        assert_eq!(found, Clocks { ahead: vec![7 * MS, 7 * MS], hosts: 1, error_ns: Some(0) });
    }

    #[test]
    fn bounds_that_cross_are_said_to() {
        assert_eq!(correction(30, 10), (20, 10));
        assert_eq!(correction(-10, 30), (0, 30));
    }
}
