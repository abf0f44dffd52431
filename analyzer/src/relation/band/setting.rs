//! In what setting numbers are measured: what they depend on in every training, as far as it is recorded. A part of band.
//!
//! Options of a script may come from its command line, from its environment, or from a file. What they do to a training
//! shows in the trace: the size of batches and models, the hyperparameters of optimizers, and how many batches make a step.
//! Numbers of one setting say nothing about those of another.

use std::collections::BTreeMap;

use traincheck_schema::record::{Argument, Role, flags};
use xxhash_rust::xxh3::Xxh3;

use crate::relation::observer::Context;
use crate::relation::support::tensor::Described;
use crate::scene::variables::VarId;
use crate::scene::{Frame, Scene};

/// What is known of it so far.
#[derive(Default)]
pub(super) struct Setting {
    /// The first dimension of the first tensor that an outermost module was given with gradients.
    rows: Option<u64>,
    /// The first value of each hyperparameter.
    hyperparameters: BTreeMap<VarId, f64>,
    /// Those of what optimizers hold.
    elements: u64,
    backwards: u32,
}

/// Backwards and steps so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    backwards: u32,
    steps: u32,
}

impl Setting {
    /// A module is given something.
    pub(super) fn given(&mut self, frame: &Frame, arguments: &[Argument], cx: &Context<'_>) {
        let wanted = flags::GRAD | flags::OUTERMOST;
        if self.rows.is_none() && frame.target.role == Role::ModuleCall && frame.flags & wanted == wanted {
            let tensors = arguments.iter().filter_map(|argument| Described::of(argument, cx.source));
            self.rows = tensors.filter_map(|tensor| tensor.rows()).next();
        }
    }

    /// A hyperparameter was looked at.
    pub(super) fn hyperparameter(&mut self, id: VarId, value: f64) {
        self.hyperparameters.entry(id).or_insert(value);
    }

    /// A step has left a parameter of so many elements for the first time.
    pub(super) fn parameter(&mut self, elements: u64) {
        self.elements = self.elements.saturating_add(elements);
    }

    /// A backward begins.
    pub(super) fn backward(&mut self) {
        self.backwards = self.backwards.wrapping_add(1);
    }

    /// The pace from here on begins at this.
    pub(super) fn pace(&self, scene: &Scene) -> Pace {
        Pace { backwards: self.backwards, steps: scene.steps_of(0) }
    }

    /// In words, without a pace; `None`: nothing has stepped so far.
    pub(super) fn text(&self, scene: &Scene) -> Option<String> {
        (self.elements > 0).then(|| self.words(None, scene))
    }

    /// In words, with the pace since some moment.
    pub(super) fn text_since(&self, since: Pace, scene: &Scene) -> String {
        let backwards = self.backwards.wrapping_sub(since.backwards);
        let steps = scene.steps_of(0).saturating_sub(since.steps);
        // A few more or less of either, at the ends of a block, make no other pace.
        let pace = (f64::from(backwards) / f64::from(steps)).log2().round();
        let pace =
            if pace.is_finite() { format!("2^{} backwards a step", pace as i32) } else { "no steps".into() };
        self.words(Some(pace), scene)
    }

    fn words(&self, pace: Option<String>, scene: &Scene) -> String {
        let mut hash = Xxh3::new();
        for (&id, value) in &self.hyperparameters {
            hash.update(scene.variables.get(id).name.as_bytes());
            hash.update(&value.to_bits().to_le_bytes());
        }
        let rows =
            self.rows.map_or_else(|| "batches of unknown size".into(), |rows| format!("batches of {rows}"));
        let elements = format!("{} elements", self.elements);
        let hyperparameters = format!("hyperparameters {:08x}", hash.digest() as u32);
        let parts: Vec<String> = [rows, elements].into_iter().chain(pace).chain([hyperparameters]).collect();
        parts.join(", ")
    }
}
