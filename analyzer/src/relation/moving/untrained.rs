//! Models that no optimizer trains and that stay as they are: copies that should follow another one, or what is frozen as a
//! whole. How often a copy is updated is a matter of configuration, so it counts at the end, if none of it has changed.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::relation::support::steps::Change;
use crate::scene::variables::{Digest, VarId, Variable};
use crate::scene::{Cut, Frame, Scene};
use crate::situation::NOTHING;

/// See the module.
#[derive(Default)]
pub(super) struct Untrained {
    /// What was asked last: a root module, in which look, and the answer. The parameters of one follow each other.
    last: Option<(u32, u64, bool)>,
    /// Parameters that stayed as they were over several steps.
    standing: BTreeMap<VarId, Standing>,
}

/// A parameter that stands still.
struct Standing {
    subject: SubjectId,
    frame: Frame,
    now: (u32, u32),
    began: Option<(u32, u32)>,
    contents: Digest,
    losses: u32,
}

impl Untrained {
    /// Whether no optimizer holds any parameter of the model that the variable belongs to.
    pub(super) fn is_model(&mut self, change: &Change<'_>, scene: &Scene) -> bool {
        let owner = scene.variables.get(change.id).owner;
        match self.last {
            Some((of, call, untrained)) if (of, call) == (owner, change.look.call) => untrained,
            _ => {
                let mut parameters =
                    scene.variables.of_owner(owner).iter().map(|&id| scene.variables.get(id));
                let untrained = !parameters.any(Variable::is_held);
                self.last = Some((owner, change.look.call, untrained));
                untrained
            }
        }
    }

    /// A parameter of such a model has stayed as it was over several steps.
    pub(super) fn stays(&mut self, change: &Change<'_>, subject: SubjectId, began: Option<(u32, u32)>) {
        self.standing.entry(change.id).or_insert(Standing {
            subject,
            frame: change.look.frame,
            now: (change.look.iteration, change.look.step),
            began,
            contents: change.before,
            losses: change.look.frame.losses,
        });
    }

    /// Nothing more will come. `by_hand`: the models that the script changes itself.
    pub(super) fn end(&mut self, by_hand: &FxHashSet<u32>, cx: &mut Context<'_>) {
        let broken_off = cx.source.end().is_broken_off();
        for (id, standing) in std::mem::take(&mut self.standing) {
            if by_hand.contains(&cx.scene.variables.get(id).owner) {
                continue;
            }
            let mut window = Window::new(standing.subject, NOTHING, &standing.frame, 0);
            window.cut = cx.scene.lost_since(standing.losses).or(broken_off.then_some(Cut::End));
            window.now = standing.now;
            window.began = standing.began;
            window.why = Why::Untrained;
            window.variables = std::slice::from_ref(&id);
            let before = [Some(standing.contents)];
            window.before = &before;
            cx.window(&window);
        }
    }
}
