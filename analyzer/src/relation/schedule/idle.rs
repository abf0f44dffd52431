//! Optimizers that step in vain: every learning rate is exactly zero from the first step to the last, or as long as a
//! scheduler steps again and again and leaves it there. A warm-up may begin there, for a whole pass over the data with no
//! step of the scheduler in it, and a decay may end there.

use std::collections::BTreeMap;

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::PERSISTENT;
use crate::scene::{Frame, Look};
use crate::situation::NOTHING;

/// Optimizers whose rate has been zero so far; `None`: no longer.
#[derive(Default)]
pub(super) struct Idle {
    optimizers: BTreeMap<u32, Option<InVain>>,
}

/// Steps that have changed nothing.
struct InVain {
    steps: u32,
    /// Steps of its scheduler.
    scheduled: u32,
    began: (u32, u32),
    last: (Frame, u32, u32),
}

impl Idle {
    /// The optimizer is given a saved state, or its scheduler is: its next steps are not its first ones.
    pub(super) fn resumed(&mut self, optimizer: u32) {
        self.optimizers.insert(optimizer, None);
    }

    /// A scheduler of the optimizer steps.
    pub(super) fn scheduled(&mut self, optimizer: u32) {
        if let Some(Some(in_vain)) = self.optimizers.get_mut(&optimizer) {
            in_vain.scheduled = in_vain.scheduled.saturating_add(1);
        }
    }

    pub(super) fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let frame = &look.frame;
        let Some(rate) = cx.scene.variables.learning_rate(frame.object) else { return };
        let now = (look.iteration, look.step);
        let last = (*frame, now.0, now.1);
        let new = InVain { steps: 0, scheduled: 0, began: now, last };
        let idle = self.optimizers.entry(frame.object).or_insert(Some(new));
        let Some(in_vain) = idle else { return };
        if rate == 0.0 {
            in_vain.steps = in_vain.steps.saturating_add(1);
            in_vain.last = last;
            if in_vain.steps > PERSISTENT && in_vain.scheduled >= PERSISTENT {
                let began = in_vain.began;
                *idle = None;
                window(false, frame, now, Some(began), cx);
            }
        } else {
            *idle = None;
            window(true, frame, now, None, cx);
        }
    }

    /// Nothing more will come. `scheduled`: the optimizers that a scheduler works on, which might have raised the rate of
    /// one whose run broke off.
    pub(super) fn end(&mut self, scheduled: impl Fn(u32) -> bool, cx: &mut Context<'_>) {
        let broken_off = cx.source.end().is_broken_off();
        for (optimizer, in_vain) in std::mem::take(&mut self.optimizers) {
            let Some(InVain { steps, began, last: (frame, iteration, step), .. }) = in_vain else { continue };
            if steps >= PERSISTENT && !(broken_off && scheduled(optimizer)) {
                window(false, &frame, (iteration, step), Some(began), cx);
            }
        }
    }
}

fn window(held: bool, frame: &Frame, now: (u32, u32), began: Option<(u32, u32)>, cx: &mut Context<'_>) {
    let subject = cx.numbers.subject(Subject::FirstSteps);
    if !cx.wants(subject) {
        return;
    }
    let outcome = [cx.numbers.outcome(Outcome::AboveZero)];
    let mut window = Window::new(subject, NOTHING, frame, 0);
    window.held = if held { &outcome } else { &[] };
    window.now = now;
    window.began = began;
    cx.general(&window);
}
