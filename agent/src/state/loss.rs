//! What a backward pass begins at: a number that everybody watches, and that says most when it is no number any more.

use super::known::{Key, Name, Reader, When, with};
use super::point::Point;
use super::value::Value;
use crate::base::gil::Gil;
use crate::interpreter::api::{Object, Python};
use traincheck_schema::record::{Event, VariableKind};

/// More places that call backward than any script has; what comes from beyond is not looked at.
const MAX_SITES: usize = 64;
/// Roots of one backward that are looked at.
const MAX_ROOTS: isize = 8;

/// Places that called backward, in the order in which they first did: the second one's is `loss#2`, in every iteration.
static SITES: Gil<Vec<u32>> = Gil::new(Vec::new());

/// Looks at the first argument of the outermost backward `call`, at its entry: the root, or several.
///
/// # Safety
/// A live object or null; the GIL is held and no exception is set.
pub unsafe fn look(python: &Python, call: &Event, root: Object) {
    // SAFETY: the caller's word; no Python code runs.
    unsafe {
        let Some(reader) = Reader::new(python) else { return };
        if root.is_null() {
            return;
        }
        let site = SITES.with(|sites| {
            let known = sites.iter().position(|site| *site == call.site);
            known.or_else(|| {
                let next = sites.len();
                (next < MAX_SITES).then(|| sites.push(call.site)).map(|()| next)
            })
        });
        let Some(site) = site else { return };
        let point = Point::now(call);
        let key = Key::of(VariableKind::Loss, 0).with(site as u64);
        let say = |key: Key, root: Object, position: Option<isize>| {
            let text = || {
                let number = if site > 0 { format!("#{}", site + 1) } else { String::new() };
                let position = position.map_or_else(String::new, |position| format!("[{position}]"));
                format!("loss{number}{position}")
            };
            let name = Name { kind: VariableKind::Loss, owner: 0, text: &text };
            let value = as_float(reader.with_tensor(root, Value::of_tensor).flatten());
            with(|known| known.value(&point, key, &name, value, When::Always));
        };
        if reader.is_tensor(root) {
            say(key, root, None);
        } else if let Some(roots) = python.elements(root, MAX_ROOTS) {
            for (index, one) in roots {
                if reader.is_tensor(one) {
                    say(key.with(index as u64), one, Some(index));
                }
            }
        }
    }
}

/// Only floating-point tensors have gradients.
fn as_float(value: Option<Value<'_>>) -> Value<'_> {
    match value {
        Some(Value::Float(float)) => Value::Float(float),
        _ => Value::Unreadable,
    }
}
