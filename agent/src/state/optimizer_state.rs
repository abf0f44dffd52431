//! What optimizers keep for their parameters: moments, step counts, momentum buffers.

use super::hyperparameters::each_group;
use super::known::{Key, Known, Name, Reader, When};
use super::point::Point;
use super::{objects, variable_names, variables};
use crate::base::hash::FastMap;
use crate::interpreter::api::Object;
use traincheck_schema::record::VariableKind;

/// How a parameter is called in the names of what is kept for it.
enum Owner {
    /// A variable of a module.
    Variable(u32),
    /// The place in the groups.
    Place(u32, isize),
}

/// Looks at all that the optimizer keeps. `parameters`: the variables of the parameters, by address.
///
/// # Safety
/// The optimizer lives; the GIL is held and no exception is set.
pub unsafe fn look(
    reader: &Reader<'_>,
    known: &mut Known,
    point: &Point,
    (optimizer, id): (Object, u32),
    parameters: &FastMap<usize, u32>,
) {
    let python = reader.python;
    // SAFETY: the caller's word; no Python code runs meanwhile. Tensors as keys are compared by address only: the
    // dict is walked, not searched.
    unsafe {
        let state = python.instance_attribute(optimizer, c"state");
        if !python.is_dict(state) {
            return;
        }
        let mut places = FastMap::default();
        each_group(python, optimizer, |group, dict| {
            let list = (python.dict_get_string)(dict, c"params".as_ptr());
            if python.is_list(list) {
                for index in 0..(python.list_size)(list) {
                    places.insert((python.list_get)(list, index) as usize, (group, index));
                }
            }
        });
        variables::each_entry(python, state, |parameter, inner| {
            let owner = match (parameters.get(&(parameter as usize)), places.get(&(parameter as usize))) {
                (Some(variable), _) => Owner::Variable(*variable),
                (None, Some((group, index))) => Owner::Place(*group, *index),
                (None, None) => return,
            };
            let key = Key::of(VariableKind::OptimizerState, id);
            let key = match owner {
                Owner::Variable(variable) => key.with(u64::from(variable)),
                Owner::Place(group, index) => key.with(u64::from(group)).with(index as u64),
            };
            variables::each_entry(python, inner, |entry, value| {
                let part = python.text(entry);
                if part.is_empty() {
                    return;
                }
                let text = || {
                    let optimizer = objects::name(id);
                    match owner {
                        Owner::Variable(variable) => {
                            format!("{optimizer}.state[{}].{part}", variable_names::name(variable))
                        }
                        Owner::Place(group, index) => {
                            format!("{optimizer}.state[param_groups[{group}].params[{index}]].{part}")
                        }
                    }
                };
                let name = Name { kind: VariableKind::OptimizerState, owner: id, text: &text };
                let key = key.named(part);
                if reader.is_tensor(value) {
                    reader.say_tensor(known, point, key, &name, value);
                } else {
                    reader.say(known, point, key, &name, value, When::Always);
                }
            });
        });
    }
}
