//! Variables of all ranks, matched by their names.

use rustc_hash::FxHashMap;
use traincheck_schema::record::VariableKind;

use crate::relation::together::Rank;
use crate::scene::variables::{VarId, Variable};

/// Those of some kinds, in the order in which they were first met.
#[derive(Debug, Default)]
pub struct ByName {
    known: FxHashMap<(String, VariableKind), usize>,
    all: Vec<Shared>,
    /// How many variables of each rank were gone through.
    gone_through: Vec<usize>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: VariableKind,
    /// Its number on each rank; `None`: the rank has none such.
    pub ids: Vec<Option<VarId>>,
}

impl ByName {
    /// Takes in the variables of these kinds that have come since it was last asked to.
    pub fn go_through(&mut self, ranks: &[Rank<'_>], wanted: fn(VariableKind) -> bool) {
        self.gone_through.resize(ranks.len(), 0);
        for (at, rank) in ranks.iter().enumerate() {
            let variables = rank.scene.variables.iter();
            let known = std::mem::replace(&mut self.gone_through[at], variables.len());
            for (id, Variable { name, kind, .. }) in variables.skip(known).filter(|(_, one)| wanted(one.kind))
            {
                let number = *self.known.entry((name.clone(), *kind)).or_insert_with(|| {
                    self.all.push(Shared { name: name.clone(), kind: *kind, ids: vec![None; ranks.len()] });
                    self.all.len() - 1
                });
                self.all[number].ids[at] = Some(id);
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Shared] {
        &self.all
    }
}

impl Shared {
    /// It on the rank number `at` of `ranks`.
    pub fn on<'a>(&self, ranks: &[Rank<'a>], at: usize) -> Option<&'a Variable> {
        self.ids[at].map(|id| ranks[at].scene.variables.get(id))
    }
}
