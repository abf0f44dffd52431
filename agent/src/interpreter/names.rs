//! The classes of torch that objects are told by, and the names of types.

use super::api::{Object, Python};
use super::types;
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use std::collections::HashSet;

/// Classes of torch that objects are told by. Strong references.
#[derive(Clone, Copy, Debug)]
pub struct Classes {
    /// `torch.nn.Module`.
    pub module: Object,
    /// `torch.optim.Optimizer`.
    pub optimizer: Object,
    /// `torch.optim.lr_scheduler.LRScheduler`.
    pub scheduler: Object,
    /// `torch.nn.Parameter`.
    pub parameter: Object,
    /// `torch.Tensor`.
    pub tensor: Object,
    /// `collections.UserDict`, which tokenizers return.
    pub user_dict: Object,
}

#[derive(Default)]
struct Names {
    classes: Option<Classes>,
    /// By type. What is kept of a type goes with it, see [`types`]: its address may be used again.
    types: FastMap<usize, &'static str>,
    /// The names of types, each once: many types can have one name.
    type_names: HashSet<&'static str>,
}

/// More names of types than any script has; those beyond are called [`OTHER_TYPE`].
const MAX_TYPE_NAMES: usize = 1 << 14;
const OTHER_TYPE: &str = "(other)";

static NAMES: Gil<Option<Names>> = Gil::new(None);

/// Sets the names up.
///
/// # Safety
/// The GIL is held; the classes are strong references that are never given back.
pub unsafe fn install(classes: Classes) {
    // SAFETY: the caller's word.
    unsafe {
        types::when_one_ends(forget_type);
        NAMES.with(|names| *names = Some(Names { classes: Some(classes), ..Names::default() }));
    }
}

/// The classes of torch; `None` before [`install`].
///
/// # Safety
/// The GIL is held.
pub unsafe fn classes() -> Option<Classes> {
    // SAFETY: the caller's word.
    unsafe { NAMES.with(|names| names.as_ref()?.classes) }
}

/// `module.qualname` of a type.
///
/// # Safety
/// A live type; the GIL is held.
pub unsafe fn type_name(python: &Python, class: Object) -> &'static str {
    // SAFETY: the caller's word. A type's own `__module__` and `__qualname__` run no Python code.
    unsafe {
        let known =
            NAMES.with(|names| names.as_ref().and_then(|names| names.types.get(&(class as usize)).copied()));
        if let Some(name) = known {
            return name;
        }
        let module = python.attribute_text(class, c"__module__");
        let qualname = python.attribute_text(class, c"__qualname__");
        let name =
            if module.is_empty() || module == "builtins" { qualname } else { format!("{module}.{qualname}") };
        let followed = types::follow(python, class);
        NAMES.with(|names| {
            let Some(names) = names else { return OTHER_TYPE };
            let name = names.type_name(name);
            if followed {
                names.types.insert(class as usize, name);
            }
            name
        })
    }
}

impl Names {
    fn type_name(&mut self, name: String) -> &'static str {
        if let Some(known) = self.type_names.get(name.as_str()) {
            return known;
        }
        if self.type_names.len() >= MAX_TYPE_NAMES {
            return OTHER_TYPE;
        }
        let name: &'static str = Box::leak(name.into_boxed_str());
        self.type_names.insert(name);
        name
    }
}

/// Whether it is noticed when a type ends whose name was asked for.
///
/// # Safety
/// The GIL is held.
pub unsafe fn is_followed(class: Object) -> bool {
    // SAFETY: the caller's word.
    unsafe {
        NAMES.with(|names| names.as_ref().is_some_and(|names| names.types.contains_key(&(class as usize))))
    }
}

/// A type has gone: another may come to lie at its address.
///
/// # Safety
/// The GIL is held.
unsafe fn forget_type(class: usize) {
    // SAFETY: the caller's word.
    unsafe { NAMES.with(|names| names.as_mut().map(|names| names.types.remove(&class))) };
}
