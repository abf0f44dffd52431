//! Collective: ranks of a process group enter the same collectives in the same order, have come equally far in their training when they
//! do, get what collectives promise, wait for what they have begun, and take gradients to one another before they step.
//!
//! That the n-th collective of a group is the same on all its ranks is what a collective is, and holds in every program. Backends
//! do not look: where another reduction, another root or another type takes the same number of bytes, the result is garbage and
//! nothing fails.
pub mod alike;
mod backward;
pub mod claim;
mod contents;
mod handles;
mod ranks;
mod reduced;
mod row;
mod scale;
mod total;

use traincheck_schema::record::{Attribute, Role, VariableKind};

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::observer::{Context, Kind, Observer, OverRanks, Told};
use crate::scene::TraceEvent;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(OfProcess::default()),
    together: Some(OverRanks { observer: || Box::new(ranks::OfRanks::default()), needs: OVER_RANKS }),
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: Told {
        entries: Roles::of(&[Role::Backward, Role::OptimizerStep]),
        states: &[(Attribute::Grad, &[VariableKind::Parameter])],
        looks: true,
        ..Told::NOTHING
    },
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::Backward]),
    variables: &[
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter],
            at: &[Point::Return(Role::Backward), Point::Entry(Role::OptimizerStep)],
        },
        States { attribute: Attribute::HeldBy, of: &[VariableKind::Parameter], at: &[] },
    ],
    collectives: true,
    ..Needs::NOTHING
};

/// Gradients, parameters and buffers tell what is put into reductions.
const OVER_RANKS: Needs = Needs {
    calls: Roles::of(&[Role::Backward, Role::OptimizerStep]),
    variables: &[
        States { attribute: Attribute::Data, of: &[VariableKind::Parameter, VariableKind::Buffer], at: &[] },
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter],
            at: &[Point::Return(Role::Backward)],
        },
    ],
    collectives: true,
    ..Needs::NOTHING
};

/// What is observed of each process alone.
#[derive(Default)]
struct OfProcess {
    handles: handles::Handles,
    backward: backward::Backward,
    scale: scale::Scale,
}

impl Observer for OfProcess {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.handles.observe(event, cx);
        self.backward.observe(event, cx);
        self.scale.observe(event, cx);
    }
}
