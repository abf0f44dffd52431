//! The dictionary of a process, resolved once per id.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{DictEntry, DictKind, ObjectKind, Role, VariableKind};

use crate::call::{Call, CallId};
use crate::interner::Interner;
use crate::source::Source;

/// A function as it is called on one object.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it does.
    pub role: Role,
    /// Without the object.
    pub plain: CallId,
    /// With it, where that matters.
    pub specific: Option<CallId>,
}

/// An optimizer, scheduler, loader, scaler or module.
#[derive(Clone, Debug)]
pub struct Object {
    /// `AdamW#2`.
    pub name: String,
    /// Full class name.
    pub class: String,
    /// What it is.
    pub kind: ObjectKind,
    /// The root module it belongs to: itself for a root.
    pub root: u32,
}

/// What ids stand for, looked up once.
#[derive(Debug, Default)]
pub struct Resolved {
    targets: FxHashMap<u64, Target>,
    objects: FxHashMap<u32, Option<Object>>,
}

impl Resolved {
    /// The function `name` called on `object`; both dictionary ids.
    pub fn target(
        &mut self,
        name: u32,
        object: u32,
        source: &dyn Source,
        calls: &mut Interner<Call>,
    ) -> Target {
        let key = u64::from(name) << 32 | u64::from(object);
        if let Some(target) = self.targets.get(&key) {
            return *target;
        }
        let entry = source.entry(name).filter(|entry| entry.kind == DictKind::Function as u8);
        let role = entry.and_then(|entry| Role::try_from(entry.detail).ok()).unwrap_or_default();
        let function = entry.map_or_else(|| format!("function {name}"), |entry| entry.text.clone());
        let mut call = Call { function, role, object: None };
        let plain = calls.intern(&call);
        call.object = self
            .object(object, source)
            .filter(|object| {
                matches!(object.kind, ObjectKind::Optimizer | ObjectKind::Scheduler | ObjectKind::Scaler)
            })
            .map(|object| object.name.clone());
        let specific = call.object.is_some().then(|| calls.intern(&call));
        let target = Target { role, plain, specific };
        self.targets.insert(key, target);
        target
    }

    /// The object with this dictionary id.
    pub fn object(&mut self, id: u32, source: &dyn Source) -> Option<&Object> {
        self.objects.entry(id).or_insert_with(|| object(id, source)).as_ref()
    }

    /// The same, if it was looked up before.
    pub fn known_object(&self, id: u32) -> Option<&Object> {
        self.objects.get(&id)?.as_ref()
    }
}

fn object(id: u32, source: &dyn Source) -> Option<Object> {
    let entry = source.entry(id).filter(|entry| entry.kind == DictKind::Object as u8)?;
    let class = if entry.type_name.is_empty() { &entry.text } else { &entry.type_name };
    Some(Object {
        name: entry.text.clone(),
        class: class.clone(),
        kind: ObjectKind::try_from(entry.detail).ok()?,
        root: if entry.owner == 0 { id } else { entry.owner },
    })
}

/// So many entries behind that of a root its modules are looked for.
const MOST_BEHIND_A_ROOT: usize = 1 << 14;

/// The modules below a root. They are defined behind it, when it is first seen.
pub fn modules_below(root: u32, source: &dyn Source) -> impl Iterator<Item = &DictEntry> {
    let behind = (root + 1..).map_while(|id| source.entry(id)).take(MOST_BEHIND_A_ROOT);
    let is_module = move |entry: &&DictEntry| {
        (entry.kind, entry.detail, entry.owner) == (DictKind::Object as u8, ObjectKind::Module as u16, root)
    };
    behind.filter(is_module)
}

/// Name and kind of a variable, and the object whose it is.
pub fn variable(id: u32, source: &dyn Source) -> Option<(String, VariableKind, u32)> {
    let entry = source.entry(id).filter(|entry| entry.kind == DictKind::Variable as u8)?;
    Some((entry.text.clone(), VariableKind::try_from(entry.detail).ok()?, entry.owner))
}
