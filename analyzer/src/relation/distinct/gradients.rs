//! A parameter's gradient is not that of the step before.
//!
//! Compared is what the first backward after each step left. It says nothing where the gradient was not cleared in
//! between or the parameter did not change, nor where it is made of signs (an L1 loss, hinges), which stay the same for
//! long.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use super::claim::{Outcome, Subject};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Smaller gradients are too easily the same.
const LEAST_ELEMENTS: u64 = 32;
/// A gradient that is smaller than this share of the largest one of the model is what rounding leaves of zero (a bias before
/// a norm), and may be the same twice.
const ROUNDING: f32 = 1e-6;

#[derive(Default)]
pub(super) struct Gradients {
    last: FxHashMap<VarId, Last>,
    differs: Option<OutcomeId>,
    cleared: u32,
    largest: Largest,
}

/// The largest element of all gradients in a step.
#[derive(Default)]
struct Largest {
    step: u32,
    now: f32,
    /// That of the last step before with a gradient.
    before: f32,
}

impl Largest {
    fn add(&mut self, gradient: &Digest, step: u32) {
        if self.step != step {
            *self = Largest { step, now: 0.0, before: self.now };
        }
        let largest = largest(gradient);
        // Infinities and what is no number say nothing.
        if largest.is_finite() {
            self.now = self.now.max(largest);
        }
    }
}

/// The gradient that the first backward after a step left.
struct Last {
    subject: SubjectId,
    gradient: Digest,
    data: Option<Digest>,
    step: u32,
    cleared: u32,
    losses: u32,
    ordinal: u32,
    streak: Streak,
}

impl Gradients {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::State(change, Some(look))
                if change.attribute == Attribute::Grad
                    && look.frame.target.role == Role::Backward
                    && !look.at_entry =>
            {
                self.found(change, look, cx);
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::ZeroGrad => {
                self.cleared = self.cleared.wrapping_add(1);
            }
            _ => {}
        }
    }

    fn found(&mut self, change: &Change, look: &Look, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(change.variable);
        let Some(gradient) = change.now.filter(|gradient| gradient.kind == ValueKind::Tensor) else { return };
        if variable.kind != VariableKind::Parameter {
            return;
        }
        self.largest.add(&gradient, look.step);
        let is_rounding = largest(&gradient) < self.largest.before * ROUNDING;
        if is_rounding || !says_something(&gradient) {
            return;
        }
        let scene = cx.scene;
        let mut now = Last {
            subject: 0,
            gradient,
            data: variable.data,
            step: look.step,
            cleared: self.cleared,
            losses: scene.losses,
            ordinal: 0,
            streak: Streak::default(),
        };
        let Some(last) = self.last.get_mut(&change.variable) else {
            let subject = Subject::Variable { name: variable.name.clone() };
            now.subject = cx.numbers.subject(subject);
            self.last.insert(change.variable, now);
            return;
        };
        if last.step == look.step || !cx.wants(last.subject) {
            return;
        }
        (now.subject, now.streak) = (last.subject, last.streak);
        now.ordinal = last.ordinal.saturating_add(1);
        let before = std::mem::replace(last, now);
        let Some(same) = gradient.same(&before.gradient) else { return };
        let stood = variable.data.zip(before.data).and_then(|(now, then)| now.same(&then)) == Some(true);
        if same && (stood || before.cleared == self.cleared) {
            return;
        }
        last.streak.add(same, (look.iteration, look.step));
        let now = last;
        let outcome = [*self.differs.get_or_insert_with(|| cx.numbers.outcome(Outcome::GradientDiffers))];
        let frame = &look.frame;
        let mut window = Window::new(now.subject, NOTHING, frame, scene.depth(frame));
        window.held = if same { &[] } else { &outcome };
        window.inconclusive = if now.streak.is_accident() { &outcome } else { &[] };
        window.cut = scene.lost_since(before.losses).or(Scene::too_early(look.iteration, now.ordinal));
        window.now = (look.iteration, look.step);
        window.began = now.streak.began();
        window.variables = std::slice::from_ref(&change.variable);
        cx.window(&window);
    }
}

/// Whether it is a gradient that another batch or other weights would change.
fn says_something(gradient: &Digest) -> bool {
    let signs = largest(gradient) * (gradient.elements as f32).sqrt();
    gradient.elements >= LEAST_ELEMENTS
        && !gradient.all_zero()
        && gradient.non_finite == 0
        && gradient.l2 < signs * 0.999
}

fn largest(gradient: &Digest) -> f32 {
    gradient.min.abs().max(gradient.max.abs())
}
