//! Which rank of a job the others wait for, since when, and what it costs.
//!
//! A collective that all ranks take part in goes on when the last of them has come. Between two such moments each rank works
//! by itself: how long it took is from the moment at which the last had come to the one before, to its own coming. Where
//! ranks go on before the last has come (buckets that are reduced while a backward runs) several collectives make one
//! stretch. The scores are those of NVIDIA's resiliency extension: how fast the fastest is, relative to a rank's own time.
mod changes;
pub mod communication;
pub mod spent;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use traincheck_schema::record::{CollectiveEvent, CollectiveKind};

use crate::collectives::walk;
use crate::job::Member;
use crate::relation::numbers::Numbers;
use changes::{median, stretches};
use communication::{Communication, Ended};
use spent::Spent;

/// Collectives that not all ranks have come to are remembered up to this number in each group.
const MOST_WAITING: usize = 1 << 16;
/// A rank is slow in a stretch of iterations in which it needs this share longer than the others, by the median,
const SLOW: f64 = 0.05;
/// and longer than they do in this share of the iterations: what is as often shorter is noise.
const MOSTLY: f64 = 0.75;

/// How long ranks waited for one another.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stragglers {
    /// The ranks, those that cost the most first.
    pub ranks: Vec<Straggler>,
    /// In how many iterations ranks waited for one another.
    pub iterations: u64,
    /// From the first of these moments to the last, ns.
    pub time_ns: u64,
    /// How long they communicated when all had come.
    pub communication: Communication,
    /// What of the job is missing or does not belong to it, in words; `None`: nothing.
    pub note: Option<String>,
    /// The how many-eth attempt of the job it was, from 1, where earlier ones are in the run, too.
    pub attempt: Option<u32>,
    /// How many machines the ranks are on.
    pub hosts: u64,
    /// By how much the clocks of these may be off from one another, ns; `None`: they could not be aligned.
    pub clock_error_ns: Option<u64>,
}

/// One rank.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Straggler {
    /// Its number.
    pub rank: u32,
    /// Its process: `HOST-PID`.
    pub process: String,
    /// In how many iterations most of the waiting was for it.
    pub last_in: u64,
    /// For how long all others waited for it: what would have been saved if it had come with the next to last.
    pub cost_ns: u64,
    /// The median of its own work in an iteration, ns.
    pub work_ns: u64,
    /// The fastest rank's work relative to its own, the median over iterations: 1 for the fastest.
    pub group_score: f64,
    /// Its own best (the tenth part of its iterations that were the fastest) relative to its median.
    pub own_score: f64,
    /// The stretches of iterations in which it was slower than the others.
    pub slow: Vec<Slow>,
}

/// A stretch of iterations in which a rank was slow.
#[derive(Clone, Debug, Serialize)]
pub struct Slow {
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
    /// By how much longer it worked than the others, the median in an iteration, ns.
    pub longer_ns: u64,
    /// Where, as far as one looks into it ([`spent::explain`]); the most first.
    pub spent: Vec<Spent>,
}

/// Who has come to a collective, and when, and when it ended.
#[derive(Default)]
struct Meeting {
    /// By place of the rank among the members: time and iteration.
    came: BTreeMap<usize, (u64, u32)>,
    /// Likewise: time.
    ended: BTreeMap<usize, u64>,
}

impl Meeting {
    /// When the last came.
    fn all_here(&self) -> u64 {
        self.came.values().map(|(time, _)| *time).max().unwrap_or(0)
    }

    fn iteration(&self) -> u32 {
        self.came.values().map(|(_, iteration)| *iteration).max().unwrap_or(0)
    }
}

/// The time between two moments at which all ranks had come.
struct Iteration {
    number: u32,
    /// By place of the rank.
    work: Vec<f64>,
    /// How long the last one was waited for, by place.
    cost: Vec<f64>,
}

