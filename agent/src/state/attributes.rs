//! The numbers, flags and texts that an object has as attributes: schedulers, gradient scalers, parameters.

use super::known::{Key, Known, Name, Reader, When};
use super::point::Point;
use super::{objects, variable_names, variables};
use crate::interpreter::api::Object;
use traincheck_schema::record::VariableKind;

/// Says what the attributes of a scheduler or scaler are, where they changed or `when` says always.
///
/// # Safety
/// `object` lives, `id` is its id; the GIL is held and no exception is set.
pub unsafe fn look_at_object(
    reader: &Reader<'_>,
    known: &mut Known,
    point: &Point,
    (object, id): (Object, u32),
    kind: VariableKind,
    when: When,
) {
    let python = reader.python;
    // SAFETY: the caller's word; no Python code runs meanwhile.
    unsafe {
        let key = Key::of(kind, id);
        each_attribute(reader, object, |entry, value| {
            let attribute = python.text(entry);
            if attribute.is_empty() {
                return;
            }
            let text = || format!("{}.{attribute}", objects::name(id));
            let name = Name { kind, owner: id, text: &text };
            reader.say(known, point, key.named(attribute), &name, value, when);
        });
    }
}

/// Says which attributes somebody has set on a parameter, where they are new or changed.
///
/// # Safety
/// `parameter` lives and is the variable `variable` of the root or optimizer `owner`; the GIL is held and no exception
/// is set.
pub unsafe fn look_at_parameter(
    reader: &Reader<'_>,
    known: &mut Known,
    point: &Point,
    parameter: Object,
    variable: u32,
    owner: u32,
) {
    let python = reader.python;
    // SAFETY: the caller's word; no Python code runs meanwhile.
    unsafe {
        each_attribute(reader, parameter, |entry, value| {
            let attribute = python.text(entry);
            if attribute.is_empty() || attribute.starts_with('_') || reader.is_tensor(value) {
                return;
            }
            let text = || format!("{}.{attribute}", variable_names::name(variable));
            let name = Name { kind: VariableKind::ParameterAttribute, owner, text: &text };
            let key = Key::of(VariableKind::ParameterAttribute, variable).named(attribute);
            reader.say(known, point, key, &name, value, When::Changed);
        });
    }
}

/// Calls `each` with the entries of an object's instance dict.
unsafe fn each_attribute(reader: &Reader<'_>, object: Object, each: impl FnMut(Object, Object)) {
    let python = reader.python;
    // SAFETY: the callers'. The dict stays alive through its object.
    unsafe { variables::each_entry(python, python.instance_dict(object), each) };
}
