//! Gradients that are added up over ranks by hand, and what becomes of the sum until the step reads it: it is divided by the number of
//! ranks, where a mean is meant.
//!
//! Which gradient a reduction carries is told by contents: what goes in is what the backward pass has left. Where the step reads less
//! than the mean it was clipped or unscaled, and nothing is said.
//!
//! That a gradient has to be the mean of what ranks put in, not their sum, is what DistributedDataParallel promises.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{
    Attribute, CollectiveEvent, CollectiveKind, ReduceKind, Role, ValueKind, VariableKind, collective,
};

use super::claim::{Outcome, Subject};
use super::row::hash;
use super::total::is_sum;
use crate::relation::observer::{Context, Observer};
use crate::relation::sink::Window;
use crate::scene::came::Came;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Look, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Norms of what was divided, rounded to half precision, differ by no more than this share.
const ROUNDING: f64 = 0.01;
/// A sum that nobody divides is at least twice the mean.
const SUM: f64 = 1.5;

#[derive(Default)]
pub(super) struct Scale {
    /// Gradients as the last backward pass has left them, by their contents; built when a reduction asks for it.
    left: FxHashMap<(u64, u64), VarId>,
    /// Of how many backward passes that was the last.
    backwards: u32,
    /// Reductions of gradients that have not ended, by number.
    open: BTreeMap<u64, Reduction>,
    /// Those that have, and the norm of the mean.
    ended: Vec<(Reduction, f64)>,
    /// Norms of gradients that the look that is going on finds.
    found: FxHashMap<VarId, f64>,
    windows: u32,
}

struct Reduction {
    gradient: VarId,
    /// By how many ranks it is to be divided.
    ranks: u32,
    came: Came,
}

impl Observer for Scale {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Collective(came) => self.came(came, cx),
            TraceEvent::State(change, Some(look)) if is_of_step(look) && !self.ended.is_empty() => {
                let gradient = change.now.filter(|now| now.kind == ValueKind::Tensor);
                if let Some(gradient) = gradient.filter(|_| change.attribute == Attribute::Grad) {
                    self.found.insert(change.variable, f64::from(gradient.l2));
                }
            }
            TraceEvent::Looked(look) if is_of_step(look) => self.steps(look, cx),
            _ => {}
        }
    }
}

fn is_of_step(look: &Look) -> bool {
    look.at_entry && look.frame.target.role == Role::OptimizerStep
}

impl Scale {
    fn came(&mut self, came: &Came, cx: &Context<'_>) {
        let record = &came.record;
        if record.op != CollectiveKind::AllReduce as u8 || !record.has(collective::CONTENTS) {
            return;
        }
        if record.event == CollectiveEvent::Completed as u8 {
            // A norm that is too large for its type is kept as the largest of the type.
            if let Some(reduction) = self.open.remove(&record.number)
                && record.l2 < f32::MAX
            {
                let mean = f64::from(record.l2) / f64::from(reduction.ranks);
                self.ended.push((reduction, mean));
            }
        } else if record.event == CollectiveEvent::Issued as u8 && came.before_step && is_sum(record) {
            self.issued(came, cx);
        }
    }

    fn issued(&mut self, came: &Came, cx: &Context<'_>) {
        // What a wrapper reduces within the backward pass is looked at when that is over.
        if came.stack.iter().any(|frame| frame.target.role == Role::Backward) {
            return;
        }
        if self.backwards != cx.scene.backwards {
            self.backwards = cx.scene.backwards;
            self.left = gradients(cx.scene);
            self.open.clear();
            self.ended.clear();
        }
        let Some(&gradient) = self.left.get(&hash(&came.record)) else { return };
        let Some(group) = cx.source.entry(came.record.group).filter(|group| group.line > 1) else { return };
        let ranks = if came.record.reduce == ReduceKind::Avg as u8 { 1 } else { group.line };
        self.open.insert(came.record.number, Reduction { gradient, ranks, came: came.clone() });
    }

    fn steps(&mut self, look: &Look, cx: &mut Context<'_>) {
        for (reduction, mean) in std::mem::take(&mut self.ended) {
            let is_read = cx.scene.variables.get(reduction.gradient).is_held_by(look.frame.object);
            if let Some(norm) = self.found.get(&reduction.gradient).filter(|_| is_read && mean > 0.0) {
                self.windows = self.windows.saturating_add(1);
                reduction.tell(norm / mean, Scene::too_early(look.iteration, self.windows), cx);
            }
        }
        self.found.clear();
    }
}

fn gradients(scene: &Scene) -> FxHashMap<(u64, u64), VarId> {
    let parameters = scene.variables.iter().filter(|(_, one)| one.kind == VariableKind::Parameter);
    let gradients = parameters.filter_map(|(id, one)| Some((id, one.grad?)));
    let some = gradients.filter(|(_, gradient)| gradient.kind == ValueKind::Tensor && !gradient.all_zero());
    some.map(|(id, gradient)| (gradient.hash, id)).collect()
}

impl Reduction {
    /// `times` the mean is what the step reads.
    fn tell(&self, times: f64, cut: Option<Cut>, cx: &mut Context<'_>) {
        if times < 1.0 - ROUNDING {
            return;
        }
        let Some((call, around)) = self.came.stack.split_last() else { return };
        let subject = cx.numbers.subject(Subject::Stepped { kind: CollectiveKind::AllReduce.word().into() });
        let is_mean = [cx.numbers.outcome(Outcome::IsMean)];
        let variables = [self.gradient];
        let mut window = Window::new(subject, NOTHING, call, 0);
        window.around = Some(around);
        window.variables = &variables;
        window.now = cx.scene.now;
        window.cut = cx.scene.lost_since(0).or(cut);
        if times <= 1.0 + ROUNDING {
            window.held = &is_mean;
        } else if times < SUM {
            // Something else was added to it.
            window.inconclusive = &is_mean;
        }
        cx.window(&window);
    }
}
