//! Which rank the others wait for, for people.

use std::fmt::{self, Write};

use super::communication::{Communication, SlowCommunication};
use super::spent::Spent;
use super::{Slow, Straggler, Stragglers};
use crate::words::{in_attempt, plural, significant};

/// How many ranks are shown: those that cost the most.
const RANKS: usize = 16;
/// How many stretches of each.
const STRETCHES: usize = 4;

/// Writes it.
///
/// # Errors
/// If it cannot be written.
pub fn write(run: &str, found: &Stragglers, out: &mut impl Write) -> fmt::Result {
    writeln!(
        out,
        "Run `{run}`: {}{}, {} in {} s between the first and the last collective of all.\n",
        plural(found.ranks.len() as u64, "rank"),
        in_attempt(found.attempt),
        plural(found.iterations, "iteration"),
        significant(found.time_ns as f64 / 1e9),
    )?;
    if let Some(note) = &found.note {
        writeln!(out, "Not all is known of the job: {note}.\n")?;
    }
    if found.hosts > 1 {
        write_clocks(found, out)?;
    }
    if found.iterations == 0 {
        return writeln!(out, "No collective of all ranks was recorded on all of them.");
    }
    writeln!(out, "rank  waited for      share  last in  work/iteration  score: group  own")?;
    for rank in found.ranks.iter().take(RANKS) {
        write_rank(rank, found, out)?;
    }
    if found.ranks.len() > RANKS {
        writeln!(out, "({} more)", plural((found.ranks.len() - RANKS) as u64, "rank"))?;
    }
    write_communication(&found.communication, out)?;
    if found.ranks.iter().all(|rank| rank.slow.is_empty()) && found.communication.slow.is_empty() {
        writeln!(
            out,
            "\nNo rank is slower than the others for a stretch of iterations, and neither is communication."
        )?;
    }
    writeln!(
        out,
        "\nWaited for: how long all others waited for it, which is saved if it comes with the next to last. Scores: the fastest rank's\n\
         work, and its own at its best, relative to its own; 1 is best."
    )
}

/// What is slow when all have come is slow in communication; a rank that comes late is slow outside of it.
fn write_communication(communication: &Communication, out: &mut impl Write) -> fmt::Result {
    let Some(typical) = communication.typical_ns else { return Ok(()) };
    let ms = |ns: u64| significant(ns as f64 / 1e6);
    writeln!(out, "\nCommunication, from when all have come: {} ms in an iteration.", ms(typical))?;
    for SlowCommunication { from, to, longer_ns } in communication.slow.iter().take(STRETCHES) {
        writeln!(
            out,
            "      slow in iterations {from} to {to}: {} ms longer in each than at its best",
            ms(*longer_ns)
        )?;
    }
    if communication.slow.len() > STRETCHES {
        writeln!(out, "      ({} more)", communication.slow.len() - STRETCHES)?;
    }
    Ok(())
}

fn write_clocks(found: &Stragglers, out: &mut impl Write) -> fmt::Result {
    write!(out, "The ranks are on {}. ", plural(found.hosts, "host"))?;
    match found.clock_error_ns {
        Some(error) => writeln!(
            out,
            "Their clocks are aligned by the collectives of all ranks, to {} ms.\n",
            significant(error as f64 / 1e6)
        ),
        None => writeln!(
            out,
            "No collective by which to align their clocks was recorded on all ranks, so what is shorter than these \
             differ says nothing.\n"
        ),
    }
}

fn write_rank(rank: &Straggler, found: &Stragglers, out: &mut impl Write) -> fmt::Result {
    let share = if found.time_ns == 0 { 0.0 } else { rank.cost_ns as f64 / found.time_ns as f64 };
    writeln!(
        out,
        "{:>4}  {:>8} s  {:>9.1} %  {:>7}  {:>11} ms  {:>12.2} {:>4.2}",
        rank.rank,
        significant(rank.cost_ns as f64 / 1e9),
        100.0 * share,
        rank.last_in,
        significant(rank.work_ns as f64 / 1e6),
        rank.group_score,
        rank.own_score,
    )?;
    for Slow { from, to, longer_ns, spent } in rank.slow.iter().take(STRETCHES) {
        let longer = significant(*longer_ns as f64 / 1e6);
        writeln!(out, "      slow in iterations {from} to {to}: {longer} ms longer than the others in each")?;
        for Spent { call, after, longer_ns } in spent {
            let longer = significant(*longer_ns as f64 / 1e6);
            let place = if *after { "after" } else { "in" };
            writeln!(out, "        {longer} ms {place} {call}")?;
        }
    }
    if rank.slow.len() > STRETCHES {
        writeln!(out, "      ({} more)", rank.slow.len() - STRETCHES)?;
    }
    Ok(())
}