/// Reads all ranks of a job. `clocks`: for each rank what is to be added to its times, so that they are of one clock, ns.
pub fn find(members: Vec<Member<'_>>, clocks: &[i128]) -> Stragglers {
    let numbers_of: Vec<(u32, String)> =
        members.iter().map(|member| (member.number, member.process.clone())).collect();
    let place = |rank: u32| numbers_of.iter().position(|(number, _)| *number == rank);
    let mut waiting: BTreeMap<String, BTreeMap<u32, Meeting>> = BTreeMap::new();
    let mut timeline = Timeline::new(numbers_of.len());
    walk(members, &mut Numbers::default(), |came, rank, source| {
        let record = came.record;
        let kind = CollectiveKind::try_from(record.op).unwrap_or_default();
        let is_issued = record.event == CollectiveEvent::Issued as u8;
        let is_ended = record.event == CollectiveEvent::Completed as u8;
        if kind.is_point_to_point() || !is_issued && !is_ended {
            return is_issued;
        }
        let (Some(group), Some(place)) = (source.entry(record.group), place(rank)) else { return is_issued };
        // Those of a part of the ranks say nothing of the others.
        if group.line as usize != numbers_of.len() {
            return is_issued;
        }
        let meetings = waiting.entry(group.text.clone()).or_default();
        let time = i128::from(record.time) + clocks.get(place).copied().unwrap_or(0);
        let time = u64::try_from(time).unwrap_or(0);
        let meeting = meetings.entry(record.sequence).or_default();
        if is_issued {
            meeting.came.insert(place, (time, record.iteration));
            if meeting.came.len() == numbers_of.len() {
                timeline.met(meeting);
            }
        } else {
            meeting.ended.insert(place, time);
        }
        if meeting.came.len() == numbers_of.len() && meeting.ended.len() == numbers_of.len() {
            timeline.ended.add(meeting.iteration(), meeting.all_here(), meeting.ended.values().copied());
            meetings.remove(&record.sequence);
        }
        while meetings.len() > MOST_WAITING {
            meetings.pop_first();
        }
        is_issued
    });
    timeline.end(&numbers_of)
}

/// The moments at which all ranks had come, in their order.
struct Timeline {
    ranks: usize,
    /// When the last came to the one before, and when each did.
    before: Option<(u64, Vec<u64>)>,
    /// When the last stretch began: all were there.
    began: Option<u64>,
    first: Option<u64>,
    last: u64,
    iterations: Vec<Iteration>,
    ended: Ended,
}

impl Timeline {
    fn new(ranks: usize) -> Timeline {
        let ended = Ended::default();
        Timeline { ranks, before: None, began: None, first: None, last: 0, iterations: Vec::new(), ended }
    }

    fn met(&mut self, meeting: &Meeting) {
        let times: Vec<u64> = meeting.came.values().map(|(time, _)| *time).collect();
        let (iteration, all_here) = (meeting.iteration(), meeting.all_here());
        if let Some((release, came)) = self.before.take() {
            // Nobody went on before all had come: the stretch ended there.
            if times.iter().all(|time| *time >= release) {
                self.stretch(&came, iteration);
                self.began = Some(release);
            }
        }
        self.first.get_or_insert(all_here);
        self.last = self.last.max(all_here);
        self.before = Some((all_here, times));
    }

    /// A stretch of work that ended with these times.
    fn stretch(&mut self, came: &[u64], iteration: u32) {
        let Some(began) = self.began else { return };
        let work: Vec<f64> = came.iter().map(|time| time.saturating_sub(began) as f64).collect();
        let mut order: Vec<usize> = (0..self.ranks).collect();
        order.sort_by(|one, other| work[*other].total_cmp(&work[*one]));
        let [slowest, next, ..] = order[..] else { return };
        let number = iteration;
        if self.iterations.last().is_none_or(|last| last.number != number) {
            let none = || vec![0.0; self.ranks];
            self.iterations.push(Iteration { number, work: none(), cost: none() });
        }
        if let Some(now) = self.iterations.last_mut() {
            now.work.iter_mut().zip(&work).for_each(|(sum, part)| *sum += part);
            now.cost[slowest] += work[slowest] - work[next];
        }
    }

    fn end(self, ranks: &[(u32, String)]) -> Stragglers {
        let each = ranks.iter().enumerate().map(|(at, (rank, process))| {
            let own: Vec<f64> = self.iterations.iter().map(|one| one.work[at]).collect();
            let fastest = |one: &Iteration| one.work.iter().copied().fold(f64::INFINITY, f64::min);
            let relative: Vec<f64> = self
                .iterations
                .iter()
                .filter(|one| one.work[at] > 0.0)
                .map(|one| fastest(one) / one.work[at])
                .collect();
            let mut sorted = own.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let best = sorted.get(sorted.len() / 10).copied().unwrap_or(0.0);
            let typical = median(&own);
            let is_last =
                |one: &&Iteration| one.cost[at] > 0.0 && one.cost.iter().all(|other| *other <= one.cost[at]);
            Straggler {
                rank: *rank,
                process: process.clone(),
                last_in: self.iterations.iter().filter(is_last).count() as u64,
                cost_ns: self.iterations.iter().map(|one| one.cost[at]).sum::<f64>() as u64,
                work_ns: typical as u64,
                group_score: if relative.is_empty() { 1.0 } else { median(&relative) },
                own_score: if typical > 0.0 { best / typical } else { 1.0 },
                slow: self.slow(at),
            }
        });
        let mut ranks: Vec<Straggler> = each.collect();
        ranks.sort_by_key(|one| (std::cmp::Reverse(one.cost_ns), one.rank));
        let time_ns = self.last.saturating_sub(self.first.unwrap_or(self.last));
        let iteration_ns = time_ns as f64 / self.iterations.len().max(1) as f64;
        Stragglers {
            communication: self.ended.finish(iteration_ns),
            ranks,
            iterations: self.iterations.len() as u64,
            time_ns,
            note: None,
            attempt: None,
            hosts: 1,
            clock_error_ns: Some(0),
        }
    }

