//! Optimizers that never step while others do: the gradients of what they hold are computed and thrown away, again and again.
//!
//! An optimizer that has not stepped so far may be one that was made and put aside for another, or that waits for its turn:
//! a later phase of the training, the end of an accumulation, a generator whose critic is ahead. What such an optimizer holds
//! gets no gradients, or keeps what it gets. Who clears the gradients of an optimizer after each backward means it to have
//! used them. So it counts only where they are cleared for it, by its own `zero_grad` or that of a module of which it alone
//! holds parameters, where they were not zero, and where nothing else has changed what it holds.

use std::collections::BTreeMap;

use traincheck_schema::record::{ObjectKind, Role, ValueKind};

use crate::relation::observer::Context;
use crate::scene::variables::{VarId, Variable};
use crate::scene::{Frame, Scene, TraceEvent};

/// So often gradients are thrown away before an optimizer counts as forgotten: fewer may be a try.
const OFTEN: u32 = 8;

/// The optimizers (dictionary ids) that have not stepped so far.
#[derive(Default)]
pub(super) struct Forgotten(BTreeMap<u32, Idle>);

/// What became of what an idle optimizer holds.
struct Idle {
    /// The iteration in which it was made.
    made: u32,
    /// How often its gradients were thrown away: iteration and step of the first time, iteration and time of the last.
    thrown: u32,
    began: (u32, u32),
    iteration: u32,
    time: u64,
}

impl Forgotten {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &Context<'_>) {
        match event {
            TraceEvent::Created(id, _, time)
                if cx.scene.object(*id).is_some_and(|object| object.kind == ObjectKind::Optimizer) =>
            {
                let (made, step) = cx.scene.now;
                let idle = Idle { made, thrown: 0, began: (made, step), iteration: made, time: *time };
                self.0.insert(*id, idle);
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::OptimizerStep => {
                self.0.remove(&frame.object);
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::ZeroGrad && frame.counts => {
                for (&optimizer, idle) in self.0.iter_mut().filter(|(_, idle)| idle.thrown < OFTEN) {
                    if clears(frame, optimizer, cx.scene) && idle.has_gradients(optimizer, cx.scene) {
                        idle.thrown += 1;
                        if idle.thrown == 1 {
                            idle.began = (frame.iteration, frame.step);
                        }
                        (idle.iteration, idle.time) = (frame.iteration, frame.time);
                    }
                }
            }
            _ => {}
        }
    }

    /// What the optimizer holds, if it is forgotten, and since when.
    pub(super) fn held(&self, optimizer: u32, scene: &Scene) -> Option<(Vec<VarId>, (u32, u32))> {
        let idle = self.0.get(&optimizer).filter(|idle| idle.thrown >= OFTEN)?;
        let held: Vec<VarId> = held_by(optimizer, scene).map(|(id, _)| id).collect();
        (!held.is_empty() && idle.is_alone(optimizer, scene)).then_some((held, idle.began))
    }
}

impl Idle {
    /// Whether since the last time there were gradients to use, and contents that they would have changed.
    fn has_gradients(&self, optimizer: u32, scene: &Scene) -> bool {
        let mut any = false;
        for (_, variable) in held_by(optimizer, scene) {
            let gradient = variable.grad.filter(|_| variable.grad_iteration > self.iteration);
            let Some(gradient) = gradient.filter(|gradient| gradient.kind == ValueKind::Tensor) else {
                continue;
            };
            // A gradient scaler leaves the step out.
            if gradient.non_finite > 0 {
                return false;
            }
            any |= !gradient.all_zero() && variable.looked > self.time;
        }
        any && self.is_alone(optimizer, scene)
    }

    /// Whether nothing else trains what it holds: no other optimizer, of which it may be a part, and not the script itself.
    fn is_alone(&self, optimizer: u32, scene: &Scene) -> bool {
        held_by(optimizer, scene).all(|(_, variable)| {
            let mut holders = variable.held_by.iter().flatten();
            variable.changed <= self.made && !holders.any(|holder| scene.stepped.contains(holder))
        })
    }
}

fn held_by(optimizer: u32, scene: &Scene) -> impl Iterator<Item = (VarId, &Variable)> {
    let held = scene.variables.held_by(optimizer).iter().map(|&id| (id, scene.variables.get(id)));
    held.filter(move |(_, variable)| variable.is_held_by(optimizer))
}

/// Whether this `zero_grad` is the optimizer's, or that of a module of which it alone holds parameters: that of a model clears
/// the gradients of parts that have their turn later, too.
fn clears(frame: &Frame, optimizer: u32, scene: &Scene) -> bool {
    if frame.object == optimizer {
        return true;
    }
    let Some(module) = scene.object(frame.object).filter(|object| object.kind == ObjectKind::Module) else {
        return false;
    };
    let of_root = scene.variables.of_owner(module.root).iter().map(|&id| scene.variables.get(id));
    let mut of_it = of_root
        .filter(|variable| is_inside(&variable.name, &module.name) && variable.is_held())
        .map(|variable| variable.held_by.as_deref() == Some(&[optimizer]))
        .peekable();
    of_it.peek().is_some() && of_it.all(|alone| alone)
}

/// Whether a variable of this name is one of the module of that name.
fn is_inside(variable: &str, module: &str) -> bool {
    variable.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'))
}
