//! The variables of a job: parameters and buffers of root modules, found by walking from the module itself.
//!
//! A root is a module that is called with no other module call around it, or whose mode is changed, or that loads a
//! state, clears its gradients or follows another as an average, and that no known root reaches. Roots are held weakly
//! and walked anew at every look, so parameters that are replaced or made late are seen, and no tensor lives longer
//! than it would without the agent. (Weak references to
//! tensors are no way: `torch.utils.swap_tensors` refuses tensors that have one.) What a walk costs is a few dict
//! look-ups a module; names are only built where a walk finds something else than the last one did.

use super::{objects, variable_names};
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names;
use crate::sink;
use std::collections::HashMap;
use traincheck_schema::record::{DictEntry, DictKind, ObjectKind, VariableKind};

/// Wrappers whose level is left out of names, with the attribute that holds the module proper.
const WRAPPERS: &[(&str, &str)] = &[
    ("torch.nn.parallel.distributed.DistributedDataParallel", "module"),
    ("torch.nn.parallel.data_parallel.DataParallel", "module"),
    ("torch._dynamo.eval_frame.OptimizedModule", "_orig_mod"),
    (
        "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.CheckpointWrapper",
        "_checkpoint_wrapped_module",
    ),
];
/// Deeper module trees are cut: PyTorch itself recurses over them in Python.
const MAX_DEPTH: usize = 100;
/// More roots than any job has; beyond, modules are not followed.
const MAX_ROOTS: usize = 64;

/// Interned attribute names.
#[derive(Clone, Copy, Debug)]
struct Keys {
    parameters: Object,
    buffers: Object,
    modules: Object,
    training: Object,
}

/// What was last said of a variable, so that only changes are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// Address of the Python object.
    pub address: usize,
    /// Number of its storage, address of its data, and how many elements it had.
    pub storage: u32,
    /// See `storage`.
    pub elements: usize,
    /// 0: nothing said yet, else 1 + requires_grad.
    pub requires_grad: u8,
    /// Text id.
    pub held_by: Option<u32>,
    /// Time of the last look at its data, ns; 0: never.
    pub data: u64,
    /// The same of its gradient.
    pub gradient: u64,
}

/// A parameter or buffer.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Parameter or buffer.
    pub kind: VariableKind,
    /// Dictionary id.
    pub variable: u32,
    /// See there.
    pub said: Said,
    module: usize,
    key: usize,
}

/// One tensor that a walk met. The pointers are good until Python code runs.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    module: Object,
    key: Object,
    /// The tensor.
    pub value: Object,
    kind: VariableKind,
}

/// A module that nothing contains, and what it reaches.
#[derive(Debug)]
pub struct Root {
    weak: Object,
    address: usize,
    /// Dictionary id of the object.
    pub id: u32,
    name: String,
    /// Its construction was said; roots without variables (losses) are not worth it.
    announced: bool,
    /// Text id of its object id.
    pub reached_from: u32,
    /// Its variables, in the order of the walk.
    pub slots: Vec<Slot>,
    modules: Vec<usize>,
    ids: HashMap<String, u32>,
    /// Variable id of its `training` flag, and what was last said of it.
    pub mode: (u32, Option<bool>),
}

#[derive(Default)]
struct Variables {
    keys: Option<Keys>,
    roots: Vec<Root>,
    /// Object ids by address of the module, with its type, for every module that a root reaches.
    modules: FastMap<usize, (usize, u32)>,
    items: Vec<Item>,
}

static VARIABLES: Gil<Option<Variables>> = Gil::new(None);

unsafe fn with<R: Default>(use_it: impl FnOnce(&mut Variables) -> R) -> R {
    // SAFETY: the callers hold the GIL, and what they do in here runs no Python code: reading dicts and types.
    unsafe { VARIABLES.with(|variables| use_it(variables.get_or_insert_with(Variables::default))) }
}

