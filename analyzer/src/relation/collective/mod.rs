//! Collective: ranks of a process group enter the same collectives in the same order, have come equally far in their training when they
//! do, and wait for what they have begun.
//!
//! That the n-th collective of a group is the same on all its ranks is what a collective is, and holds in every program. Backends
//! do not look: where another reduction, another root or another type takes the same number of bytes, the result is garbage and
//! nothing fails.
pub mod alike;
pub mod claim;
mod handles;
mod ranks;

use traincheck_schema::record::Role;

use crate::call::roles::Roles;
use crate::relation::needs::Needs;
use crate::relation::observer::{Kind, OverRanks, Told};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(handles::Handles::default()),
    together: Some(OverRanks { observer: || Box::new(ranks::OfRanks::default()), needs: NEEDS }),
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: Told { entries: Roles::of(&[Role::OptimizerStep]), ..Told::NOTHING },
};

const NEEDS: Needs = Needs { collectives: true, ..Needs::NOTHING };
