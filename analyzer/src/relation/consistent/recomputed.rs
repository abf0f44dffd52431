//! Modules whose activations are computed again in a backward pass: they begin in the state of PyTorch's stream of random
//! numbers in which they began before, so dropout leaves out the same.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, VariableKind, flags};

use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Change, Digest};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

#[derive(Default)]
pub(super) struct Recomputed {
    /// The stream at the entry of each module in this iteration; `None`: it was called more than once.
    forward: FxHashMap<u32, Option<Digest>>,
    /// What windows are about, how many there were, and in how many at the end the stream was another.
    modules: FxHashMap<u32, (SubjectId, u32, Streak)>,
}

impl Recomputed {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::IterationBegan(_) => self.forward.clear(),
            TraceEvent::State(change, _) if change.attribute == Attribute::Data => self.state(change, cx),
            _ => {}
        }
    }

    fn state(&mut self, change: &Change, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(change.variable);
        if variable.kind != VariableKind::Rng || !variable.name.starts_with("torch.") {
            return;
        }
        let Some(now) = change.now else { return };
        let in_training = |frame: &&Frame| {
            frame.target.role == Role::ModuleCall
                && frame.object != 0
                && frame.flags & flags::MODULE_TRAIN != 0
        };
        let Some(frame) = cx.scene.call(change.call).filter(in_training).copied() else { return };
        if !cx.scene.inside(frame.thread, Role::Backward) {
            self.forward.entry(frame.object).and_modify(|known| *known = None).or_insert(Some(now));
        } else if frame.flags & flags::OUTERMOST != 0
            && let Some(Some(before)) = self.forward.get(&frame.object)
            && let Some(same) = now.same(before)
        {
            self.example(&frame, same, cx);
        }
    }

    fn example(&mut self, frame: &Frame, same: bool, cx: &mut Context<'_>) {
        let (subject, ordinal, streak) = match self.modules.get_mut(&frame.object) {
            Some(known) => known,
            None => {
                let Some(object) = cx.scene.object(frame.object) else { return };
                let subject = cx.numbers.subject(Subject::Recomputation { class: object.class.clone() });
                self.modules.entry(frame.object).or_insert((subject, 0, Streak::default()))
            }
        };
        *ordinal = ordinal.saturating_add(1);
        streak.add(!same, (frame.iteration, frame.step));
        let draws_the_same = [cx.numbers.outcome(Outcome::DrawsTheSame)];
        let mut window = Window::new(*subject, NOTHING, frame, cx.scene.depth(frame));
        if same {
            window.held = &draws_the_same;
        } else if streak.is_accident() {
            window.inconclusive = &draws_the_same;
        }
        window.began = streak.began();
        window.cut = cx.scene.lost_since(frame.losses).or(Scene::too_early(frame.iteration, *ordinal));
        cx.window(&window);
    }
}