unsafe fn keys(python: &Python) -> Keys {
    // SAFETY: the callers hold the GIL. The interned strings are kept for good.
    unsafe {
        with(|variables| variables.keys).unwrap_or_else(|| {
            let keys = Keys {
                parameters: (python.unicode_intern)(c"_parameters".as_ptr()),
                buffers: (python.unicode_intern)(c"_buffers".as_ptr()),
                modules: (python.unicode_intern)(c"_modules".as_ptr()),
                training: (python.unicode_intern)(c"training".as_ptr()),
            };
            with(|variables| variables.keys = Some(keys));
            keys
        })
    }
}

/// The `training` flag of a module.
///
/// # Safety
/// A live object or null; the GIL is held.
#[inline]
pub unsafe fn is_training(python: &Python, module: Object) -> bool {
    // SAFETY: the caller's word. The flag is a bool; anything else counts by its truth.
    unsafe {
        if module.is_null() {
            return false;
        }
        training_flag(python, &keys(python), module)
    }
}

unsafe fn training_flag(python: &Python, keys: &Keys, module: Object) -> bool {
    // SAFETY: the callers': a live object, the GIL held.
    unsafe {
        let flag = python.instance_get(module, keys.training);
        if flag.is_null() {
            return false;
        }
        let class = python.type_of(flag);
        // Of anything but a bool or an int, which nobody sets, it would take Python code to tell.
        class != python.bool_type && class != python.long_type || (python.is_true)(flag) == 1
    }
}

/// The object id of a module that a known root reaches, else 0.
///
/// # Safety
/// A live object or null; the GIL is held.
#[inline]
pub unsafe fn module_object(python: &Python, module: Object) -> u32 {
    // SAFETY: the caller's word. The type tells an address that is used again for another kind of object.
    unsafe {
        if module.is_null() {
            return 0;
        }
        let class = python.type_of(module) as usize;
        match with(|variables| variables.modules.get(&(module as usize)).copied()) {
            None => 0,
            Some((of, id)) if of == class => id,
            Some(_) => module_of_another_class(python, module, class),
        }
    }
}

/// The same for an address at which a module of another class was met: either that module is gone, or its class was
/// changed, as lazy modules do with their first call and `fully_shard` does. Then a root still reaches it.
#[cold]
unsafe fn module_of_another_class(python: &Python, module: Object, class: usize) -> u32 {
    // SAFETY: `module_object`'s contract. A root that is alive stays so: no Python code runs.
    unsafe {
        let address = module as usize;
        let is_module = names::classes().is_some_and(|classes| python.is_instance(module, classes.module));
        if is_module {
            drop_dead_roots(python);
            let keys = keys(python);
            with(|variables| {
                let mut roots = std::mem::take(&mut variables.roots);
                if let Some(root) = roots.iter_mut().find(|root| root.modules.contains(&address)) {
                    rebuild(python, &keys, variables, root, root.address as Object);
                }
                variables.roots = roots;
            });
        }
        with(|variables| match variables.modules.get(&address) {
            Some((of, id)) if *of == class => *id,
            _ => {
                variables.modules.remove(&address);
                0
            }
        })
    }
}

/// Whether the module is a root.
///
/// # Safety
/// The GIL is held.
pub unsafe fn is_root(module: Object) -> bool {
    // SAFETY: the caller's word.
    unsafe { with(|variables| variables.roots.iter().any(|root| root.address == module as usize)) }
}

/// Whether a root reaches the module `one` (an object id) and one of `others`.
///
/// # Safety
/// The GIL is held.
pub unsafe fn share_root(others: &[u32], one: u32) -> bool {
    // SAFETY: the caller's word.
    unsafe {
        with(|variables| {
            variables.roots.iter().any(|root| {
                let reaches = |id: u32| root.id == id || root.ids.values().any(|below| *below == id);
                reaches(one) && others.iter().any(|other| reaches(*other))
            })
        })
    }
}