    /// Where a rank is slower than the others: in stretches of one level each.
    fn slow(&self, at: usize) -> Vec<Slow> {
        let others = |one: &Iteration| {
            let others = one.work.iter().enumerate().filter(|(other, _)| *other != at);
            median(&others.map(|(_, work)| *work).collect::<Vec<_>>())
        };
        let longer: Vec<f64> = self.iterations.iter().map(|one| one.work[at] - others(one)).collect();
        let begins = stretches(&longer);
        let ends = begins.iter().skip(1).copied().chain([longer.len()]);
        let mut slow: Vec<Slow> = Vec::new();
        for (begin, end) in begins.iter().copied().zip(ends).filter(|(begin, end)| begin < end) {
            let work: Vec<f64> = self.iterations[begin..end].iter().map(others).collect();
            let by = median(&longer[begin..end]);
            let longer_in = longer[begin..end].iter().filter(|longer| **longer > 0.0).count();
            let is_mostly = longer_in as f64 >= MOSTLY * (end - begin) as f64;
            if by > SLOW * median(&work) && by > 0.0 && is_mostly {
                let (from, to) = (self.iterations[begin].number, self.iterations[end - 1].number);
                slow.push(Slow { from, to, longer_ns: by as u64, spent: Vec::new() });
            }
        }
        slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job in which each iteration has two buckets that are reduced while the backward runs; `work` says how long each
    /// rank works, in ms, before the first of them.
    fn job(iterations: u32, work: impl Fn(u32) -> Vec<u64>) -> Stragglers {
        let ranks = work(1).len();
        let mut timeline = Timeline::new(ranks);
        let mut now = 1_000_000_000;
        for iteration in 1..=iterations {
            for bucket in 0..2 {
                let work = work(iteration);
                let came = work
                    .iter()
                    .enumerate()
                    .map(|(at, work)| (at, (now + (work + bucket) * 1_000_000, iteration)));
                timeline.met(&Meeting { came: came.collect(), ..Meeting::default() });
            }
            now += work(iteration).iter().max().expect("a rank") * 1_000_000 + 2_000_000;
        }
        let ranks: Vec<(u32, String)> =
            (0..ranks as u32).map(|rank| (rank, format!("host-{rank}"))).collect();
        timeline.end(&ranks)
    }

    #[test]
    fn a_rank_that_is_always_slow_comes_first_with_what_it_costs() {
        let found = job(50, |_| vec![100, 100, 130, 101]);
        let first = &found.ranks[0];
        assert_eq!(first.rank, 2);
        // The second slowest needs 101; the first stretch has no beginning, the last no end.
        assert!((first.cost_ns as f64 / 1e6 - 29.0 * 48.0).abs() < 31.0, "{}", first.cost_ns);
        assert_eq!(first.slow.len(), 1);
        assert!(first.group_score < 0.8, "{}", first.group_score);
        assert!(first.own_score > 0.95, "{}", first.own_score);
        assert_eq!(found.ranks.iter().map(|one| one.slow.len()).sum::<usize>(), 1, "the others wait for it");
    }

    #[test]
    fn a_rank_that_becomes_slow_is_said_to_be_so_from_then_on() {
        let found = job(80, |iteration| vec![100, if iteration < 41 { 100 } else { 140 }]);
        let slow = &found.ranks[0].slow;
        assert_eq!((found.ranks[0].rank, slow.len()), (1, 1));
        assert!((40..=42).contains(&slow[0].from) && slow[0].to >= 79, "{slow:?}");
        assert!((39..=41).contains(&(slow[0].longer_ns / 1_000_000)), "{slow:?}");
    }

    #[test]
    fn one_slow_iteration_is_a_cost_and_no_stretch() {
        let found = job(60, |iteration| vec![100, if iteration == 30 { 900 } else { 100 }]);
        assert_eq!(found.ranks[0].rank, 1);
        assert_eq!(found.ranks[0].cost_ns / 1_000_000, 800);
        assert!(found.ranks[0].slow.is_empty());
    }

    #[test]
    fn a_rank_that_is_as_often_faster_is_not_slow() {
        let found = job(60, |iteration| vec![100, if iteration % 5 < 3 { 110 } else { 91 }]);
        assert!(found.ranks.iter().all(|rank| rank.slow.is_empty()), "{:?}", found.ranks);
    }

    #[test]
    fn ranks_that_are_alike_cost_nothing() {
        let found = job(30, |_| vec![100, 100, 100]);
        assert!(found.ranks.iter().all(|rank| rank.cost_ns == 0 && rank.slow.is_empty()));
        assert_eq!(found.ranks.iter().map(|rank| rank.rank).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
