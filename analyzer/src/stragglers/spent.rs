//! Where a slow rank spends what it needs longer than the others: by recorded call, and by what lies between two of them.
//!
//! A second pass over the ranks, in the stretches that were found slow alone. What a thread does belongs to the call that it has
//! entered last or, once that is left, to what comes after it. Only the thread that begins iterations counts: what others
//! do beside it makes nobody wait.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::Serialize;
use traincheck_schema::record::{Event, EventKind};

use super::changes::median;
use super::{Slow, Stragglers};
use crate::check::StackEntry;
use crate::job::Member;
use crate::source::{Batch, Source};

/// So many stretches are looked into: those of the ranks that cost the most.
const MOST_STRETCHES: usize = 64;
/// How many places of a stretch are named.
const MOST: usize = 3;
/// What is less than this share of what a stretch is longer is not named.
const WORTH_NAMING: f64 = 0.1;

/// Where a rank needs longer than the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// The call.
    pub call: StackEntry,
    /// It is not in the call, but after it: before anything else that is recorded was called or left.
    pub after: bool,
    /// By how much longer than the others it is there in an iteration, ns.
    pub longer_ns: u64,
}

/// A call and where it comes from, as dictionary ids, and whether it is what comes after it.
type Place = (u32, u32, bool);

/// A [`Place`] in words, which are the same on all ranks.
type Described = (StackEntry, bool);

/// What a rank did in each of some stretches: ns by place.
type Times = Vec<BTreeMap<Described, u64>>;

/// Says of each slow stretch where its rank needed longer than the others.
pub fn explain(stragglers: &mut Stragglers, members: Vec<Member<'_>>) {
    let stretches: Vec<(u32, u32)> = stragglers
        .ranks
        .iter()
        .flat_map(|rank| rank.slow.iter().map(|slow| (slow.from, slow.to)))
        .take(MOST_STRETCHES)
        .collect();
    let times: BTreeMap<u32, Times> = members
        .into_iter()
        .map(|mut member| (member.number, read(&mut *member.source, &stretches)))
        .collect();
    let slow = stragglers.ranks.iter_mut().flat_map(|rank| {
        let number = rank.rank;
        rank.slow.iter_mut().map(move |slow| (number, slow))
    });
    for (at, (rank, slow)) in slow.take(stretches.len()).enumerate() {
        slow.spent = compare(rank, at, slow, &times);
    }
}

/// The places in which `rank` was longer than the others in stretch `at`, the longest first.
fn compare(rank: u32, at: usize, slow: &Slow, times: &BTreeMap<u32, Times>) -> Vec<Spent> {
    let Some(own) = times.get(&rank) else { return Vec::new() };
    let iterations = u64::from(slow.to.saturating_sub(slow.from.max(1))) + 1;
    let others = |place: &Described| {
        let of = times.iter().filter(|(number, _)| **number != rank);
        median(&of.map(|(_, times)| times[at].get(place).copied().unwrap_or(0) as f64).collect::<Vec<_>>())
    };
    let least = WORTH_NAMING * slow.longer_ns as f64;
    let mut longer: Vec<(f64, &Described)> = own[at]
        .iter()
        .map(|(place, own)| ((*own as f64 - others(place)) / iterations as f64, place))
        .filter(|(longer, _)| *longer > 0.0 && *longer >= least)
        .collect();
    longer.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    longer.truncate(MOST);
    let spent = |(longer, (call, after)): (f64, &Described)| Spent {
        call: call.clone(),
        after: *after,
        longer_ns: longer as u64,
    };
    longer.into_iter().map(spent).collect()
}

/// Reads a rank: what it did in each of the stretches.
fn read(source: &mut dyn Source, stretches: &[(u32, u32)]) -> Times {
    let mut clock = Clock::new(stretches);
    while let Some(batch) = source.next_batch() {
        match batch {
            Ok(batch) => clock.batch(&batch),
            Err(_) => clock.forget(),
        }
    }
    let described = |times: FxHashMap<Place, u64>| {
        let mut all = BTreeMap::new();
        for ((name, site, after), time) in times {
            let function = source.entry(name).map(|function| function.text.clone());
            *all.entry((StackEntry::called(function, site, source), after)).or_default() += time;
        }
        all
    };
    clock.times.into_iter().map(described).collect()
}

/// What a thread has done last, and when.
type Last = (Place, u64);

struct Clock<'a> {
    stretches: &'a [(u32, u32)],
    times: Vec<FxHashMap<Place, u64>>,
    /// By thread; none where something was lost since.
    threads: FxHashMap<u16, Last>,
    /// The thread that began the last iteration.
    counts: u16,
}