/// Whether the module is a root with parameters, or lies below one. A loss with weights for its classes has buffers:
/// it is called in evaluation as well, in training mode for good.
///
/// # Safety
/// The GIL is held.
pub unsafe fn has_parameters(module: Object) -> bool {
    // SAFETY: the caller's word.
    unsafe {
        with(|variables| {
            let address = module as usize;
            match variables.roots.iter().find(|root| root.address == address) {
                Some(root) => root.slots.iter().any(|slot| slot.kind == VariableKind::Parameter),
                None => variables.modules.contains_key(&address),
            }
        })
    }
}

/// Makes `module` a root if no root reaches it. Roots that it reaches are none any more.
///
/// # Safety
/// A live object or null; the GIL is held; no exception is set.
pub unsafe fn add_root(python: &Python, module: Object) {
    // SAFETY: the caller's word.
    unsafe {
        let Some(classes) = names::classes() else { return };
        let keys = keys(python);
        if module_object(python, module) != 0 {
            // Known by address; gone and replaced by another at the same place?
            let replaced = with(|variables| {
                variables.roots.iter().find(|root| root.address == module as usize).map(|root| root.weak)
            });
            if replaced.is_none_or(|weak| objects::is_alive(python, weak, module as usize)) {
                return;
            }
        }
        if !python.is_instance(module, classes.module) {
            return;
        }
        drop_dead_roots(python);
        if with(|variables| variables.roots.len()) >= MAX_ROOTS {
            return;
        }
        let weak = objects::weak_reference(python, module);
        if weak.is_null() {
            return;
        }
        let proper = proper(python, module);
        let mut root = match take_root(proper) {
            // It was known before it was wrapped, and goes on under its name.
            Some(known) => {
                (python.dec_ref)(known.weak);
                Root { weak, address: module as usize, ..known }
            }
            None => {
                let (id, name) = objects::define(python, python.type_of(proper), ObjectKind::Module);
                let mode = variable_names::define(format!("{name}.training"), VariableKind::Mode, id);
                Root {
                    weak,
                    address: module as usize,
                    id,
                    name,
                    announced: false,
                    reached_from: sink::text(&id.to_string()),
                    slots: Vec::new(),
                    modules: Vec::new(),
                    ids: HashMap::new(),
                    mode: (mode, None),
                }
            }
        };
        with(|variables| {
            rebuild(python, &keys, variables, &mut root, module);
            let reached = &root.modules;
            let (contained, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut variables.roots)
                .into_iter()
                .partition(|other| reached.contains(&other.address));
            for other in contained {
                (python.dec_ref)(other.weak);
            }
            variables.roots = kept;
            variables.roots.push(root);
        });
    }
}

/// Takes the root at an address, which is alive, off the list.
unsafe fn take_root(module: Object) -> Option<Root> {
    // SAFETY: the callers hold the GIL.
    unsafe {
        with(|variables| {
            let at = variables.roots.iter().position(|root| root.address == module as usize)?;
            Some(variables.roots.remove(at))
        })
    }
}

/// The module proper, below wrappers.
unsafe fn proper(python: &Python, module: Object) -> Object {
    // SAFETY: the callers': a live module, the GIL held. What a module's dict holds lives as long as the module.
    unsafe {
        let mut module = module;
        for _ in 0..WRAPPERS.len() {
            let class = python.type_of(module);
            let Some(held) = wrapped_attribute(python, class) else { break };
            let modules = python.instance_get(module, keys(python).modules);
            if !python.is_dict(modules) {
                break;
            }
            let key = std::ffi::CString::new(held).unwrap_or_default();
            let inner = (python.dict_get_string)(modules, key.as_ptr());
            if inner.is_null() {
                break;
            }
            module = inner;
        }
        module
    }
}

unsafe fn wrapped_attribute(python: &Python, class: Object) -> Option<&'static str> {
    // SAFETY: the callers'.
    let name = unsafe { names::type_name(python, class) };
    WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name).map(|(_, attribute)| *attribute)
}

