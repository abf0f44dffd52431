//! The norm of gradients, as one look finds them. What has two names has one gradient.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::ValueKind;

use crate::scene::Scene;
use crate::scene::variables::{Digest, VarId};

/// Sums of squares.
#[derive(Default)]
pub struct Norm {
    all: f64,
    /// Of what each optimizer (dictionary id) holds.
    held: FxHashMap<u32, f64>,
    /// The gradients so far, each with the storage of its parameter.
    summed: FxHashSet<(i64, (u64, u64), u64)>,
    /// Some are no numbers.
    unknown: bool,
}

impl Norm {
    /// Another look begins.
    pub fn begin(&mut self) {
        (self.all, self.unknown) = (0.0, false);
        self.held.clear();
        self.summed.clear();
    }

    /// It finds the gradient of a parameter.
    pub fn add(&mut self, id: VarId, now: &Digest, scene: &Scene) {
        let variable = scene.variables.get(id);
        let gradient = (variable.storage, now.hash, now.elements);
        if now.kind == ValueKind::None || variable.storage != 0 && !self.summed.insert(gradient) {
            return;
        }
        self.unknown |= now.kind != ValueKind::Tensor || now.non_finite > 0;
        let square = f64::from(now.l2) * f64::from(now.l2);
        self.all += square;
        for &holder in variable.held_by.iter().flatten() {
            *self.held.entry(holder).or_default() += square;
        }
    }

    /// Of all gradients; `None`: some are no numbers.
    pub fn all(&self) -> Option<f64> {
        (!self.unknown).then(|| self.all.sqrt())
    }

    /// Of those that each optimizer (dictionary id) holds, in order; none where some are no numbers.
    pub fn by_holder(&self) -> Vec<(u32, f64)> {
        let held = self.held.iter().filter(|_| !self.unknown);
        let mut norms: Vec<(u32, f64)> = held.map(|(&holder, square)| (holder, square.sqrt())).collect();
        norms.sort_unstable_by_key(|(holder, _)| *holder);
        norms
    }

    /// Of those that an optimizer holds, if there are any.
    pub fn held_by(&self, optimizer: u32) -> Option<f64> {
        self.held.get(&optimizer).filter(|_| !self.unknown).map(|square| square.sqrt())
    }
}
