//! Learning rates that are next to nothing for most of a run: a schedule that counts passes and is stepped for every batch,
//! or one that is shorter than the training.
//!
//! Schedules end low, some of them at zero, and a rate that is lowered when training stalls may end where nothing more
//! happens. But none that is made for the training leaves it there for half of its steps.

use std::collections::BTreeMap;

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::scene::{Frame, Look};
use crate::situation::NOTHING;

/// Next to nothing is less than this share of the highest rate that there was.
const NEXT_TO_NOTHING: f64 = 1e-4;
/// Of fewer steps than these nothing is said.
const A_RUN: u32 = 32;

/// The learning rates of optimizers over the whole run.
#[derive(Default)]
pub(super) struct Faded {
    optimizers: BTreeMap<u32, Rates>,
}

struct Rates {
    highest: f64,
    steps: u32,
    /// Steps with next to nothing of the highest.
    faded: u32,
    /// Steps of its schedulers, and passes over the data in which there was one.
    scheduled: u32,
    passes: u32,
    by_metric: bool,
    began: (u32, u32),
    last: (Frame, u32, u32),
}

impl Faded {
    /// A scheduler of the optimizer steps; `by_metric`: where training stalls.
    pub(super) fn scheduled(&mut self, optimizer: u32, by_metric: bool) {
        if let Some(rates) = self.optimizers.get_mut(&optimizer) {
            rates.scheduled = rates.scheduled.saturating_add(1);
            rates.by_metric |= by_metric;
        }
    }

    /// A pass over the data begins, in the one before which the optimizer has stepped.
    pub(super) fn passed(&mut self, optimizer: u32) {
        if let Some(rates) = self.optimizers.get_mut(&optimizer) {
            rates.passes = rates.passes.saturating_add(1);
        }
    }

    pub(super) fn stepped(&mut self, look: &Look, cx: &Context<'_>) {
        let Some(rate) = cx.scene.variables.learning_rate(look.frame.object) else { return };
        let now = (look.iteration, look.step);
        let last = (look.frame, now.0, now.1);
        let rates = self.optimizers.entry(look.frame.object).or_insert(Rates {
            highest: 0.0,
            steps: 0,
            faded: 0,
            scheduled: 0,
            passes: 0,
            by_metric: false,
            began: now,
            last,
        });
        rates.highest = rates.highest.max(rate);
        rates.steps = rates.steps.saturating_add(1);
        rates.last = last;
        if rate < rates.highest * NEXT_TO_NOTHING {
            if rates.faded == 0 {
                rates.began = now;
            }
            rates.faded = rates.faded.saturating_add(1);
        }
    }

    /// Nothing more will come.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for rates in std::mem::take(&mut self.optimizers).into_values() {
            if rates.by_metric || rates.scheduled < 2 || rates.steps < A_RUN {
                continue;
            }
            let subject = cx.numbers.subject(Subject::WholeRun);
            let outcome = [cx.numbers.outcome(Outcome::LastsOn)];
            let (frame, iteration, step) = &rates.last;
            let mut window = Window::new(subject, NOTHING, frame, 0);
            let lasts = rates.faded <= rates.steps / 2;
            window.held = if lasts { &outcome } else { &[] };
            window.now = (*iteration, *step);
            window.began = (!lasts).then_some(rates.began);
            if rates.scheduled >= 2 * rates.passes.max(1) {
                window.why = Why::SeveralTimesAPass;
            }
            cx.general(&window);
        }
    }
}
