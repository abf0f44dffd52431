//! The settings of the parameter groups of optimizers: `lr`, `weight_decay`, `betas[0]`, ...

use super::known::{Key, Known, Name, Reader, When};
use super::point::Point;
use super::{objects, variables};
use crate::interpreter::api::{Object, Python};
use traincheck_schema::record::VariableKind;

/// Says what changed in the groups of these optimizers.
///
/// # Safety
/// The optimizers live; the GIL is held and no exception is set.
pub unsafe fn look(reader: &Reader<'_>, known: &mut Known, point: &Point, optimizers: &[(Object, u32)]) {
    let python = reader.python;
    // SAFETY: the caller's word; no Python code runs meanwhile.
    unsafe {
        for (optimizer, id) in optimizers {
            let key = Key::of(VariableKind::Hyperparameter, *id);
            each_group(python, *optimizer, |group, dict| {
                let key = key.with(u64::from(group));
                variables::each_entry(python, dict, |entry, value| {
                    let setting = python.text(entry);
                    if setting.is_empty() || setting == "params" {
                        return;
                    }
                    let text = || format!("{}.param_groups[{group}].{setting}", objects::name(*id));
                    let name = Name { kind: VariableKind::Hyperparameter, owner: *id, text: &text };
                    reader.say(known, point, key.named(setting), &name, value, When::Changed);
                });
            });
        }
    }
}

/// Calls `each` with the number and the dict of every parameter group of an optimizer.
///
/// # Safety
/// A live optimizer; the GIL is held; `each` runs no Python code.
pub unsafe fn each_group(python: &Python, optimizer: Object, mut each: impl FnMut(u32, Object)) {
    // SAFETY: the caller's word.
    unsafe {
        let groups = python.instance_attribute(optimizer, c"param_groups");
        if python.is_list(groups) {
            for index in 0..(python.list_size)(groups) {
                let dict = (python.list_get)(groups, index);
                if python.is_dict(dict) {
                    each(index as u32, dict);
                }
            }
        }
    }
}