unsafe fn drop_dead_roots(python: &Python) {
    // SAFETY: the callers hold the GIL. Giving back a weak reference runs no Python code.
    unsafe {
        with(|variables| {
            variables.roots.retain(|root| {
                let alive = objects::is_alive(python, root.weak, root.address);
                if !alive {
                    for module in &root.modules {
                        variables.modules.remove(module);
                    }
                    variable_names::forget(root.ids.values());
                    (python.dec_ref)(root.weak);
                }
                alive
            });
        });
    }
}

/// What a walk over a tree of modules meets, in order.
trait Visit {
    fn module(&mut self, name: Object, module: Object);
    fn tensor(&mut self, item: Item);
    fn leave(&mut self);
}

/// Walks a module and what is below it: its parameters, its buffers, its children.
unsafe fn walk(
    python: &Python,
    keys: &Keys,
    name: Object,
    module: Object,
    depth: usize,
    visit: &mut impl Visit,
) {
    // SAFETY: the callers hold the GIL and `module` is a live module. Dicts are read by iteration and by interned
    // keys; nothing changes them meanwhile, because no Python code runs.
    unsafe {
        visit.module(name, module);
        for (key, kind) in [(keys.parameters, VariableKind::Parameter), (keys.buffers, VariableKind::Buffer)]
        {
            each_entry(python, python.instance_get(module, key), |key, value| {
                visit.tensor(Item { module, key, value, kind });
            });
        }
        if depth < MAX_DEPTH {
            let class = names::classes().map_or(std::ptr::null_mut(), |classes| classes.module);
            each_entry(python, python.instance_get(module, keys.modules), |key, child| {
                if python.is_instance(child, class) {
                    walk(python, keys, key, child, depth + 1, visit);
                }
            });
        }
        visit.leave();
    }
}

/// Calls `each` with the parameters that `module` has itself.
///
/// # Safety
/// A live object; the GIL is held; `each` runs no Python code.
pub unsafe fn each_parameter(python: &Python, module: Object, mut each: impl FnMut(Object)) {
    // SAFETY: the caller's word.
    unsafe {
        let parameters = python.instance_get(module, keys(python).parameters);
        each_entry(python, parameters, |_, parameter| each(parameter));
    }
}

/// Calls `each` with the entries of a dict that are not None; with none where it is no dict.
///
/// # Safety
/// A live object or null; the GIL is held; `each` does not change the dict.
pub unsafe fn each_entry(python: &Python, dict: Object, mut each: impl FnMut(Object, Object)) {
    // SAFETY: the caller's word.
    unsafe {
        if !python.is_dict(dict) {
            return;
        }
        let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        while (python.dict_next)(dict, &raw mut position, &raw mut key, &raw mut value) != 0 {
            if value != python.none {
                each(key, value);
            }
        }
    }
}

/// Collects what a walk meets.
struct Collect<'a> {
    items: &'a mut Vec<Item>,
}

impl Visit for Collect<'_> {
    fn module(&mut self, _: Object, _: Object) {}

    fn tensor(&mut self, item: Item) {
        self.items.push(item);
    }

    fn leave(&mut self) {}
}

/// Names what a walk meets.
struct Name<'a> {
    python: &'a Python,
    root: &'a mut Root,
    known: &'a mut FastMap<usize, (usize, u32)>,
    old: FastMap<u32, Said>,
    /// Names of the open levels; `None` for one that is left out.
    path: Vec<Option<String>>,
    /// Of each open level, the attribute whose level is left out.
    wrapped: Vec<Option<&'static str>>,
}

impl Name<'_> {
    fn full(&self, last: Option<&str>) -> String {
        let levels = self.path.iter().filter_map(Option::as_deref);
        levels.chain(last).collect::<Vec<_>>().join(".")
    }
}

