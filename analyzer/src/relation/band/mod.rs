//! Band: the numbers that people watch are of the size that they had in the references.
//!
//! The loss, the norm of gradients, and how far a step moves what it trains. How large they may become follows from how
//! much the references differ among themselves ([`super::bound`]). A single batch may be far from the others, so what is
//! judged is the median of a few in a row. What falls as a run goes on has no lower bound at each moment, and how far it gets
//! is a matter of how long it goes on: from below only the beginning is judged.
mod blocks;
pub mod claim;
mod results;
mod setting;

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::bound::size;
use crate::relation::needs::{Needs, States};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::support::norm::Norm;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Frame, Look, Scene, TraceEvent};
use blocks::Blocks;
use claim::Quantity;
use results::Results;
use setting::Setting;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Band::default()),
    together: None,
    // What counts is how many runs there are, not how many windows one has.
    structural: true,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[
        Role::Backward,
        Role::ClipGrad,
        Role::LoadState,
        Role::ModuleCall,
        Role::OptimizerStep,
    ]),
    arguments: Roles::of(&[Role::ModuleCall]),
    results: Roles::of(&[Role::ModuleCall]),
    variables: &[
        States::LOSSES,
        States::GRADIENTS,
        States::AFTER_STEPS,
        States::STORAGES,
        States::HOLDERS,
        States::RATES,
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::Backward, Role::ClipGrad, Role::LoadState]),
    states: &[
        (Attribute::Value, &[VariableKind::Loss, VariableKind::Hyperparameter]),
        (Attribute::Grad, &[VariableKind::Parameter, VariableKind::Unreached]),
        (Attribute::Data, &[VariableKind::Parameter, VariableKind::Unreached]),
    ],
    looks: true,
    ..Told::NOTHING
};

#[derive(Default)]
struct Band {
    numbers: FxHashMap<Which, Blocks>,
    /// Of the gradients that the look that is going on finds.
    norm: Norm,
    /// Norms of parameters after the last step of what holds them, and the step that this was of it.
    norms: FxHashMap<VarId, (f64, u32)>,
    /// Of the step that the look that is going on is about, sums of squares: by how much norms changed, and these before.
    changes: f64,
    changed: f64,
    results: Results,
    setting: Setting,
    /// An optimizer was given a state: what a training begins with lies before this run.
    resumed: bool,
    /// Gradients are clipped: how large they are before makes no difference.
    clips: bool,
}

/// A number. Optimizers are told by their dictionary ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    Loss(VarId),
    Gradients(u32),
    Update(u32),
}

impl Observer for Band {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::State(change, _) if change.attribute == Attribute::Value => self.value(change, cx),
            TraceEvent::State(change, Some(look)) => {
                let role = look.frame.target.role;
                match (change.attribute, change.now) {
                    (Attribute::Grad, Some(now))
                        if role == Role::Backward && !look.at_entry && !self.clips =>
                    {
                        self.norm.add(change.variable, &now, cx.scene);
                    }
                    (Attribute::Data, Some(now))
                        if role == Role::OptimizerStep && !look.at_entry && now.kind == ValueKind::Tensor =>
                    {
                        self.parameter(change.variable, &now, look.frame.object, cx);
                    }
                    _ => {}
                }
            }
            TraceEvent::Looked(look) if !look.at_entry => match look.frame.target.role {
                Role::Backward => self.backward(look, cx),
                Role::OptimizerStep => self.stepped(look, cx),
                _ => {}
            },
            TraceEvent::Enter(frame) => match frame.target.role {
                Role::Backward if frame.counts => self.setting.backward(),
                Role::ClipGrad => self.clips = true,
                Role::LoadState => {
                    let object = cx.scene.object(frame.object);
                    self.resumed |= object.is_some_and(|object| object.kind == ObjectKind::Optimizer);
                }
                _ => {}
            },
            TraceEvent::Given(frame, arguments) => self.setting.given(frame, arguments, cx),
            TraceEvent::Gave(frame, results) => self.results.gave(frame, results, &self.setting, cx),
            _ => {}
        }
    }
}

impl Band {
    fn value(&mut self, change: &Change, cx: &mut Context<'_>) {
        let (id, variable) = (change.variable, cx.scene.variables.get(change.variable));
        let Some(value) = variable.value else { return };
        if variable.kind == VariableKind::Hyperparameter {
            return self.setting.hyperparameter(id, value);
        }
        // A loss is looked at where a backward begins.
        let backward = cx.scene.call(change.call).copied().filter(|_| variable.kind == VariableKind::Loss);
        if let Some(backward) = backward {
            self.measured(Which::Loss(id), value, (&backward, &[id]), cx);
        }
    }

    fn backward(&mut self, look: &Look, cx: &mut Context<'_>) {
        for (optimizer, norm) in self.norm.by_holder() {
            self.measured(Which::Gradients(optimizer), norm, (&look.frame, &[]), cx);
        }
        self.norm.begin();
    }

    fn parameter(&mut self, id: VarId, now: &Digest, optimizer: u32, cx: &Context<'_>) {
        let norm = f64::from(now.l2);
        if !cx.scene.variables.get(id).is_held_by(optimizer) || !norm.is_finite() {
            return;
        }
        let steps = cx.scene.steps_of(optimizer);
        let before = self.norms.insert(id, (norm, steps));
        if before.is_none() {
            self.setting.parameter(now.elements);
        }
        // What was not looked at after the last step has more than one behind it.
        if let Some((before, _)) = before.filter(|(_, at)| at + 1 == steps) {
            self.changes += (norm - before) * (norm - before);
            self.changed += before * before;
        }
    }

    fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let update = (std::mem::take(&mut self.changes) / std::mem::take(&mut self.changed)).sqrt();
        let optimizer = look.frame.object;
        // How far a step goes is for an optimizer with a closure to find out.
        if !cx.scene.closures.contains(&optimizer) {
            self.measured(Which::Update(optimizer), update, (&look.frame, &[]), cx);
        }
    }

    fn measured(&mut self, which: Which, number: f64, at: (&Frame, &[VarId]), cx: &mut Context<'_>) {
        let Some(size) = size(number) else { return };
        let blocks = match self.numbers.entry(which) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let Some(quantity) = which.quantity(cx.scene) else { return };
                unknown.insert(Blocks::of(quantity))
            }
        };
        blocks.add(size, at, (&self.setting, self.resumed), cx);
    }
}

impl Which {
    /// By names; `None`: they are not known.
    fn quantity(self, scene: &Scene) -> Option<Quantity> {
        let optimizer = |id: u32| scene.object(id).map(|object| object.name.clone());
        Some(match self {
            Which::Loss(id) => Quantity::Loss { name: scene.variables.get(id).name.clone() },
            Which::Gradients(id) => Quantity::Gradients { optimizer: optimizer(id)? },
            Which::Update(id) => Quantity::Update { optimizer: optimizer(id)? },
        })
    }
}
