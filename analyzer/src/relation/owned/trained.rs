//! Parameters that take part in training get gradients: an optimizer holds them, and their module is called where gradients
//! are computed.
//!
//! A loss that is detached, or is added as a number, leaves what only it goes through without any. So does a head whose
//! result nobody uses.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind, flags};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::scene::variables::VarId;
use crate::scene::{Frame, TraceEvent};
use crate::situation::NOTHING;

/// A parameter whose module was called in so many iterations without a gradient for it gets none.
const A_RUN: u32 = 16;

/// See the module.
#[derive(Default)]
pub(super) struct Trained {
    /// Modules (dictionary ids): in how many iterations they were called with gradients, and the last of these.
    called: FxHashMap<u32, (u32, u32)>,
    with_gradient: FxHashSet<VarId>,
    /// The last step of each optimizer, with iteration and step.
    stepped: FxHashMap<u32, (Frame, u32, u32)>,
}

impl Trained {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame)
                if frame.target.role == Role::ModuleCall
                    && frame.flags & (flags::GRAD | flags::IN_INIT) == flags::GRAD
                    && frame.flags & flags::MODULE_EVAL == 0 =>
            {
                let (iterations, last) = self.called.entry(frame.object).or_default();
                if std::mem::replace(last, frame.iteration) != frame.iteration {
                    *iterations = iterations.saturating_add(1);
                }
            }
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Grad => {
                // What a backward has left, or the script has put there.
                let told = match look.frame.target.role {
                    Role::Backward => !look.at_entry,
                    Role::OptimizerStep => look.at_entry,
                    _ => false,
                };
                if told && change.now.is_some_and(|now| now.kind != ValueKind::None) {
                    self.with_gradient.insert(change.variable);
                }
            }
            TraceEvent::Leave(frame, _) if frame.target.role == Role::OptimizerStep => {
                let (iteration, step) = cx.scene.now;
                self.stepped.insert(frame.object, (**frame, iteration, step));
            }
            TraceEvent::End => self.ended(cx),
            _ => {}
        }
    }

    fn ended(&mut self, cx: &mut Context<'_>) {
        let scene = cx.scene;
        let mut modules = FxHashMap::default();
        for (&module, &(iterations, _)) in &self.called {
            if let Some(object) = scene.object(module).filter(|_| iterations >= A_RUN) {
                modules.insert(object.name.as_str(), module);
            }
        }
        let mut windows = Vec::new();
        for (id, variable) in scene.variables.iter() {
            let module = variable.name.rsplit_once('.').map_or("", |(module, _)| module);
            if variable.kind != VariableKind::Parameter
                || variable.requires_grad == Some(false)
                || !modules.contains_key(module)
            {
                continue;
            }
            let holders = variable.held_by.iter().flatten();
            if let Some(stepped) = holders.filter_map(|holder| self.stepped.get(holder)).next() {
                windows.push((id, *stepped));
            }
        }
        let subject = cx.numbers.subject(Subject::Called);
        let outcome = [cx.numbers.outcome(Outcome::GetsGradient)];
        for (id, (frame, iteration, step)) in windows {
            let gets = self.with_gradient.contains(&id);
            let mut window = Window::new(subject, NOTHING, &frame, 0);
            window.held = if gets { &outcome } else { &[] };
            window.now = (iteration, step);
            window.why = if gets { Why::Nothing } else { Why::NoGradient };
            window.variables = std::slice::from_ref(&id);
            cx.general(&window);
        }
    }
}
