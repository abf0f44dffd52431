//! The variables of a process, as the looks have found them so far.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::{Attribute, ObjectKind, State, ValueKind, VariableKind};

use super::dictionary::{self, Resolved};
use crate::source::Source;

/// Number of a variable in [`Variables`].
pub type VarId = u32;

/// What a look at the contents of a tensor found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digest {
    /// How to read it.
    pub kind: ValueKind,
    /// 128-bit content hash.
    pub hash: (u64, u64),
    /// Euclidean norm.
    pub l2: f32,
    /// Share of elements that are zero.
    pub zeros: u64,
    /// How many elements.
    pub elements: u64,
    /// How many are NaN or infinite.
    pub non_finite: u32,
    /// The smallest finite element.
    pub min: f32,
    /// The largest finite element.
    pub max: f32,
}

impl Digest {
    fn of(state: &State, kind: ValueKind) -> Digest {
        Digest {
            kind,
            hash: (state.hash_low, state.hash_high),
            l2: state.l2,
            zeros: state.zeros,
            elements: state.elements,
            non_finite: state.nan.saturating_add(state.inf),
            min: state.min,
            max: state.max,
        }
    }

    /// Whether both were read and are the same; `None`: cannot be said.
    #[inline]
    pub fn same(&self, other: &Digest) -> Option<bool> {
        (self.kind == ValueKind::Tensor && other.kind == ValueKind::Tensor)
            .then(|| self.hash == other.hash && self.elements == other.elements)
    }

    /// Whether every element is zero.
    pub fn all_zero(&self) -> bool {
        self.zeros == self.elements
    }
}

/// One variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: VariableKind,
    /// The root module or optimizer it belongs to (dictionary id).
    pub owner: u32,
    /// Contents at the last look.
    pub data: Option<Digest>,
    /// Gradient at the last look.
    pub grad: Option<Digest>,
    /// The iteration of that look.
    pub grad_iteration: u32,
    /// Whether it requires a gradient.
    pub requires_grad: Option<bool>,
    /// The optimizers that hold it (dictionary ids); `None`: not known.
    pub held_by: Option<Vec<u32>>,
    /// The root modules that reach it.
    pub reached_from: Option<Vec<u32>>,
    /// A hyperparameter's value.
    pub value: Option<f64>,
    /// Identity of its storage; 0: not known.
    pub storage: i64,
    /// Text id of its shape and dtype.
    pub shape: u32,
    /// Time of the last look at its contents, ns.
    pub looked: u64,
    /// The iteration of the last look that found other contents than the one before; 0: none has.
    pub changed: u32,
    /// The iteration of the first look at its contents.
    pub first_looked: u32,
}

impl Variable {
    /// Whether an optimizer is known to hold it.
    pub fn is_held(&self) -> bool {
        self.held_by.as_ref().is_some_and(|holders| !holders.is_empty())
    }

    /// Whether the optimizer is known to hold it.
    pub fn is_held_by(&self, optimizer: u32) -> bool {
        self.held_by.as_ref().is_some_and(|holders| holders.contains(&optimizer))
    }
}

/// All variables of a process.
#[derive(Debug, Default)]
pub struct Variables {
    all: Vec<Variable>,
    index: FxHashMap<u32, Option<VarId>>,
    by_owner: FxHashMap<u32, Vec<VarId>>,
    held: FxHashMap<u32, Vec<VarId>>,
    held_pairs: FxHashSet<(u32, VarId)>,
    modes: FxHashMap<u32, bool>,
    /// Optimizers that were given a state in which there is something.
    restored: FxHashSet<u32>,
    /// Whether gradient scalers are switched on.
    scalers: FxHashMap<u32, bool>,
    storages: u32,
}

/// What a state record changed in the table.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// The variable.
    pub variable: VarId,
    /// The attribute.
    pub attribute: Attribute,
    /// What the look found, for `Data` and `Grad`.
    pub now: Option<Digest>,
    /// The call at whose entry or return it was found.
    pub call: u64,
}

