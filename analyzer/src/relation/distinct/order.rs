//! The order of data: a pass over training data does not begin as the one before it did.
//!
//! Of small data the first batch is easily the same by chance, where a batch is one sample of a hundred. The first three are not.

use super::batches::Parts;
use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::{PERSISTENT, Streak};
use crate::scene::variables::VarId;
use crate::scene::{Frame, Scene};
use crate::situation::NOTHING;

/// What the passes over one loader begin with.
#[derive(Default)]
pub(super) struct Order {
    subject: Option<SubjectId>,
    /// What the last two passes that were trained on began with, and how many losses there had been.
    before: Pass,
    now: Pass,
    streak: Streak,
    ordinal: u32,
}

#[derive(Default)]
struct Pass {
    batches: Vec<Parts>,
    losses: u32,
}

impl Order {
    /// A pass begins.
    pub(super) fn begins(&mut self, scene: &Scene) {
        if !self.now.batches.is_empty() {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.losses = scene.losses;
        self.streak = Streak::default();
    }

    /// A batch of the loader `name`, which the call `frame` gave, is trained on; none: not all of it was looked at.
    pub(super) fn trained(
        &mut self,
        batch: &Parts,
        (frame, depth): (&Frame, usize),
        name: impl Fn() -> Option<String>,
        cx: &mut Context<'_>,
    ) {
        let place = self.now.batches.len();
        if place >= PERSISTENT as usize {
            return;
        }
        self.now.batches.push(batch.clone());
        let Some(other) = self.before.batches.get(place).filter(|other| !other.is_empty()) else { return };
        let Some(name) = name().filter(|_| !batch.is_empty()) else { return };
        let subject =
            *self.subject.get_or_insert_with(|| cx.numbers.subject(Subject::Passes { loader: name }));
        if !cx.wants(subject) {
            return;
        }
        self.ordinal = self.ordinal.saturating_add(1);
        let repeated = super::batches::are_in(batch, other);
        self.streak.add(repeated, cx.scene.now);
        let outcome = [cx.numbers.outcome(Outcome::OrderDiffers)];
        let variables: Vec<VarId> = batch.iter().map(|(id, _)| *id).collect();
        let mut window = Window::new(subject, NOTHING, frame, depth);
        window.held = if repeated { &[] } else { &outcome };
        window.inconclusive = if self.streak.is_accident() { &outcome } else { &[] };
        let lost = cx.scene.lost_since(self.before.losses);
        window.cut = lost.or(Scene::too_early(cx.scene.now.0, self.ordinal));
        window.now = cx.scene.now;
        window.began = self.streak.began();
        window.variables = &variables;
        cx.window(&window);
    }
}