impl Visit for Name<'_> {
    fn module(&mut self, name: Object, module: Object) {
        // SAFETY: `walk` calls with live objects and the GIL held.
        unsafe {
            let segment =
                if name.is_null() { self.root.name.clone() } else { self.python.text(name).to_owned() };
            let left_out = self.wrapped.last().copied().flatten() == Some(segment.as_str());
            self.path.push((!left_out).then_some(segment));
            self.wrapped.push(wrapped_attribute(self.python, self.python.type_of(module)));
            let class = self.python.type_of(module);
            let id = if name.is_null() {
                self.root.id
            } else {
                match self.known.get(&(module as usize)) {
                    // A module that is reached by two paths keeps the first name.
                    Some((of, id))
                        if *of == class as usize && self.root.modules.contains(&(module as usize)) =>
                    {
                        *id
                    }
                    _ => sink::define(DictEntry {
                        kind: DictKind::Object as u8,
                        detail: ObjectKind::Module as u16,
                        owner: self.root.id,
                        text: self.full(None),
                        type_name: names::type_name(self.python, class).to_owned(),
                        ..DictEntry::default()
                    }),
                }
            };
            self.known.insert(module as usize, (class as usize, id));
            self.root.modules.push(module as usize);
        }
    }

    fn tensor(&mut self, item: Item) {
        let owner = self.root.id;
        // SAFETY: as above.
        let variable = unsafe {
            let name = self.full(Some(self.python.text(item.key)));
            *self
                .root
                .ids
                .entry(name)
                .or_insert_with_key(|name| variable_names::define(name.clone(), item.kind, owner))
        };
        self.root.slots.push(Slot {
            kind: item.kind,
            variable,
            said: self.old.get(&variable).copied().unwrap_or_default(),
            module: item.module as usize,
            key: item.key as usize,
        });
    }

    fn leave(&mut self) {
        self.path.pop();
        self.wrapped.pop();
    }
}

/// Walks a root and gives its variables their names.
unsafe fn rebuild(python: &Python, keys: &Keys, variables: &mut Variables, root: &mut Root, module: Object) {
    let old = root.slots.iter().map(|slot| (slot.variable, slot.said)).collect();
    for module in root.modules.drain(..) {
        variables.modules.remove(&module);
    }
    root.slots.clear();
    let mut name =
        Name { python, root, known: &mut variables.modules, old, path: Vec::new(), wrapped: Vec::new() };
    // SAFETY: the callers': a live module, the GIL held.
    unsafe { walk(python, keys, std::ptr::null_mut(), module, 0, &mut name) };
}

/// Walks every living root, in the call `enclosing`, and calls `each` with the root and the tensors that it reaches, slot
/// by slot.
///
/// # Safety
/// The GIL is held, no exception is set; `each` runs no Python code.
pub unsafe fn each_root(python: &Python, enclosing: u64, mut each: impl FnMut(&mut Root, &[Item], bool)) {
    // SAFETY: the caller's word. A root that is alive stays so while the GIL is held and no Python code runs.
    unsafe {
        drop_dead_roots(python);
        let keys = keys(python);
        with(|variables| {
            let mut roots = std::mem::take(&mut variables.roots);
            let mut items = std::mem::take(&mut variables.items);
            for root in &mut roots {
                let module = root.address as Object;
                items.clear();
                walk(python, &keys, std::ptr::null_mut(), module, 0, &mut Collect { items: &mut items });
                let same = items.len() == root.slots.len()
                    && items.iter().zip(&root.slots).all(|(item, slot)| {
                        item.module as usize == slot.module && item.key as usize == slot.key
                    });
                if !same {
                    rebuild(python, &keys, variables, root, module);
                }
                if !root.announced && !root.slots.is_empty() {
                    root.announced = true;
                    objects::say_created(root.id, 0, enclosing);
                }
                if items.len() == root.slots.len() {
                    each(root, &items, training_flag(python, &keys, module));
                }
            }
            variables.items = items;
            variables.roots = roots;
        });
    }
}
