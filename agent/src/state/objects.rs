//! Objects that are followed by identity: optimizers, schedulers, loaders, scalers.
//!
//! They are held by weak references, so that nothing lives longer than it would without the agent, and an address
//! that is used again is not mistaken for the object that was there.

use super::position;
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names;
use crate::sink;
use std::collections::HashMap;
use traincheck_schema::record::{DictEntry, DictKind, Event, EventKind, ObjectKind};

/// An object that was constructed.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// A weak reference (the reference object itself is the agent's).
    weak: Object,
    /// Dictionary id.
    pub id: u32,
    /// What it is.
    pub kind: ObjectKind,
}

#[derive(Default)]
struct Objects {
    by_address: FastMap<usize, Tracked>,
    /// In order of construction: addresses of optimizers.
    optimizers: Vec<usize>,
    /// Iterators of loaders, by address, with the loader's id.
    iterators: FastMap<usize, (Object, u32)>,
    /// How many of each class name there were.
    counts: HashMap<String, u32>,
    /// By id, of the objects that are followed.
    names: FastMap<u32, String>,
    /// With this many objects it is time to drop those that are gone.
    crowded_at: usize,
}

/// A program can construct any number of objects and throw them away: with so many it is time to look who is gone.
const CROWDED: usize = 64;
/// More names of classes than any script has; objects of those beyond are not numbered.
const MAX_CLASS_NAMES: usize = 1 << 14;

static OBJECTS: Gil<Option<Objects>> = Gil::new(None);

unsafe fn with<R: Default>(use_it: impl FnOnce(&mut Objects) -> R) -> R {
    // SAFETY: the callers hold the GIL, and what they do in here runs no Python code.
    unsafe { OBJECTS.with(|objects| use_it(objects.get_or_insert_with(Objects::default))) }
}

/// A name for one more object of a class: the class's own, with `#2`, `#3` for the following ones; and its id.
///
/// # Safety
/// A live type; the GIL is held.
pub unsafe fn define(python: &Python, class: Object, kind: ObjectKind) -> (u32, String) {
    // SAFETY: the caller's word.
    unsafe {
        let type_name = names::type_name(python, class);
        let short = type_name.rsplit('.').next().unwrap_or(type_name);
        let count = with(|objects| {
            if objects.counts.len() >= MAX_CLASS_NAMES && !objects.counts.contains_key(short) {
                return 1;
            }
            let count = objects.counts.entry(short.to_owned()).or_insert(0);
            *count += 1;
            *count
        });
        let text = if count <= 1 { short.to_owned() } else { format!("{short}#{count}") };
        let id = sink::define(DictEntry {
            kind: DictKind::Object as u8,
            detail: kind as u16,
            text: text.clone(),
            type_name: type_name.to_owned(),
            ..DictEntry::default()
        });
        (id, text)
    }
}

/// The name of an object, by its id.
///
/// # Safety
/// The GIL is held.
pub unsafe fn name(id: u32) -> String {
    // SAFETY: the caller's word.
    unsafe { with(|objects| objects.names.get(&id).cloned().unwrap_or_default()) }
}

/// Whether the weak reference still leads to `object`.
///
/// # Safety
/// `weak` is a weak reference object; the GIL is held.
pub unsafe fn is_alive(python: &Python, weak: Object, object: usize) -> bool {
    // SAFETY: the caller's word.
    unsafe { (python.weakref_get)(weak) as usize == object }
}

/// A weak reference to `object`, or null where its type has none.
///
/// # Safety
/// A live object; the GIL is held.
pub unsafe fn weak_reference(python: &Python, object: Object) -> Object {
    // SAFETY: the caller's word.
    unsafe {
        let weak = (python.weakref_new)(object, std::ptr::null_mut());
        if weak.is_null() {
            (python.error_clear)();
        }
        weak
    }
}

/// The id of an object that was constructed before; 0 if it is not known.
///
/// # Safety
/// A live object or null; the GIL is held.
pub unsafe fn id_of(python: &Python, object: Object) -> u32 {
    // SAFETY: the caller's word.
    unsafe {
        match with(|objects| objects.by_address.get(&(object as usize)).copied()) {
            Some(tracked) if is_alive(python, tracked.weak, object as usize) => tracked.id,
            _ => 0,
        }
    }
}

