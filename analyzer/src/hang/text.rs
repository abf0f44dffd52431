//! What is known of a job that hangs, for people.

use std::fmt::{self, Write};

use super::{Agreement, Entered, Further, GroupEnd, Hang, RankEnd, Verdict, Witness};
use crate::check::StackEntry;
use crate::relation::collective::claim::Property;
use crate::words::{in_attempt, plural};

/// How many ranks are shown of each group, and at the end.
const RANKS: usize = 16;
/// How many calls of a stack are shown: the innermost.
const CALLS: usize = 8;
/// How many damaged parts of a recording are shown.
const DAMAGE: usize = 3;

/// Writes it. `run`: the name of the run; `None`: there are dumps of the flight recorder alone.
///
/// # Errors
/// If it cannot be written.
pub fn write(run: Option<&str>, hang: &Hang, out: &mut impl Write) -> fmt::Result {
    let attempt = in_attempt(hang.attempt);
    if let Some(run) = run {
        writeln!(out, "Run `{run}`: {}{attempt}.", plural(hang.ranks.len() as u64, "rank"))?;
    }
    if !hang.flight_recorder.is_empty() {
        let of: Vec<u32> = hang.flight_recorder.iter().map(|dump| dump.rank).collect();
        writeln!(out, "Flight recorder: dumps of {}.", ranks(&of))?;
    }
    writeln!(out)?;
    if let Some(note) = &hang.note {
        writeln!(out, "Not all is known of the job: {note}.\n")?;
    }
    for rank in hang.ranks.iter().filter(|rank| !rank.damage.is_empty()) {
        writeln!(out, "The recording of rank {} is damaged, so what follows may be wrong:", rank.rank)?;
        rank.damage.iter().take(DAMAGE).try_for_each(|damage| writeln!(out, "  {damage}"))?;
    }
    for group in &hang.groups {
        write_group(group, out)?;
    }
    if hang.groups.is_empty() {
        writeln!(out, "No collective was recorded.")?;
    }
    if !hang.ranks.is_empty() {
        writeln!(out)?;
    }
    hang.ranks.iter().take(RANKS).try_for_each(|rank| write_rank(rank, out))?;
    if hang.ranks.len() > RANKS {
        writeln!(out, "({} more)", plural((hang.ranks.len() - RANKS) as u64, "rank"))?;
    }
    Ok(())
}

fn write_group(group: &GroupEnd, out: &mut impl Write) -> fmt::Result {
    write!(out, "Group `{}` ({}, {})", group.name, group.backend, plural(group.size.into(), "rank"))?;
    let is_whole = group.ranks.len() == group.size as usize;
    match group.seen_by {
        Witness::Recording if is_whole => write!(out, ": ")?,
        Witness::Recording => {
            write!(out, ": collectives of {} alone were recorded; ", ranks(&group.ranks))?;
        }
        Witness::FlightRecorder if is_whole => write!(out, ", by the flight recorder: ")?,
        Witness::FlightRecorder => {
            write!(out, ", by the flight recorder: there are dumps of {} alone; ", ranks(&group.ranks))?;
        }
    }
    write_verdict(&group.verdict, is_whole, group.seen_by, out)?;
    group.flight_recorder.iter().try_for_each(|further| write_further(further, group.size, out))
}

/// What the flight recorder says of a group that was recorded.
fn write_further(further: &Further, size: u32, out: &mut impl Write) -> fmt::Result {
    let is_whole = further.ranks.len() == size as usize;
    let of = if is_whole { String::new() } else { format!(" of {}", ranks(&further.ranks)) };
    match further.says {
        Agreement::Same => return writeln!(out, "  The flight recorder{of} says the same."),
        Agreement::CannotTell => {
            return writeln!(
                out,
                "  The flight recorder{of} does not contradict it, and records nothing of that kind."
            );
        }
        Agreement::More => write!(out, "  The flight recorder has {}: ", ranks(&further.ranks))?,
        Agreement::Otherwise => {
            write!(out, "  The flight recorder{of} says otherwise, perhaps of another moment: ")?;
        }
    }
    write_verdict(&further.verdict, is_whole, Witness::FlightRecorder, out)
}

