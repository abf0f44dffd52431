//! What ranks put into reductions.
//!
//! Between a backward pass and the step behind it it is different on every rank, or was reduced before and is behind this a multiple of what
//! it should be. And what has as many elements as a parameter or buffer is added up: the largest gradient is no mean, and is the same on all
//! ranks as a mean would be.
//!
//! That a collective has to change what a tensor is over ranks (partial, replicated) is borrowed from spmd_types, which has users say
//! it; here it is learned from contents.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use traincheck_schema::record::{
    Collective, CollectiveEvent, CollectiveKind, ReduceKind, Role, VariableKind, collective,
};

use super::claim::{Outcome, Subject};
use super::row::{Row, Told, hash};
use super::total::is_sum;
use crate::relation::together::{Joint, Rank};
use crate::scene::Frame;
use crate::scene::came::Came;

/// What has fewer elements may be the same on all ranks by chance, as counts are.
const FEWEST: u64 = 16;
/// So many results of reductions between two steps are remembered of a group.
const MOST: usize = 4096;
/// Norms of what differs by a known factor differ by it up to this share.
const ROUNDING: f64 = 1e-5;

/// See the module.
#[derive(Default)]
pub(super) struct Reduced {
    /// By name of the group.
    groups: BTreeMap<String, Results>,
    sizes: Sizes,
}

/// What reductions have given since the last step.
#[derive(Default)]
struct Results {
    steps: u32,
    /// By place in the order of the group.
    results: BTreeMap<u32, Collective>,
    /// A backward pass has entered some: those of a wrapper, over several gradients at once.
    in_backward: bool,
}

/// How many elements parameters and buffers have.
#[derive(Default)]
struct Sizes {
    of: FxHashSet<u64>,
    /// How many variables were looked at.
    variables: usize,
}

impl Reduced {
    /// Hears of what became of a collective of the group `name`.
    pub(super) fn came(&mut self, name: &str, came: &Came) {
        let record = &came.record;
        let is_over = record.event == CollectiveEvent::Completed as u8 && record.has(collective::CONTENTS);
        if !is_over || record.op != CollectiveKind::AllReduce as u8 || record.elements_out < FEWEST {
            return;
        }
        let results = &mut self.since_step(name, came).results;
        if results.len() < MOST {
            // All ranks get the same.
            results.entry(record.sequence).or_insert(*record);
        }
    }

    /// Those of the group `name` since the last step of the rank that has come farthest.
    fn since_step(&mut self, name: &str, came: &Came) -> &mut Results {
        let group = self.groups.entry(name.to_owned()).or_default();
        if group.steps < came.steps {
            *group = Results { steps: came.steps, ..Results::default() };
        }
        group
    }

    /// Hears of a collective of the group `name` that all of its ranks have entered.
    pub(super) fn entered(&mut self, name: &str, row: &Row, ranks: &[Rank<'_>], joint: &mut Joint<'_>) {
        let Some((&at, first)) = row.first_key_value() else { return };
        let (one, rank) = (&first.record, &ranks[at]);
        let is_worth = |came: &Came| {
            let record = &came.record;
            let reduces = ReduceKind::try_from(record.reduce)
                .is_ok_and(|how| !matches!(how, ReduceKind::None | ReduceKind::Unknown));
            let is_known = record.has(collective::SUM) && record.l2 > 0.0;
            reduces && is_known && record.elements_in >= FEWEST
        };
        if !row.values().all(|came| is_worth(came)) {
            return;
        }
        let told = Told { asked: first, at, departing: &[], differ: false };
        let kind = CollectiveKind::try_from(one.op).unwrap_or_default().word().to_owned();
        let is_added_up = row.values().all(|came| is_sum(&came.record));
        let since = self.since_step(name, first);
        if is_added_up && row.values().all(|came| came.before_step) {
            let differ = row.values().any(|came| hash(&came.record) != hash(one));
            if differ || since.has(one, row.len()) || since.in_backward && is_gradient(one, rank) {
                let claim = (Subject::Unreduced { kind: kind.clone() }, Outcome::DiffersByRank);
                told.tell(claim, differ, ranks, joint);
            }
        }
        since.in_backward |= first.stack.iter().any(|frame| frame.target.role == Role::Backward);
        if self.sizes.has(one.elements_in, rank) {
            let function = caller(&first.stack, joint);
            let subject = Subject::GoesIn { kind, function };
            told.tell((subject, Outcome::IsAddedUp), is_added_up, ranks, joint);
        }
    }
}

impl Results {
    /// Whether what the ranks of a group of this `size` put in, which is the same on all of them, is one of the results before it, or the
    /// mean where that is a sum.
    fn has(&self, given: &Collective, size: usize) -> bool {
        self.results.range(..given.sequence).any(|(_, result)| {
            let mean = f64::from(result.l2) / size as f64;
            result.elements_out == given.elements_in
                && (hash(result) == hash(given) || (f64::from(given.l2) - mean).abs() <= ROUNDING * mean)
        })
    }
}

/// Whether the rank puts in a gradient as it was when it was looked at last.
fn is_gradient(given: &Collective, rank: &Rank<'_>) -> bool {
    let gradients = rank.scene.variables.iter().filter_map(|(_, variable)| variable.grad);
    gradients.into_iter().any(|gradient| gradient.hash == hash(given))
}

impl Sizes {
    /// Whether a parameter or buffer of the rank has so many elements.
    fn has(&mut self, elements: u64, rank: &Rank<'_>) -> bool {
        let variables = rank.scene.variables.iter();
        if variables.len() > self.variables {
            self.variables = variables.len();
            let of_models = variables
                .filter(|(_, one)| matches!(one.kind, VariableKind::Parameter | VariableKind::Buffer));
            self.of = of_models.filter_map(|(_, one)| Some(one.data?.elements)).collect();
        }
        self.of.contains(&elements)
    }
}

/// The innermost recorded function around a collective that is not PyTorch's, or else the innermost of all.
fn caller(stack: &[Frame], joint: &Joint<'_>) -> String {
    let function = |frame: &Frame| &joint.numbers.calls.get(frame.target.plain).function;
    let own = stack.iter().rev().map(function).find(|function| !function.starts_with("torch."));
    own.or_else(|| stack.last().map(function)).cloned().unwrap_or_default()
}