/// Follows an object whose construction has ended in the call `enclosing`, and says so in the trace. One that is known already is left.
///
/// # Safety
/// A live object; the GIL is held.
pub unsafe fn constructed(python: &Python, object: Object, kind: ObjectKind, enclosing: u64) {
    // SAFETY: the caller's word.
    unsafe {
        if object.is_null() || id_of(python, object) != 0 {
            return;
        }
        let weak = weak_reference(python, object);
        if weak.is_null() {
            return;
        }
        if matches!(kind, ObjectKind::Scheduler | ObjectKind::Scaler) {
            // Their attributes are looked at by walking over the dict, which objects get when somebody asks for it.
            let dict = (python.generic_get_dict)(object, std::ptr::null_mut());
            if dict.is_null() {
                (python.error_clear)();
            } else {
                (python.dec_ref)(dict);
            }
        }
        drop_gone(python);
        let (id, name) = define(python, python.type_of(object), kind);
        let old = with(|objects| {
            objects.names.insert(id, name);
            if kind == ObjectKind::Optimizer {
                objects.optimizers.retain(|address| *address != object as usize);
                objects.optimizers.push(object as usize);
            }
            objects.by_address.insert(object as usize, Tracked { weak, id, kind })
        });
        if let Some(old) = old {
            with(|objects| objects.names.remove(&old.id));
            (python.dec_ref)(old.weak);
        }
        let optimizer = if kind == ObjectKind::Scheduler {
            let key = (python.unicode_intern)(c"optimizer".as_ptr());
            let held = python.instance_get(object, key);
            (python.dec_ref)(key);
            id_of(python, held)
        } else {
            0
        };
        say_created(id, u64::from(optimizer), enclosing);
    }
}

/// Forgets the objects that are gone, now and then.
unsafe fn drop_gone(python: &Python) {
    // SAFETY: `constructed`'s contract. Giving back a weak reference runs no Python code.
    unsafe {
        let gone: Vec<Tracked> = with(|objects| {
            if objects.by_address.len() < objects.crowded_at.max(CROWDED) {
                return Vec::new();
            }
            let mut gone = Vec::new();
            objects.by_address.retain(|address, tracked| {
                let alive = is_alive(python, tracked.weak, *address);
                if !alive {
                    gone.push(*tracked);
                }
                alive
            });
            // A loop over a loader that nobody else holds goes on without it, under its name.
            for tracked in gone.iter().filter(|tracked| tracked.kind != ObjectKind::Loader) {
                objects.names.remove(&tracked.id);
            }
            objects.crowded_at = 2 * objects.by_address.len();
            gone
        });
        for tracked in gone {
            (python.dec_ref)(tracked.weak);
        }
    }
}

/// Says that an object was constructed, in the call `enclosing`.
pub fn say_created(object: u32, value: u64, enclosing: u64) {
    sink::emit(&Event {
        call: enclosing,
        parent: enclosing,
        object,
        value,
        ..position::event(EventKind::Created)
    });
}

/// The optimizers that live, in order of construction: address and id.
///
/// # Safety
/// The GIL is held.
pub unsafe fn optimizers(python: &Python) -> Vec<(Object, u32)> {
    // SAFETY: the caller's word. `is_alive` only reads a weak reference.
    unsafe {
        with(|objects| {
            let by_address = &objects.by_address;
            objects.optimizers.retain(|address| {
                by_address.get(address).is_some_and(|tracked| is_alive(python, tracked.weak, *address))
            });
            objects
                .optimizers
                .iter()
                .filter_map(|address| Some((*address as Object, by_address.get(address)?.id)))
                .collect()
        })
    }
}

/// Remembers that `iterator` passes over the loader `loader`.
///
/// # Safety
/// A live object; the GIL is held.
pub unsafe fn loader_passes(python: &Python, iterator: Object, loader: u32) {
    // SAFETY: the caller's word.
    unsafe {
        let weak = weak_reference(python, iterator);
        if weak.is_null() {
            return;
        }
        if let Some((old, _)) = with(|objects| objects.iterators.insert(iterator as usize, (weak, loader))) {
            (python.dec_ref)(old);
        }
        // Iterators come and go; the ones that went are of no use.
        let gone: Vec<usize> = with(|objects| {
            let all = objects.iterators.iter();
            all.filter(|(address, (weak, _))| !is_alive(python, *weak, **address))
                .map(|(address, _)| *address)
                .collect()
        });
        for address in gone {
            if let Some((weak, _)) = with(|objects| objects.iterators.remove(&address)) {
                (python.dec_ref)(weak);
            }
        }
    }
}

/// The id of the loader that `iterator` passes over; 0 if it is not known.
///
/// # Safety
/// The GIL is held.
pub unsafe fn loader_of(iterator: Object) -> u32 {
    // SAFETY: the caller's word.
    unsafe { with(|objects| objects.iterators.get(&(iterator as usize)).map_or(0, |(_, loader)| *loader)) }
}
