//! What a run leaves out because its command line says so.

use std::collections::BTreeMap;

use crate::check::{Checked, Tally};
use crate::invariants::{Invariant, Invariants, Level};
use crate::optional::OptionalPart;
use crate::options::switched;
use crate::program;

/// By the id of an invariant, the options that explain that it does not hold: see [`explained`].
pub type Explained = BTreeMap<String, Vec<String>>;

/// Which violated alarms speak of a part of the training that a configuration may leave out and that this run lacks from
/// its start to its end, while its command line switches something that no reference run of the same program does.
pub fn explained(
    invariants: &Invariants,
    checked: &Checked,
    program: Option<&str>,
    arguments: &[String],
) -> Explained {
    let Some(program) = program else { return Explained::new() };
    let is_of_it = program::same_as(Some(program), invariants.runs.iter().map(|run| run.program.as_deref()));
    let of_it = invariants.runs.iter().zip(is_of_it).filter(|(_, is_of_it)| *is_of_it);
    let references: Vec<&[String]> = of_it.map(|(run, _)| run.arguments.as_slice()).collect();
    let mut explained = Explained::new();
    for (invariant, tally) in invariants.invariants.iter().zip(&checked.tallies) {
        if let Some(part) = part_left_out(invariant, tally) {
            let options = switched(arguments, &references, part.words());
            if !options.is_empty() {
                explained.insert(invariant.id.clone(), options);
            }
        }
    }
    explained
}

/// The part of the training that an alarm speaks of and that was never there.
fn part_left_out(invariant: &Invariant, tally: &Tally) -> Option<OptionalPart> {
    let first = tally.first.as_ref()?;
    let part = OptionalPart::of_violation(&invariant.claim, first.why)?;
    (invariant.level == Level::Alarm && tally.held == 0).then_some(part)
}

/// The invariants with those that are explained as notices.
pub fn lowered(mut invariants: Invariants, explained: &Explained) -> Invariants {
    for invariant in invariants.invariants.iter_mut().filter(|one| explained.contains_key(&one.id)) {
        invariant.level = Level::Notice;
    }
    invariants
}
