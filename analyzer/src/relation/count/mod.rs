//! Count: so many calls in a stretch of the run, as a function of what is known of the same run.
//!
//! Mostly a notice, for settings change counts. What cannot be right is an alarm: a scheduler that steps at another
//! pace than it did, a step that is left out while gradients are accumulated, a sum of gradients that is not scaled, and
//! two backward passes from one loss.
mod accumulation;
mod calls;
pub mod claim;
mod pace;
mod repeated;
pub mod times;

use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::support::sequence::CRITICAL;
use crate::scene::TraceEvent;
use traincheck_schema::record::{Attribute, Role, VariableKind};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Count::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: CRITICAL.and(Roles::of(&[Role::User, Role::LoaderIter, Role::LoaderNext])),
    variables: &[
        States::LOSSES,
        States { attribute: Attribute::Value, of: &[VariableKind::Hyperparameter], at: &[] },
        States::HOLDERS,
    ],
    constructions: true,
    ops: true,
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: CRITICAL.and(Roles::of(&[Role::User, Role::LoaderIter])),
    returns: Roles::of(&[Role::User, Role::LoaderNext, Role::Backward]),
    states: &[(Attribute::Value, &[VariableKind::Loss])],
    ..Told::NOTHING
};

#[derive(Default)]
struct Count {
    calls: calls::Calls,
    pace: pace::Pace,
    accumulation: accumulation::Accumulation,
    repeated: repeated::Repeated,
}

impl Observer for Count {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.calls.observe(event, cx);
        self.pace.observe(event, cx);
        self.accumulation.observe(event, cx);
        self.repeated.observe(event, cx);
    }
}

/// The class of the model whose call began the iteration.
fn model(cx: &Context<'_>) -> Option<String> {
    let root = cx.scene.iteration.as_ref()?.begun_by?;
    cx.scene.object(root).map(|object| object.class.clone())
}
