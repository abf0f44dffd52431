//! Who holds which parameter: optimizers, and the modules that reach it.

use super::hyperparameters::each_group;
use super::variables::Said;
use super::{objects, variable_names};
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::sink;
use traincheck_schema::record::VariableKind;

/// As last seen.
#[derive(Default)]
pub struct Ownership {
    /// Addresses of what the optimizers hold, in order: optimizer id, group, parameter.
    held: Vec<(u32, u32, usize)>,
    /// Text id of the holders' ids, by address of the parameter.
    holders: FastMap<usize, u32>,
    /// Optimizers that have stepped: the models they train have run.
    stepped: Vec<u32>,
    /// One has stepped for the first time since it was asked what the roots reach.
    moved: bool,
    /// Addresses that the roots reach.
    reached: Vec<usize>,
    /// What optimizers hold and no root reaches.
    pub unreached: Vec<Unreached>,
    /// Variable ids of unreached parameters, by optimizer, group and position.
    ids: FastMap<u64, u32>,
}

/// Where in a key of [`Ownership::ids`] the optimizer begins.
const OPTIMIZER_SHIFT: u32 = 40;

/// A parameter that an optimizer holds and no root reaches.
#[derive(Clone, Copy)]
pub struct Unreached {
    /// The tensor.
    pub value: Object,
    /// Dictionary id.
    pub variable: u32,
    /// The optimizer.
    pub owner: u32,
    /// See there.
    pub said: Said,
}

impl Ownership {
    /// Brings up to date who holds which parameter; true if that changed.
    ///
    /// # Safety
    /// The optimizers live; the GIL is held and no exception is set.
    pub unsafe fn find_holders(&mut self, python: &Python, optimizers: &[(Object, u32)]) -> bool {
        let mut held = Vec::with_capacity(self.held.len());
        // SAFETY: the caller's word.
        unsafe {
            for (optimizer, id) in optimizers {
                each_group(python, *optimizer, |group, dict| {
                    let list = (python.dict_get_string)(dict, c"params".as_ptr());
                    if python.is_list(list) {
                        for index in 0..(python.list_size)(list) {
                            held.push((*id, group, (python.list_get)(list, index) as usize));
                        }
                    }
                });
            }
        }
        if held == self.held {
            return false;
        }
        let mut holders: FastMap<usize, Vec<u32>> = FastMap::default();
        for (id, _, parameter) in &held {
            let ids = holders.entry(*parameter).or_default();
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        self.holders = holders
            .into_iter()
            .map(|(parameter, mut ids)| {
                ids.sort_unstable();
                let text = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
                (parameter, sink::text(&text))
            })
            .collect();
        self.held = held;
        // What does not live is not asked for again.
        let lives = |optimizer: u32| optimizers.iter().any(|(_, live)| *live == optimizer);
        self.stepped.retain(|optimizer| lives(*optimizer));
        self.ids.retain(|key, variable| {
            let keep = lives((key >> OPTIMIZER_SHIFT) as u32);
            if !keep {
                // SAFETY: the caller's word.
                unsafe { variable_names::forget(std::iter::once(&*variable)) };
            }
            keep
        });
        true
    }

    /// Remembers that an optimizer stepped; true the first time.
    pub fn stepped(&mut self, optimizer: u32) -> bool {
        let first = !self.stepped.contains(&optimizer);
        if first {
            self.stepped.push(optimizer);
            self.moved = true;
        }
        first
    }

    /// Text id of the ids of those that hold a parameter.
    pub fn holders_of(&self, parameter: Object) -> u32 {
        self.holders.get(&(parameter as usize)).copied().unwrap_or_else(|| sink::text(""))
    }

    /// What the roots reach now. `moved`: who holds what has changed.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn found(&mut self, reached: Vec<usize>, moved: bool) {
        if std::mem::take(&mut self.moved) || moved || reached != self.reached {
            self.reached = reached;
            // SAFETY: the caller's word.
            unsafe { self.find_unreached() };
        }
    }

    /// A list to fill with what the roots reach.
    pub fn to_find(&self) -> Vec<usize> {
        Vec::with_capacity(self.reached.len())
    }

    /// What optimizers hold that have stepped, and no root reaches.
    unsafe fn find_unreached(&mut self) {
        let reached: FastMap<usize, ()> = self.reached.iter().map(|address| (*address, ())).collect();
        let old: FastMap<u32, Said> =
            self.unreached.iter().map(|unreached| (unreached.variable, unreached.said)).collect();
        self.unreached.clear();
        let mut position = 0;
        let mut last = (0, 0);
        for (optimizer, group, parameter) in &self.held {
            position = if last == (*optimizer, *group) { position + 1 } else { 0 };
            last = (*optimizer, *group);
            if reached.contains_key(parameter) || !self.stepped.contains(optimizer) {
                continue;
            }
            let key = (u64::from(*optimizer) << OPTIMIZER_SHIFT) ^ (u64::from(*group) << 24) ^ position;
            let variable = *self.ids.entry(key).or_insert_with(|| {
                // SAFETY: `found`'s contract: the GIL is held.
                unsafe {
                    let name = objects::name(*optimizer);
                    let text = format!("{name}.param_groups[{group}].params[{position}]");
                    variable_names::define(text, VariableKind::Unreached, *optimizer)
                }
            });
            self.unreached.push(Unreached {
                value: *parameter as Object,
                variable,
                owner: *optimizer,
                said: old.get(&variable).copied().unwrap_or_default(),
            });
        }
    }
}
