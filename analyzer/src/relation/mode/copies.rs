//! Where references call a copy of a model without gradients (a target network, a teacher), a run does not call the model
//! that it trains.
//!
//! Which of the two is evaluated is a matter of taste: what counts against a run are calls in training mode, in functions
//! that call no copy at all.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{VariableKind, flags};

use super::claim::Outcome;
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::{Frame, Scene};

/// By what windows are about: in how many at the end a model was called that is trained, and whether a copy ever was.
#[derive(Default)]
pub(super) struct Copies {
    of: FxHashMap<SubjectId, (Streak, bool)>,
    untrained: Option<OutcomeId>,
}

impl Copies {
    /// Hands on the window of a call without gradients, with what it says of who trains the module.
    pub(super) fn called(&mut self, window: &Window<'_>, cx: &mut Context<'_>) {
        let untrained = *self.untrained.get_or_insert_with(|| cx.numbers.outcome(Outcome::Untrained));
        let is_trained = is_trained(window.at, cx.scene);
        let (streak, copy) = self.of.entry(window.subject).or_default();
        *copy |= is_trained == Some(false);
        let is_training = window.at.flags & flags::MODULE_TRAIN != 0;
        streak.add(is_trained == Some(true) && is_training && !*copy, window.now);
        let (mut held, mut inconclusive) = (window.held.to_vec(), window.inconclusive.to_vec());
        if is_trained == Some(false) {
            held.push(untrained);
        } else if streak.is_accident() {
            inconclusive.push(untrained);
        }
        cx.window(&Window { held: &held, inconclusive: &inconclusive, ..*window });
    }
}

/// Whether an optimizer holds a parameter of the module that is called; `None`: not known, or it has none.
fn is_trained(frame: &Frame, scene: &Scene) -> Option<bool> {
    let root = scene.object(frame.object)?.root;
    let variables = scene.variables.of_owner(root).iter().map(|&id| scene.variables.get(id));
    let mut parameters = variables.filter(|variable| variable.kind == VariableKind::Parameter).peekable();
    parameters.peek()?;
    let mut is_trained = Some(false);
    for parameter in parameters {
        match &parameter.held_by {
            Some(holders) if holders.is_empty() => {}
            Some(_) => return Some(true),
            None => is_trained = None,
        }
    }
    is_trained
}
