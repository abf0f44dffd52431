//! How long collectives take once all ranks have come: what is slow in communication, and not before it.
//!
//! C4 (Alibaba, HPCA '25) tells four syndromes apart: hang or slow, in communication or outside of it. A rank that comes late is slow
//! outside of it; where all have come, and what they do takes longer than it did, communication is slow.

use std::collections::BTreeMap;

use serde::Serialize;

use super::changes::{median, stretches};

/// Communication is slow in a stretch in which it takes this share of an iteration longer than at its best.
const SLOW: f64 = 0.05;

/// How long ranks communicate, from when all have come to the end on the last one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Communication {
    /// The median in an iteration, ns; `None`: no collective has ended on all ranks.
    pub typical_ns: Option<u64>,
    /// The stretches of iterations in which it was slow.
    pub slow: Vec<SlowCommunication>,
}

/// A stretch of iterations in which communication was slow.
#[derive(Clone, Debug, Serialize)]
pub struct SlowCommunication {
    /// The first.
    pub from: u32,
    /// The last.
    pub to: u32,
    /// By how much longer it took than at its best, the median in an iteration, ns.
    pub longer_ns: u64,
}

/// Collectives that have ended on all ranks: by iteration, how long they took together, ns.
#[derive(Default)]
pub(super) struct Ended(BTreeMap<u32, f64>);

impl Ended {
    /// One to which the last rank came at `all_here`, and which ended on the ranks at these times.
    pub fn add(&mut self, iteration: u32, all_here: u64, ended: impl Iterator<Item = u64>) {
        // Clocks of several hosts may be apart by more than it takes.
        let longest = ended.map(|time| time.saturating_sub(all_here)).max().unwrap_or(0);
        *self.0.entry(iteration).or_default() += longest as f64;
    }

    /// What comes of it, where an iteration takes so long, ns.
    pub fn finish(&self, iteration_ns: f64) -> Communication {
        if self.0.is_empty() {
            return Communication::default();
        }
        let (numbers, took): (Vec<u32>, Vec<f64>) = self.0.iter().unzip();
        let begins = stretches(&took);
        let ends = begins.iter().skip(1).copied().chain([took.len()]);
        let levels: Vec<(usize, usize, f64)> = begins
            .iter()
            .copied()
            .zip(ends)
            .filter(|(begin, end)| begin < end)
            .map(|(begin, end)| (begin, end, median(&took[begin..end])))
            .collect();
        let best = levels.iter().map(|(.., level)| *level).fold(f64::INFINITY, f64::min);
        let slow = levels.iter().filter(|(.., level)| level - best > SLOW * iteration_ns);
        let slow = slow.map(|&(begin, end, level)| SlowCommunication {
            from: numbers[begin],
            to: numbers[end - 1],
            longer_ns: (level - best) as u64,
        });
        Communication { typical_ns: Some(median(&took) as u64), slow: slow.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Iterations of 100 ms with two collectives each, which take so many ms together.
    fn found(iterations: u32, took: impl Fn(u32) -> u64) -> Communication {
        let mut ended = Ended::default();
        for iteration in 1..=iterations {
            for part in [1, took(iteration) - 1] {
                // On the other rank they end earlier.
                ended.add(iteration, 1000, [1000 + part * 1_000_000, 1000].into_iter());
            }
        }
        ended.finish(100e6)
    }

    #[test]
    fn communication_that_becomes_slow_is_slow_from_then_on() {
        let found = found(60, |iteration| if iteration < 31 { 10 } else { 40 });
        let [slow] = &found.slow[..] else { panic!("{found:?}") };
        assert!((30..=32).contains(&slow.from) && slow.to == 60, "{slow:?}");
        assert_eq!(slow.longer_ns, 30_000_000);
    }

    #[test]
    fn what_is_little_of_an_iteration_or_happens_once_is_not_slow() {
        assert!(found(60, |iteration| if iteration < 31 { 10 } else { 13 }).slow.is_empty());
        assert!(found(60, |iteration| if iteration == 20 { 300 } else { 10 }).slow.is_empty());
        let steady = found(60, |_| 10);
        assert_eq!((steady.typical_ns, steady.slow.len()), (Some(10_000_000), 0));
        assert_eq!(Ended::default().finish(1.0).typical_ns, None);
    }
}
