//! Parameters that take part in training get gradients: an optimizer holds them, and their module is called where gradients
//! are computed.
//!
//! A loss that is detached, or is added as a number, leaves what only it goes through without any; what is detached between two
//! modules, the first of them. So does a head whose result nobody uses: one that is called behind all that get gradients, where
//! no more than one loss is computed, says nothing.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind, flags};

use super::claim::{Outcome, Subject};
use crate::relation::observer::Context;
use crate::relation::sink::{Why, Window};
use crate::relation::support::loss::is_loss;
use crate::scene::{Cut, Frame, TraceEvent};
use crate::situation::NOTHING;

/// A parameter whose module was called in so many iterations without a gradient for it gets none.
const A_RUN: u32 = 16;
/// Calls are followed in so many first iterations: what is called later has had less time for a gradient.
const FIRST: u32 = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Trained {
    /// Modules (dictionary ids): in how many iterations they were called with gradients, and the last of these.
    called: FxHashMap<u32, (u32, u32)>,
    /// Those called in this iteration, and in the last one with a backward, in order.
    order: Vec<u32>,
    trained: Vec<u32>,
    /// Losses that were computed in this iteration, and the most that were in two iterations.
    losses: u32,
    most: [u32; 2],
    /// By number of the variable.
    with_gradient: Vec<bool>,
    /// The last step of each optimizer, with iteration and step.
    stepped: FxHashMap<u32, (Frame, u32, u32)>,
}

impl Trained {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame)
                if frame.iteration <= FIRST
                    && frame.flags & (flags::GRAD | flags::IN_INIT) == flags::GRAD
                    && matches!(frame.target.role, Role::ModuleCall | Role::Other) =>
            {
                self.losses += u32::from(is_loss(frame, cx.numbers));
                if frame.target.role == Role::ModuleCall
                    && frame.object != 0
                    && frame.flags & flags::MODULE_EVAL == 0
                {
                    self.called(frame);
                }
            }
            TraceEvent::IterationBegan(_) => {
                self.order.clear();
                self.losses = 0;
            }
            TraceEvent::IterationEnded(iteration, _) if iteration.backward && iteration.number <= FIRST => {
                std::mem::swap(&mut self.order, &mut self.trained);
                // Once may be chance.
                let most = &mut self.most;
                *most = [most[0].max(self.losses), most[1].max(most[0].min(self.losses))];
            }
            TraceEvent::State(change, Some(look)) if change.attribute == Attribute::Grad => {
                // What a backward has left, or the script has put there.
                let told = match look.frame.target.role {
                    Role::Backward => !look.at_entry,
                    Role::OptimizerStep => look.at_entry,
                    _ => false,
                };
                if told && change.now.is_some_and(|now| now.kind != ValueKind::None) {
                    let at = change.variable as usize;
                    if at >= self.with_gradient.len() {
                        self.with_gradient.resize(at + 1, false);
                    }
                    self.with_gradient[at] = true;
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

    fn called(&mut self, frame: &Frame) {
        let (iterations, last) = self.called.entry(frame.object).or_default();
        if std::mem::replace(last, frame.iteration) != frame.iteration {
            *iterations = iterations.saturating_add(1);
            self.order.push(frame.object);
        }
    }

    fn ended(&mut self, cx: &mut Context<'_>) {
        let scene = cx.scene;
        let mut modules = FxHashMap::default();
        for (at, &module) in self.trained.iter().enumerate() {
            if let Some(object) = scene.object(module) {
                modules.insert(object.name.as_str(), (at, self.called[&module].0));
            }
        }
        let mut parameters = Vec::new();
        // How far the modules go that get gradients.
        let mut until = 0;
        for (id, variable) in scene.variables.iter() {
            let module = variable.name.rsplit_once('.').map_or("", |(module, _)| module);
            let called = modules.get(module).filter(|_| variable.kind == VariableKind::Parameter);
            let Some(&(at, iterations)) = called else { continue };
            let gets = self.with_gradient.get(id as usize) == Some(&true);
            if gets {
                until = until.max(at);
            }
            let holders = variable.held_by.iter().flatten();
            if let Some(stepped) = holders.filter_map(|holder| self.stepped.get(holder)).next()
                && iterations >= A_RUN
                && variable.requires_grad != Some(false)
                // A rank may have nothing of what is divided among ranks.
                && variable.data.is_none_or(|data| data.elements > 0)
            {
                parameters.push((id, at, gets, *stepped));
            }
        }
        let several_losses = self.most[1] > 1;
        let subject = cx.numbers.subject(Subject::Called);
        let outcome = [cx.numbers.outcome(Outcome::GetsGradient)];
        for (id, at, gets, (frame, iteration, step)) in parameters {
            let mut window = Window::new(subject, NOTHING, &frame, 0);
            window.held = if gets { &outcome } else { &[] };
            window.cut = (!gets && !several_losses && at >= until).then_some(Cut::Unclear);
            window.now = (iteration, step);
            window.why = if gets { Why::Nothing } else { Why::NoGradient };
            window.variables = std::slice::from_ref(&id);
            cx.general(&window);
        }
    }
}
