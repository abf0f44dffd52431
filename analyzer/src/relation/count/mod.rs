//! Count: so many calls in a stretch of the run, as a function of what is known of the same run.
//!
//! Mostly a notice, for settings change counts. What cannot be right is an alarm: a scheduler that steps at another
//! pace than it did, a step that is left out while gradients are accumulated, a sum of gradients that is not scaled, and
//! two backward passes from one loss.
mod accumulation;
mod calls;
mod pace;
mod repeated;

use super::{Cx, Kind, Relation};
use crate::claim::{Outcome, RelationName, Subject};
use crate::scene::Moment;
use crate::situation::Fields;
use crate::times::Times;

/// See the module.
pub const KIND: Kind = Kind {
    name: RelationName::Count,
    new: || Box::new(Count::default()),
    structural: false,
    fields: |_| Fields::NONE,
    critical,
};

fn critical(subject: &Subject, outcome: &Outcome) -> bool {
    match (subject, outcome) {
        // How often ReduceLROnPlateau steps depends on how often the model is evaluated.
        (Subject::Scheduler { class, .. }, Outcome::Happens { times: Times::Once | Times::Steps }) => {
            !class.ends_with("ReduceLROnPlateau")
        }
        (Subject::Accumulation { .. }, _) | (Subject::AccumulatedLoss { .. }, _) => true,
        (Subject::Iteration, Outcome::LossesDiffer) => true,
        _ => false,
    }
}

#[derive(Default)]
struct Count {
    calls: calls::Calls,
    pace: pace::Pace,
    accumulation: accumulation::Accumulation,
    repeated: repeated::Repeated,
}

impl Relation for Count {
    fn hear(&mut self, moment: &Moment<'_>, cx: &mut Cx<'_>) {
        self.calls.hear(moment, cx);
        self.pace.hear(moment, cx);
        self.accumulation.hear(moment, cx);
        self.repeated.hear(moment, cx);
    }
}

/// The class of the model whose call began the iteration.
fn model(cx: &Cx<'_>) -> Option<String> {
    let root = cx.scene.iteration.as_ref()?.begun_by?;
    cx.scene.object(root).map(|object| object.class.clone())
}
