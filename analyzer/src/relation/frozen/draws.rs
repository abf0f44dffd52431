//! Random numbers that are drawn while a module is evaluated: the stream was looked at when the call was entered and when
//! it was left, and is another.

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

/// What modules in evaluation mode draw.
#[derive(Default)]
pub struct Draws {
    /// Evaluations that are open, or were just left, with the stream at their entry: those of which it was told.
    open: FxHashMap<u64, (Frame, Digest)>,
    /// By module: what windows are about, how many there were, and in how many at the end something was drawn.
    modules: FxHashMap<u32, (SubjectId, u32, Streak)>,
}

impl Draws {
    /// Follows one event.
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::IterationBegan(_) => self.open.retain(|call, _| cx.scene.is_open(*call)),
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
        // What the stream is at the return is told after it.
        if let Some((frame, before)) = self.open.remove(&change.call) {
            if let Some(same) = now.same(&before) {
                self.evaluated(&frame, !same, cx);
            }
        } else if let Some(frame) = cx.scene.call(change.call).filter(|frame| is_evaluation(frame)) {
            self.open.insert(change.call, (*frame, now));
        }
    }

    fn evaluated(&mut self, frame: &Frame, drew: bool, cx: &mut Context<'_>) {
        let (subject, ordinal, streak) = match self.modules.get_mut(&frame.object) {
            Some(known) => known,
            None => {
                let Some(object) = cx.scene.object(frame.object) else { return };
                let subject = cx.numbers.subject(Subject::Evaluation { class: object.class.clone() });
                self.modules.entry(frame.object).or_insert((subject, 0, Streak::default()))
            }
        };
        *ordinal = ordinal.saturating_add(1);
        streak.add(drew, (frame.iteration, frame.step));
        let draws_nothing = [cx.numbers.outcome(Outcome::DrawsNothing)];
        let mut window = Window::new(*subject, NOTHING, frame, cx.scene.depth(frame));
        if !drew {
            window.held = &draws_nothing;
        } else if streak.is_accident() {
            window.inconclusive = &draws_nothing;
        }
        window.began = streak.began();
        window.cut = cx.scene.lost_since(frame.losses).or(Scene::too_early(frame.iteration, *ordinal));
        cx.window(&window);
    }
}

/// Whether a module is called in evaluation mode without gradients, by no other module.
fn is_evaluation(frame: &Frame) -> bool {
    let evaluates = flags::OUTERMOST | flags::MODULE_EVAL;
    frame.target.role == Role::ModuleCall && frame.flags & (evaluates | flags::GRAD) == evaluates
}
