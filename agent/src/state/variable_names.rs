//! What variables are called.

use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::sink;
use traincheck_schema::record::{DictEntry, DictKind, VariableKind};

/// Names of parameters, by variable id: other variables are called after them.
static NAMES: Gil<Option<FastMap<u32, String>>> = Gil::new(None);

/// Variables say who they are.
///
/// # Safety
/// The GIL is held.
pub unsafe fn define(text: String, kind: VariableKind, owner: u32) -> u32 {
    let is_parameter = matches!(kind, VariableKind::Parameter | VariableKind::Unreached);
    let name = is_parameter.then(|| text.clone());
    let id = sink::define(DictEntry {
        kind: DictKind::Variable as u8,
        detail: kind as u16,
        owner,
        text,
        ..DictEntry::default()
    });
    if let Some(name) = name {
        // SAFETY: the caller's word.
        unsafe { NAMES.with(|names| names.get_or_insert_with(FastMap::default).insert(id, name)) };
    }
    id
}

/// The name of a parameter, by its variable id.
///
/// # Safety
/// The GIL is held.
pub unsafe fn name(variable: u32) -> String {
    // SAFETY: the caller's word.
    unsafe {
        NAMES.with(|names| names.as_ref().and_then(|names| names.get(&variable).cloned()).unwrap_or_default())
    }
}

/// Forgets the names of parameters that are gone. What was called after them has its name.
///
/// # Safety
/// The GIL is held.
pub unsafe fn forget<'a>(variables: impl Iterator<Item = &'a u32>) {
    // SAFETY: the caller's word.
    unsafe {
        NAMES.with(|names| {
            let Some(names) = names else { return };
            for variable in variables {
                names.remove(variable);
            }
        });
    }
}
