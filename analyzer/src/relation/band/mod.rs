//! Band: the numbers that people watch are of the size that they had in the references.
//!
//! The loss, the norm of gradients, and how far a step moves what it trains. How large they may become follows from how
//! much the references differ among themselves ([`super::bound`]). A single batch may be far from the others, so what is
//! judged is the median of a few in a row. What falls as a run goes on has no lower bound at each moment, and how far it gets
//! is a matter of how long it goes on: from below only the beginning is judged.
pub mod claim;
mod results;
mod setting;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::bound::size;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::norm::Norm;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Cut, Frame, Look, TraceEvent};
use crate::situation::NOTHING;
use claim::{Quantity, Subject};
use results::Results;
use setting::{Pace, Setting};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Band::default()),
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
        States { attribute: Attribute::Value, of: &[VariableKind::Loss], at: &[] },
        States::GRADIENTS,
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[Point::Return(Role::OptimizerStep)],
        },
        States {
            attribute: Attribute::Storage,
            of: &[VariableKind::Parameter, VariableKind::Unreached],
            at: &[],
        },
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

/// So many measurements in a row are judged together, by their median.
const A_BLOCK: usize = 8;
/// A block in which all but the lowest and the highest lie further apart, in sizes, is of no size: two doublings.
const SCATTERED: i32 = 16;
/// So many blocks are the beginning.
const THE_BEGINNING: u32 = 2;

#[derive(Default)]
struct Band {
    losses: FxHashMap<VarId, Measured>,
    /// By optimizer (dictionary id).
    gradients: BTreeMap<u32, Measured>,
    updates: BTreeMap<u32, Update>,
    /// Of the gradients that the look that is going on finds.
    norm: Norm,
    /// Norms of parameters after the last step of what holds them, and the step that this was of it.
    norms: FxHashMap<VarId, (f64, u32)>,
    results: Results,
    setting: Setting,
    /// An optimizer was given a state: what a training begins with lies before this run.
    resumed: bool,
    /// Gradients are clipped: how large they are before makes no difference.
    clips: bool,
}

/// A number, in sizes.
#[derive(Clone, Debug)]
struct Measured {
    quantity: Quantity,
    /// Each block, and the beginning, once the setting is known.
    subjects: Option<[SubjectId; 2]>,
    /// The block that is being filled, and how many it has.
    block: [i32; A_BLOCK],
    filled: usize,
    /// Where it began.
    began: (u32, u32),
    since: Pace,
    blocks: u32,
    highest: i32,
    /// Some block so far was scattered.
    scattered: bool,
}

/// What a step changes: sums of squares over what the look that is going on has found.
#[derive(Debug, Default)]
struct Update {
    measured: Option<Measured>,
    changes: f64,
    norms: f64,
}

impl Observer for Band {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::State(change, _) if change.attribute == Attribute::Value => self.value(change, cx),
            TraceEvent::State(change, Some(look)) => {
                let role = look.frame.target.role;
                match (change.attribute, change.now) {
                    (Attribute::Grad, Some(now)) if role == Role::Backward && !look.at_entry => {
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
            TraceEvent::Gave(frame, results) => self.results.gave(frame, results, cx),
            _ => {}
        }
    }
}

impl Band {
    fn value(&mut self, change: &Change, cx: &mut Context<'_>) {
        let (id, variable) = (change.variable, cx.scene.variables.get(change.variable));
        if let Some(value) = variable.value.filter(|_| variable.kind == VariableKind::Hyperparameter) {
            self.setting.hyperparameter(id, value);
        }
        // It is looked at where a backward begins.
        let backward = cx.scene.call(change.call).copied().filter(|_| variable.kind == VariableKind::Loss);
        let (Some(backward), Some(size)) = (backward, variable.value.and_then(size)) else { return };
        let measured = match self.losses.get_mut(&id) {
            Some(known) => known,
            None => {
                let new = Measured::new(
                    Quantity::Loss { name: variable.name.clone() },
                    self.setting.pace(cx.scene),
                );
                self.losses.entry(id).or_insert(new)
            }
        };
        measured.add(size, &backward, &self.setting, &[id], [None, began_before(self.resumed)], cx);
    }

