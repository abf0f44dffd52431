//! What inference has counted of runs, before anything is claimed: runs are counted wherever they lie, and learned from in
//! one place.
//!
//! Sketches merge in any order and grouping, and what is learned from a merged one is what is learned from all its runs at
//! once: `infer` itself makes a sketch of each run and merges them. The unit is the run, for all ranks of a job are
//! gone over side by side. A claim is judged by what each run says of it (one is left out after the other), so a merged
//! sketch has its runs beside one another, and is as large as what can be claimed of them, however long they are.
mod identity;
mod lines;
mod names;
mod read;
mod write;

use thiserror::Error;

use crate::infer::Reference;
use crate::invariants::ReferenceRun;

pub use identity::{Identity, Recording, given_twice};
pub use read::ReadSketchError;

/// What the field `format` says.
pub const FORMAT: &str = "traincheck-sketch";
/// The version that is written, and the only one that is read. It changes with what is counted, too: what was counted by
/// several rules cannot be merged.
pub const VERSION: u64 = 1;

/// A run of which everything was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What tells it from every other run.
    pub identity: Identity,
    /// What it is and says.
    pub reference: Reference,
}

/// What was counted of some runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// In the order of their identities, each run once.
    runs: Vec<Counted>,
}

/// Runs that are in several sketches.
#[derive(Debug, Error)]
#[error("several of the sketches have {}; give every reference run once", self.runs())]
pub struct MergeSketchesError {
    /// Of each sketch that has a run that an earlier one has, the first.
    pub twice: Vec<Twice>,
}

impl MergeSketchesError {
    fn runs(&self) -> String {
        self.twice.iter().map(|twice| twice.folder.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// A run that is in two sketches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The sketch that has it, by its place among those that were given.
    pub sketch: usize,
    /// The earlier one that has it, too.
    pub earlier: usize,
    /// Its folder.
    pub folder: String,
}

impl Sketch {
    /// That of one run.
    pub fn of(run: Counted) -> Sketch {
        Sketch { runs: vec![run] }
    }

    /// All of them as one. Neither their order nor what was merged before makes a difference.
    ///
    /// # Errors
    /// If a run is in several of them.
    pub fn merge(sketches: impl IntoIterator<Item = Sketch>) -> Result<Sketch, MergeSketchesError> {
        let mut all: Vec<(usize, Counted)> = Vec::new();
        for (place, sketch) in sketches.into_iter().enumerate() {
            all.extend(sketch.runs.into_iter().map(|run| (place, run)));
        }
        let identities: Vec<&Identity> = all.iter().map(|(_, run)| &run.identity).collect();
        let mut twice: Vec<Twice> = Vec::new();
        for (at, earlier) in given_twice(&identities) {
            let (sketch, folder) = (all[at].0, all[at].1.identity.folder.clone());
            if twice.last().is_none_or(|last| last.sketch != sketch) {
                twice.push(Twice { sketch, earlier: all[earlier].0, folder });
            }
        }
        if !twice.is_empty() {
            return Err(MergeSketchesError { twice });
        }
        let mut runs: Vec<Counted> = all.into_iter().map(|(_, run)| run).collect();
        runs.sort_by(|one, other| one.identity.cmp(&other.identity));
        Ok(Sketch { runs })
    }

    /// The runs in it, by names that tell them apart.
    pub fn runs(&self) -> Vec<ReferenceRun> {
        let named = self.names().into_iter().zip(&self.runs);
        named.map(|(name, run)| ReferenceRun { name, ..run.reference.run.clone() }).collect()
    }

    /// The same, with what they say: what is learned from.
    pub fn into_references(self) -> Vec<Reference> {
        let named = self.names().into_iter().zip(self.runs);
        named
            .map(|(name, Counted { mut reference, .. })| {
                reference.run.name = name;
                reference
            })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        names::names(&self.runs.iter().map(|run| run.identity.folder.as_str()).collect::<Vec<_>>())
    }
}