fn write_verdict(verdict: &Verdict, is_whole: bool, seen_by: Witness, out: &mut impl Write) -> fmt::Result {
    match verdict {
        Verdict::Alike { collectives } => {
            let number = plural((*collectives).into(), "collective");
            match is_whole {
                true => writeln!(out, "all ranks did the same {number}."),
                false => writeln!(out, "{number}, all of which have ended."),
            }
        }
        Verdict::Pending { entered } => {
            let what = match entered.iter().all(Entered::is_message) {
                true => "what ranks send one another has not all arrived.",
                false if !is_whole && seen_by == Witness::Recording => {
                    "what was entered has not ended, and the others have entered none."
                }
                false if !is_whole => "what was entered has not ended.",
                false if entered.iter().any(|one| one.sequence != entered[0].sequence) => {
                    "all ranks entered these, and not all of them have ended."
                }
                false => "all ranks entered the same collective, which has not ended on all of them.",
            };
            writeln!(out, "{what}")?;
            write_entered(entered, out)
        }
        Verdict::Missing { entered, absent, elsewhere } => {
            let what = entered.first().map_or_else(String::new, named);
            let verb = if absent.len() == 1 { "has" } else { "have" };
            let wait = if entered.len() == 1 { "waits" } else { "wait" };
            writeln!(out, "{} {verb} not entered {what}, where {} {wait}.", ranks(absent), who(entered))?;
            write_entered(entered, out)?;
            write_entered(elsewhere, out)
        }
        Verdict::Mismatch { differ_in, entered, absent } => {
            let number = entered.first().map_or(0, |entered| entered.sequence);
            let in_what = match differ_in {
                Property::Kind => "is another one on some ranks than on others",
                Property::Root => "has another root on some ranks than on others",
                Property::Reduction => "reduces in another way on some ranks than on others",
                Property::ElementType => "has elements of another type on some ranks than on others",
                Property::Size => "is of another size on some ranks than on others",
            };
            match entered.iter().all(Entered::is_message) {
                true => writeln!(out, "what one rank sends is not what another waits for: it {in_what}.")?,
                false => writeln!(out, "collective number {number} {in_what}.")?,
            }
            write_entered(entered, out)?;
            if !absent.is_empty() {
                writeln!(out, "  {}: has entered none.", ranks(absent))?;
            }
            Ok(())
        }
        Verdict::Message { from, to, sent, received, waits } => {
            writeln!(
                out,
                "rank {from} has sent rank {to} {}, which has asked for {received}.",
                plural((*sent).into(), "message")
            )?;
            write_entered(waits, out)
        }
    }
}

fn write_entered(entered: &[Entered], out: &mut impl Write) -> fmt::Result {
    for one in entered.iter().take(RANKS) {
        let failed = if one.failed { ", and it failed" } else { "" };
        write!(out, "  rank {}: {}", one.rank, named(one))?;
        one.iteration.iter().try_for_each(|iteration| write!(out, ", in iteration {iteration}"))?;
        one.state.iter().try_for_each(|state| write!(out, ", {state}"))?;
        writeln!(out, "{failed}")?;
        write_stack(&one.stack, out)?;
    }
    if entered.len() > RANKS {
        writeln!(out, "  ({} more)", plural((entered.len() - RANKS) as u64, "rank"))?;
    }
    Ok(())
}

/// `all_reduce number 12 (sum, float32, 4096 elements)`.
fn named(entered: &Entered) -> String {
    let mut parts: Vec<String> =
        entered.reduce.iter().chain(&entered.element_type).map(|word| (*word).to_owned()).collect();
    if entered.elements > 0 {
        parts.push(plural(entered.elements, "element"));
    }
    parts.extend(entered.peer.map(|peer| match &*entered.kind {
        "send" => format!("to rank {peer} of the group"),
        "recv" => format!("from rank {peer} of the group"),
        _ => format!("root {peer}"),
    }));
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    format!("{} number {}{parts}", entered.kind, entered.sequence)
}

fn who(entered: &[Entered]) -> String {
    ranks(&entered.iter().map(|entered| entered.rank).collect::<Vec<_>>())
}

fn ranks(numbers: &[u32]) -> String {
    let shown: Vec<String> = numbers.iter().take(RANKS).map(u32::to_string).collect();
    let more = if numbers.len() > RANKS { " and more" } else { "" };
    format!("{} {}{more}", if numbers.len() == 1 { "rank" } else { "ranks" }, shown.join(", "))
}

fn write_rank(rank: &RankEnd, out: &mut impl Write) -> fmt::Result {
    write!(
        out,
        "rank {} ({}): last seen in iteration {} (step {})",
        rank.rank, rank.process, rank.iteration, rank.step
    )?;
    if rank.before_last_ns >= 100_000_000 {
        write!(out, ", {:.1} s before the last record of all", rank.before_last_ns as f64 / 1e9)?;
    }
    match (&rank.torn, rank.stack.is_empty()) {
        (None, true) => return writeln!(out, "; it ended by itself"),
        (None, false) => writeln!(out, "; its recording was closed there")?,
        (Some(torn), _) => writeln!(out, "; {torn}")?,
    }
    write_stack(&rank.stack, out)?;
    match &rank.after {
        Some(after) => writeln!(out, "    after {after}"),
        None => Ok(()),
    }
}

fn write_stack(stack: &[StackEntry], out: &mut impl Write) -> fmt::Result {
    let shown = stack.len().saturating_sub(CALLS);
    if shown > 0 {
        writeln!(out, "    ({})", plural(shown as u64, "outer call"))?;
    }
    stack[shown..].iter().try_for_each(|entry| writeln!(out, "    {entry}"))
}
