//! Optimizers that step in vain: every learning rate is exactly zero. A warm-up may begin there, and a decay may end
//! there; what counts against a run are several steps in a row from the first one on.

use rustc_hash::FxHashMap;

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::Look;
use crate::scene::Scene;
use crate::situation::NOTHING;

/// Optimizers whose rate has been zero so far; `None`: no longer.
#[derive(Default)]
pub(super) struct Idle {
    optimizers: FxHashMap<u32, Option<(u32, Streak)>>,
}

impl Idle {
    /// The optimizer is given a saved state, or its scheduler is: its next steps are not its first ones.
    pub(super) fn resumed(&mut self, optimizer: u32) {
        self.optimizers.insert(optimizer, None);
    }

    pub(super) fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let frame = &look.frame;
        let Some(rate) = cx.scene.variables.learning_rate(frame.object) else { return };
        let idle = self.optimizers.entry(frame.object).or_insert(Some((0, Streak::default())));
        let Some((steps, streak)) = idle else { return };
        *steps = steps.saturating_add(1);
        let now = (look.iteration, look.step);
        streak.add(rate == 0.0, now);
        let (steps, streak) = (*steps, *streak);
        if rate != 0.0 {
            *idle = None;
        }
        let subject = cx.numbers.subject(Subject::FirstSteps);
        if !cx.wants(subject) {
            return;
        }
        let outcome = [cx.numbers.outcome(Outcome::AboveZero)];
        let mut window = Window::new(subject, NOTHING, frame, cx.scene.depth(frame));
        window.held = if rate == 0.0 { &[] } else { &outcome };
        window.inconclusive = if streak.is_accident() { &outcome } else { &[] };
        window.cut = (rate == 0.0).then(|| Scene::too_early(look.iteration, steps)).flatten();
        window.now = now;
        window.began = streak.began();
        cx.general(&window);
    }
}
