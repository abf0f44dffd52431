//! Two backward passes of one iteration that begin at the same loss: its gradient counts twice.

use traincheck_schema::record::{Attribute, Role, VariableKind};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::{Scene, TraceEvent};
use crate::situation::NOTHING;

/// More backward passes of one iteration are not compared.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub struct Repeated {
    /// Bits of the losses of this iteration.
    losses: Vec<u64>,
    same: bool,
    /// Whether it was so in the iteration before, too.
    before: bool,
    iterations: u32,
}

impl Repeated {
    pub fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::IterationBegan(_) => {
                self.losses.clear();
                self.same = false;
            }
            TraceEvent::State(change, _) if change.attribute == Attribute::Value => {
                let variable = cx.scene.variables.get(change.variable);
                // A closure is evaluated as often as the optimizer wants.
                let in_step = || {
                    let mut threads = 0..cx.scene.threads.len();
                    threads.any(|thread| cx.scene.inside(thread as u16, Role::OptimizerStep))
                };
                if variable.kind == VariableKind::Loss
                    && let Some(loss) = variable.value
                    && !in_step()
                {
                    self.loss(loss);
                }
            }
            TraceEvent::IterationEnded(iteration, cut) if iteration.backward => {
                self.iterations = self.iterations.saturating_add(1);
                let subject = cx.numbers.subject(Subject::Iteration);
                let differ = [cx.numbers.outcome(Outcome::LossesDiffer)];
                let frame = &iteration.frame;
                let mut window = Window::new(subject, NOTHING, frame, iteration.depth);
                window.held = if self.same { &[] } else { &differ };
                // Losses of two models that have learned nothing may be equal by chance, but not for long.
                window.inconclusive = if self.before { &[] } else { &differ };
                window.cut = cut.or(Scene::too_early(iteration.number, self.iterations));
                cx.window(&window);
                self.before = self.same;
            }
            _ => {}
        }
    }

    fn loss(&mut self, loss: f64) {
        // A loss of zero has no gradient to count twice.
        if loss == 0.0 || !loss.is_finite() {
            return;
        }
        self.same |= self.losses.contains(&loss.to_bits());
        if self.losses.len() < MOST {
            self.losses.push(loss.to_bits());
        }
    }
}