impl Clock<'_> {
    fn new(stretches: &[(u32, u32)]) -> Clock<'_> {
        let times = vec![FxHashMap::default(); stretches.len()];
        Clock { stretches, times, threads: FxHashMap::default(), counts: 0 }
    }

    /// What comes next is not what follows.
    fn forget(&mut self) {
        self.threads.clear();
    }

    fn batch(&mut self, batch: &Batch) {
        if batch.lost > 0 {
            self.forget();
        }
        batch.events.iter().for_each(|event| self.event(event));
    }

    fn event(&mut self, event: &Event) {
        let Ok(kind) = EventKind::try_from(event.kind) else { return };
        if kind == EventKind::Iteration {
            self.counts = event.thread;
        }
        let before = self.threads.get(&event.thread).copied();
        if let Some((place, since)) = before.filter(|_| event.thread == self.counts) {
            // What comes before the first iteration is no part of any.
            let stretches = self.stretches.iter().zip(&mut self.times);
            stretches
                .filter(|((from, to), _)| (*from.max(&1)..=*to).contains(&event.iteration))
                .for_each(|(_, times)| *times.entry(place).or_default() += event.time.saturating_sub(since));
        }
        let place = match kind {
            EventKind::Enter | EventKind::Resume => Some((event.name, event.site, false)),
            EventKind::Exit | EventKind::Suspend => Some((event.name, event.site, true)),
            EventKind::Paused | EventKind::Resumed => None,
            _ => before.map(|(place, _)| place),
        };
        match place {
            Some(place) => self.threads.insert(event.thread, (place, event.time)),
            None => self.threads.remove(&event.thread),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemoryTrace;
    use crate::stragglers::Straggler;
    use traincheck_schema::record::{DictEntry, DictKind};

    /// Iterations of a call of `next`, which takes `next` ms, and of what comes after it, which takes `between` ms.
    fn rank(next: u64, between: u64) -> MemoryTrace {
        let dictionary = vec![
            DictEntry { kind: DictKind::Function as u8, text: "next".into(), ..DictEntry::default() },
            DictEntry {
                kind: DictKind::Site as u8,
                file: "train.py".into(),
                line: 7,
                ..DictEntry::default()
            },
        ];
        let (mut now, mut events) = (0, Vec::new());
        for iteration in 1..=20 {
            let of = |kind: EventKind, time: u64| Event {
                kind: kind as u8,
                time: time * 1_000_000,
                iteration,
                call: u64::from(iteration),
                name: 1,
                site: 2,
                ..Event::EMPTY
            };
            events.push(of(EventKind::Iteration, now));
            events.push(of(EventKind::Enter, now));
            events.push(of(EventKind::Exit, now + next));
            now += next + between;
        }
        MemoryTrace {
            batches: vec![Batch { events, ..Batch::default() }],
            dictionary,
            ..MemoryTrace::default()
        }
    }

    fn slow(longer: u64) -> Slow {
        Slow { from: 11, to: 20, longer_ns: longer * 1_000_000, spent: Vec::new() }
    }

    fn explained(traces: &[MemoryTrace], longer: u64) -> Vec<(bool, u64)> {
        let of_rank = |(number, _): (usize, &MemoryTrace)| Straggler {
            slow: if number == 0 { vec![slow(longer)] } else { Vec::new() },
            rank: number as u32,
            ..Straggler::default()
        };
        let mut stragglers =
            Stragglers { ranks: traces.iter().enumerate().map(of_rank).collect(), ..Stragglers::default() };
        let members = traces.iter().enumerate().map(|(number, trace)| Member {
            number: number as u32,
            process: format!("host-{number}"),
            source: Box::new(trace.source()),
        });
        explain(&mut stragglers, members.collect());
        let spent = &stragglers.ranks[0].slow[0].spent;
        assert!(spent.iter().all(|one| one.call.call.as_deref() == Some("next") && one.call.line == Some(7)));
        spent.iter().map(|one| (one.after, one.longer_ns / 1_000_000)).collect()
    }

    #[test]
    fn what_a_call_takes_longer_is_named_with_its_line() {
        assert_eq!(explained(&[rank(40, 10), rank(10, 10), rank(10, 10)], 30), [(false, 30)]);
    }

    #[test]
    fn what_lies_between_calls_is_named_after_the_one_before() {
        assert_eq!(explained(&[rank(10, 40), rank(10, 10)], 30), [(true, 30)]);
    }

    #[test]
    fn what_is_nothing_beside_the_rest_is_not_named() {
        assert_eq!(explained(&[rank(11, 40), rank(10, 10)], 31), [(true, 30)]);
        assert_eq!(explained(&[rank(10, 10), rank(10, 40)], 1), []);
    }

    #[test]
    fn behind_a_loss_nothing_is_taken_for_what_goes_on() {
        let mut torn = rank(40, 10);
        let events = std::mem::take(&mut torn.batches[0].events);
        // From the entry of `next` in iteration 15 on its return is missing.
        let (before, behind) = events.split_at(14 * 3 + 2);
        torn.batches = vec![
            Batch { events: before.to_vec(), ..Batch::default() },
            Batch { events: behind[1..].to_vec(), lost: 1, ..Batch::default() },
        ];
        let found = explained(&[torn, rank(10, 10)], 30);
        assert!(matches!(found[..], [(false, 26)]), "{found:?}");
    }
}
