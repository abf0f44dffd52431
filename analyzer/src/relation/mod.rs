//! The relations: a folder each, one line each in [`list`].
//!
//! ```text
//! list.rs        one line for each relation
//! statement.rs   what every relation says about its claims: words, literals, what is critical, what implies what
//! bound.rs       numbers by their size, and bounds that follow from those of references
//! claim.rs       the claims of all relations together, and how files have them
//! numbers.rs     numbers for subjects and outcomes
//! sink.rs        windows, and where they go
//! needs.rs       what a relation reads of a trace
//! observer.rs    what follows a trace for one relation
//! listener.rs    which events it is told
//! together.rs    what follows all ranks of a job for one relation
//! support/       what several observers share
//!
//! contain/       claim.rs: what it claims    mod.rs: how it is observed
//! cover/         the same                    between.rs: order within a cycle
//! lifecycle/     the same                    resumed.rs: what comes before a first use
//! ...
//! ```
//!
//! An observer turns trace events into windows and hands them to a sink: inference counts them, checking compares them
//! with invariants. Claims know nothing of observers, so the claims of all relations can be put together in one type
//! below them.
pub mod band;
pub mod bound;
pub mod broadcast;
pub mod claim;
pub mod collective;
pub mod consistent;
pub mod contain;
pub mod count;
pub mod cover;
pub mod distinct;
pub mod filled;
pub mod frozen;
pub mod input_output;
pub mod lead;
pub mod lifecycle;
mod list;
pub mod listener;
pub mod mode;
pub mod moving;
pub mod needs;
pub mod numbers;
pub mod observer;
pub mod output;
pub mod owned;
pub mod range;
pub mod schedule;
pub mod sink;
pub mod statement;
mod support;
pub mod threshold;
pub mod together;
pub mod writes;

use claim::RelationName;
use list::relations;
use listener::Listeners;
use observer::Kind;
use together::Together;

macro_rules! kinds {
    ($($(#[$doc:meta])* $module:ident $Name:ident,)*) => {
        /// The fixed part of the relation `name`.
        pub fn kind(name: RelationName) -> &'static Kind {
            match name {
                $(RelationName::$Name => &$module::KIND,)*
            }
        }
    };
}

relations!(kinds);

/// A part of the relations. None of them knows of another, so several passes over the same records, each with a part,
/// say together what one pass with all of them says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which part, from 0.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl Part {
    /// All of them.
    pub const WHOLE: Part = Part { number: 0, of: 1 };

    /// One relation alone.
    pub fn only(relation: RelationName) -> Part {
        Part { number: relation as usize, of: RelationName::ALL.len() }
    }
}

/// An observer for each relation in this part.
pub fn observers(part: Part) -> Listeners {
    let names = RelationName::ALL.iter().skip(part.number).step_by(part.of.max(1));
    Listeners::new(&names.map(|name| kind(*name)).collect::<Vec<_>>())
}

/// An observer over ranks for each relation that has one.
pub fn over_ranks() -> Vec<Box<dyn Together>> {
    RelationName::ALL
        .iter()
        .filter_map(|name| kind(*name).together.as_ref())
        .map(|over| (over.observer)())
        .collect()
}

/// What relations read of a trace, as the table in `docs/relations.md`.
pub fn needs_table() -> String {
    let of_relation = |name: &RelationName| {
        let (word, kind) = (name.word(), kind(*name));
        let over_ranks = kind.together.as_ref().map(|over| (format!("{word}, over ranks"), &over.needs));
        [Some((word.to_owned(), &kind.needs)), over_ranks].into_iter().flatten()
    };
    needs::table(RelationName::ALL.iter().flat_map(of_relation))
}