impl Variables {
    /// The variable with this number.
    #[inline]
    pub fn get(&self, id: VarId) -> &Variable {
        &self.all[id as usize]
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (VarId, &Variable)> + Clone {
        self.all.iter().enumerate().map(|(id, variable)| (id as VarId, variable))
    }

    /// Those of one root module or optimizer.
    pub fn of_owner(&self, owner: u32) -> &[VarId] {
        self.by_owner.get(&owner).map_or(&[], Vec::as_slice)
    }

    /// Those that an optimizer holds, or once held.
    pub fn held_by(&self, optimizer: u32) -> &[VarId] {
        self.held.get(&optimizer).map_or(&[], Vec::as_slice)
    }

    /// Whether a root module is in training mode, if that is known.
    pub fn mode(&self, root: u32) -> Option<bool> {
        self.modes.get(&root).copied()
    }

    /// Whether there are gradient scalers and all of them are switched off: their methods do nothing then.
    pub fn scales_nothing(&self) -> bool {
        !self.scalers.is_empty() && self.scalers.values().all(|on| !on)
    }

    /// Whether an optimizer was given the state of one that has stepped: something that it keeps for a parameter.
    pub fn is_restored(&self, optimizer: u32) -> bool {
        self.restored.contains(&optimizer)
    }

    /// The largest learning rate among the groups of an optimizer; `None`: not recorded.
    pub fn learning_rate(&self, optimizer: u32) -> Option<f64> {
        self.of_owner(optimizer)
            .iter()
            .map(|&id| self.get(id))
            .filter(|v| v.kind == VariableKind::Hyperparameter && v.name.ends_with(".lr"))
            .filter_map(|v| v.value)
            .reduce(f64::max)
    }

    /// How often a variable was found in another storage than before.
    pub fn storages(&self) -> u32 {
        self.storages
    }

    fn intern(&mut self, id: u32, source: &dyn Source) -> Option<VarId> {
        if let Some(known) = self.index.get(&id) {
            return *known;
        }
        let followed = dictionary::variable(id, source).filter(|(_, kind, _)| is_followed(*kind));
        let number = followed.map(|(name, kind, owner)| {
            let number = self.all.len() as VarId;
            self.by_owner.entry(owner).or_default().push(number);
            self.all.push(Variable {
                name,
                kind,
                owner,
                data: None,
                grad: None,
                grad_iteration: 0,
                requires_grad: None,
                held_by: None,
                reached_from: None,
                value: None,
                storage: 0,
                shape: 0,
                looked: 0,
                changed: 0,
                first_looked: 0,
            });
            number
        });
        self.index.insert(id, number);
        number
    }

    /// Takes in what an object that was given a state has now.
    pub fn loaded(&mut self, state: &State, source: &dyn Source) {
        if state.attribute == Attribute::Data as u8
            && let Some((_, VariableKind::OptimizerState, optimizer)) =
                dictionary::variable(state.variable, source)
        {
            self.restored.insert(optimizer);
        }
    }

    /// Takes in a flag of a gradient scaler.
    fn scaler(&mut self, state: &State, source: &dyn Source) {
        if let Some((name, VariableKind::ScalerState, owner)) = dictionary::variable(state.variable, source)
            && name.ends_with("._enabled")
        {
            self.scalers.insert(owner, state.int != 0);
        }
    }

    /// Takes in one record.
    pub fn take(&mut self, state: &State, source: &dyn Source, resolved: &mut Resolved) -> Option<Change> {
        let attribute = Attribute::try_from(state.attribute).ok()?;
        let kind = ValueKind::try_from(state.value_kind).ok()?;
        let Some(id) = self.intern(state.variable, source) else {
            if kind == ValueKind::Bool && attribute == Attribute::Value {
                self.scaler(state, source);
            }
            return None;
        };
        let variable = &mut self.all[id as usize];
        let mut now = None;
        match attribute {
            Attribute::Data => {
                let digest = Digest::of(state, kind);
                match variable.data {
                    None => variable.first_looked = state.iteration,
                    Some(before) if before.same(&digest) == Some(false) => variable.changed = state.iteration,
                    Some(_) => {}
                }
                now = Some(digest);
                variable.data = now;
                variable.looked = state.time;
            }
            Attribute::Grad => {
                now = Some(Digest::of(state, kind));
                variable.grad = now;
                variable.grad_iteration = state.iteration;
            }
            Attribute::RequiresGrad => variable.requires_grad = Some(state.int != 0),
            Attribute::Value => {
                variable.value = match kind {
                    ValueKind::Float => Some(state.float),
                    ValueKind::Int => Some(state.int as f64),
                    _ => None,
                }
            }
            Attribute::Training => {
                let owner = variable.owner;
                self.modes.insert(owner, state.int != 0);
            }
            Attribute::HeldBy => {
                let holders = objects(state, source, resolved, ObjectKind::Optimizer);
                for &holder in holders.iter().flatten() {
                    if self.held_pairs.insert((holder, id)) {
                        self.held.entry(holder).or_default().push(id);
                    }
                }
                variable.held_by = holders;
            }
            Attribute::ReachedFrom => {
                variable.reached_from = objects(state, source, resolved, ObjectKind::Module);
            }
            Attribute::Storage => {
                variable.storage = state.int;
                self.storages = self.storages.wrapping_add(1);
            }
            Attribute::Shape => variable.shape = state.text,
        }
        Some(Change { variable: id, attribute, now, call: state.call })
    }
}

/// Whether relations ask for variables of this kind. What they do not ask for must not reach them: contents change at
/// every step that are nobody's parameters.
fn is_followed(kind: VariableKind) -> bool {
    match kind {
        VariableKind::Parameter
        | VariableKind::Buffer
        | VariableKind::Unreached
        | VariableKind::Hyperparameter
        | VariableKind::Mode
        | VariableKind::Loss
        | VariableKind::Batch
        | VariableKind::Worker
        | VariableKind::Rng => true,
        VariableKind::OptimizerState
        | VariableKind::SchedulerState
        | VariableKind::ScalerState
        | VariableKind::ParameterAttribute => false,
    }
}

/// Reads a list of object ids; `None` if it is not one, so that nothing is claimed of it.
fn objects(
    state: &State,
    source: &dyn Source,
    resolved: &mut Resolved,
    kind: ObjectKind,
) -> Option<Vec<u32>> {
    let text = if state.text == 0 { "" } else { source.entry(state.text)?.text.as_str() };
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let id = part.parse().ok()?;
            resolved.object(id, source).filter(|object| object.kind == kind).map(|_| id)
        })
        .collect()
}
