//! Cleared: between two steps of an optimizer, the gradients that the first has used are cleared, in whatever way. A part
//! of cover.
//!
//! A call that clears them is seen. Where none came, the agent looks at the gradients when the next backward begins: a
//! script that clears them by hand leaves None or zeros there, and one that forgets it what the step has used.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::sequence::Sequence;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// What was found of the gradients of optimizers since their last steps.
#[derive(Default)]
pub(super) struct Cleared {
    /// Parameters with a gradient that is not zero, in the look that is going on.
    found: Vec<VarId>,
    /// By optimizer (dictionary id): those that a backward found at its beginning.
    left: FxHashMap<u32, Vec<VarId>>,
    windows: u32,
}

impl Cleared {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, scene: &Scene) {
        match event {
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.at_entry
                    && look.frame.target.role == Role::Backward
                    && change.now.is_some_and(|now| now.kind == ValueKind::Tensor && !now.all_zero()) =>
            {
                self.found.push(change.variable);
            }
            TraceEvent::Looked(look) if look.at_entry && look.frame.target.role == Role::Backward => {
                let found = std::mem::take(&mut self.found);
                for &optimizer in &scene.stepped {
                    let held = |id: &VarId| scene.variables.get(*id).is_held_by(optimizer);
                    let left = found.iter().copied().filter(held).collect();
                    // The first backward after the step tells: a second one adds to what the first has left.
                    self.left.entry(optimizer).or_insert(left);
                }
            }
            _ => {}
        }
    }

    /// The optimizer is about to step once more; `calls` are those since it last did.
    pub(super) fn step(&mut self, frame: &Frame, calls: &Sequence, losses: u32, cx: &mut Context<'_>) {
        let left = self.left.remove(&frame.object);
        let last = |role: Role| {
            let of_role = calls.since_last(frame).filter(move |call| call.target.role == role);
            of_role.max_by_key(|call| call.time)
        };
        if last(Role::Backward).is_none() {
            return;
        }
        let cleared = calls.since_last(frame).any(|call| {
            call.target.role == Role::ZeroGrad && super::between::concerns(call, frame, cx.scene)
        });
        self.windows = self.windows.saturating_add(1);
        let unknown = !cleared && left.is_none();
        let left = left.unwrap_or_default();
        let subject = cx.numbers.subject(Subject::Steps);
        if !cx.wants(subject) {
            return;
        }
        let outcome = [cx.numbers.outcome(Outcome::Cleared)];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if cleared || left.is_empty() && !unknown { &outcome } else { &[] };
        window.cut = cx
            .scene
            .lost_since(losses)
            .or(Scene::too_early(frame.iteration, self.windows))
            .or(unknown.then_some(Cut::Unclear));
        window.variables = &left;
        cx.general(&window);
    }
}