    fn backward(&mut self, look: &Look, cx: &mut Context<'_>) {
        let norms = self.norm.by_holder();
        self.norm.begin();
        for (optimizer, norm) in norms {
            let Some(size) = size(norm) else { continue };
            let measured = match self.gradients.get_mut(&optimizer) {
                Some(known) => known,
                None => {
                    let Some(name) = name(optimizer, cx) else { continue };
                    let new =
                        Measured::new(Quantity::Gradients { optimizer: name }, self.setting.pace(cx.scene));
                    self.gradients.entry(optimizer).or_insert(new)
                }
            };
            let cut = self.clips.then_some(Cut::Unclear);
            measured.add(
                size,
                &look.frame,
                &self.setting,
                &[],
                [cut, cut.or(began_before(self.resumed))],
                cx,
            );
        }
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
            let update = self.updates.entry(optimizer).or_default();
            update.changes += (norm - before) * (norm - before);
            update.norms += before * before;
        }
    }

    fn stepped(&mut self, look: &Look, cx: &mut Context<'_>) {
        let optimizer = look.frame.object;
        let Some(update) = self.updates.get_mut(&optimizer) else { return };
        let (changes, norms) = (std::mem::take(&mut update.changes), std::mem::take(&mut update.norms));
        let Some(size) = size((changes / norms).sqrt()).filter(|_| norms > 0.0) else { return };
        let measured = match &mut update.measured {
            Some(known) => known,
            unknown => {
                let Some(optimizer) = name(optimizer, cx) else { return };
                unknown.insert(Measured::new(Quantity::Update { optimizer }, self.setting.pace(cx.scene)))
            }
        };
        // How far a step goes is for an optimizer with a closure to find out.
        let cut = cx.scene.closures.contains(&look.frame.object).then_some(Cut::Unclear);
        measured.add(size, &look.frame, &self.setting, &[], [cut, cut.or(began_before(self.resumed))], cx);
    }
}

impl Measured {
    fn new(quantity: Quantity, since: Pace) -> Measured {
        Measured {
            quantity,
            subjects: None,
            block: [0; A_BLOCK],
            filled: 0,
            began: (0, 0),
            since,
            blocks: 0,
            highest: i32::MIN,
            scattered: false,
        }
    }

    /// One more at a call. `cuts`: why blocks give no verdict, and why the beginning does not.
    fn add(
        &mut self,
        size: i32,
        at: &Frame,
        setting: &Setting,
        variables: &[VarId],
        cuts: [Option<Cut>; 2],
        cx: &mut Context<'_>,
    ) {
        if self.filled == 0 {
            self.began = (at.iteration, at.step);
            self.since = setting.pace(cx.scene);
        }
        self.block[self.filled] = size;
        self.filled += 1;
        if self.filled < A_BLOCK {
            return;
        }
        self.filled = 0;
        self.blocks = self.blocks.saturating_add(1);
        self.block.sort_unstable();
        let size = self.block[A_BLOCK / 2];
        let scattered = self.block[A_BLOCK - 2] - self.block[1] > SCATTERED;
        self.scattered |= scattered;
        let unclear = |scattered: bool| scattered.then_some(Cut::Unclear);
        self.highest = self.highest.max(size);
        let [each, beginning] = *self.subjects.get_or_insert_with(|| {
            let (quantity, setting) = (&self.quantity, setting.text(self.since, cx.scene));
            let each = Subject::Each { quantity: quantity.clone(), setting: setting.clone() };
            let beginning = Subject::Beginning { quantity: quantity.clone(), setting };
            [cx.numbers.subject(each), cx.numbers.subject(beginning)]
        });
        let mut window = Window::new(each, NOTHING, at, cx.scene.depth(at));
        window.number = Some(size);
        window.began = Some(self.began);
        window.cut = cuts[0].or(unclear(scattered));
        window.variables = variables;
        cx.window(&window);
        if self.blocks == THE_BEGINNING {
            (window.subject, window.number) = (beginning, Some(self.highest));
            (window.began, window.cut) = (None, cuts[1].or(unclear(self.scattered)));
            cx.window(&window);
        }
    }
}

fn began_before(resumed: bool) -> Option<Cut> {
    resumed.then_some(Cut::Unclear)
}

fn name(optimizer: u32, cx: &Context<'_>) -> Option<String> {
    cx.scene.object(optimizer).map(|object| object.name.clone())
}
