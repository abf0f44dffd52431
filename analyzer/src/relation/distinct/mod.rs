//! Distinct: what goes on to differ. Batches of a loader and their order in each pass, what its workers give and draw, random numbers and gradients of
//! successive iterations, and the parameters of a model and of its copies.
//!
//! One repetition says little. What counts against a run are three in a row.
mod batches;
pub mod claim;
mod gradients;
mod models;
mod order;
mod progress;
mod ranks;
mod streams;

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::observer::{Context, Kind, Observer, OverRanks, Told};
use crate::scene::TraceEvent;
use crate::situation::{Feature, Fields};
use traincheck_schema::record::{Attribute, Role, VariableKind};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Distinct::default()),
    together: Some(OverRanks { observer: || Box::new(ranks::OfRanks::default()), needs: ranks::NEEDS }),
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[
        Role::LoaderIter,
        Role::LoaderNext,
        Role::Backward,
        Role::ZeroGrad,
        Role::OptimizerStep,
    ]),
    variables: &[
        States { attribute: Attribute::Data, of: &[VariableKind::Batch], at: &[] },
        States { attribute: Attribute::Value, of: &[VariableKind::Worker], at: &[] },
        States { attribute: Attribute::Data, of: &[VariableKind::Rng], at: &[] },
        States {
            attribute: Attribute::Grad,
            of: &[VariableKind::Parameter],
            at: &[Point::Return(Role::Backward)],
        },
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter],
            at: &[Point::Entry(Role::OptimizerStep), Point::Return(Role::OptimizerStep)],
        },
        States { attribute: Attribute::Storage, of: &[VariableKind::Parameter], at: &[] },
    ],
    constructions: true,
    contexts: Fields::of(&[Feature::Stage]),
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::LoaderIter, Role::LoaderNext, Role::Backward, Role::ZeroGrad]),
    returns: Roles::of(&[Role::LoaderNext]),
    states: &[
        (Attribute::Data, &[VariableKind::Batch, VariableKind::Rng]),
        (Attribute::Value, &[VariableKind::Worker]),
        (Attribute::Grad, &[VariableKind::Parameter]),
    ],
    looks: true,
};

#[derive(Default)]
struct Distinct {
    batches: batches::Batches,
    gradients: gradients::Gradients,
    models: models::Models,
    progress: progress::Progress,
    streams: streams::Streams,
}

impl Observer for Distinct {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.batches.observe(event, cx);
        self.gradients.observe(event, cx);
        self.models.observe(event, cx);
        self.progress.observe(event, cx);
        self.streams.observe(event, cx);
    }
}
