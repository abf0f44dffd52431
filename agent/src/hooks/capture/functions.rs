//! The function that a call is of: what its code means on objects of one type.

use super::code::{CodeInfo, First, class_of};
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::base::settings;
use crate::hooks::hook::Hook;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names::{self, classes, type_name};
use crate::interpreter::types;
use crate::sink;
use crate::training::call::Function;
use crate::training::functions::{self as table, INHERITED, Meaning, Signal};
use std::collections::HashMap;
use traincheck_schema::record::{DictEntry, DictKind, Role};
use traincheck_settings::Receiver;

#[derive(Default)]
struct Functions {
    /// By type, then by code info; none: it is not recorded.
    by_type: FastMap<usize, Vec<(&'static CodeInfo, Option<&'static Function>)>>,
    /// By what the dictionary says of them: many types can have one name, and so can many code objects.
    defined: HashMap<(Role, String, String, u32), &'static Function>,
}

/// More functions than any script has, told by the type of `self`; those beyond are not recorded.
const MAX_FUNCTIONS: usize = 1 << 15;

static FUNCTIONS: Gil<Option<Functions>> = Gil::new(None);

/// What is kept of a type goes with it.
///
/// # Safety
/// The GIL is held.
pub unsafe fn install() {
    // SAFETY: the caller's word.
    unsafe { types::when_one_ends(forget_type) };
}

/// A type has gone: another may come to lie at its address.
///
/// # Safety
/// The GIL is held.
unsafe fn forget_type(class: usize) {
    // SAFETY: the caller's word.
    unsafe {
        FUNCTIONS.with(|functions| {
            let Some(functions) = functions else { return };
            for (info, _) in functions.by_type.remove(&class).unwrap_or_default() {
                if info.last.get().0 == class {
                    info.last.set((usize::MAX, None));
                }
            }
        });
    }
}

/// The function that a call of `info` on `this` is; `None` where it is not recorded.
///
/// # Safety
/// `this` is the live first argument or null; the GIL is held.
#[inline]
pub unsafe fn function(python: &Python, info: &'static CodeInfo, this: Object) -> Option<&'static Function> {
    // SAFETY: the caller's word.
    unsafe {
        let class = if info.first != First::Plain && !this.is_null() {
            python.type_of(this)
        } else {
            std::ptr::null_mut()
        };
        let (last, function) = info.last.get();
        if last == class as usize {
            return function;
        }
        let function = resolve(python, info, class);
        info.last.set((class as usize, function));
        function
    }
}

#[cold]
unsafe fn resolve(python: &Python, info: &'static CodeInfo, class: Object) -> Option<&'static Function> {
    let means = info.means?;
    // SAFETY: `function`'s contract.
    unsafe {
        let known = FUNCTIONS.with(|functions| {
            let of_class = functions.as_ref()?.by_type.get(&(class as usize))?;
            of_class.iter().find(|(known, _)| std::ptr::eq(*known, info)).map(|(_, function)| *function)
        });
        if let Some(known) = known {
            return known;
        }
        let function = describe(python, info, class, means);
        // The class is followed, if it can be, once its name was asked for.
        if names::is_followed(class) {
            FUNCTIONS.with(|functions| {
                let functions = functions.get_or_insert_default();
                functions.by_type.entry(class as usize).or_default().push((info, function));
            });
        }
        function
    }
}

/// The function that code whose calls mean `means` is on objects of `class` (null: does not matter).
unsafe fn describe(
    python: &Python,
    info: &'static CodeInfo,
    class: Object,
    means: Meaning,
) -> Option<&'static Function> {
    // SAFETY: `function`'s contract.
    unsafe {
        let is_static = info.first == First::ReceiverUnlessStatic && !is_method_of(python, info, class);
        let class = if is_static { std::ptr::null_mut() } else { class };
        let method = if means.signal == Some(Signal::ModuleCall) { "__call__" } else { &info.function };
        let text = if class.is_null() {
            format!("{}.{}", info.module, info.qualname)
        } else {
            format!("{}.{method}", type_name(python, class))
        };
        let is = |object| is_of_class(python, object, class);
        if means.inherits
            && let Some(object @ (Receiver::Optimizer | Receiver::Scheduler)) = means.object
            && !is(object)
        {
            return None;
        }
        // Optimizers and schedulers that the user wrote do what their base class says, not what user functions do.
        let means = if means.role == Role::User {
            match INHERITED.iter().find(|(name, object, _)| *name == info.function && is(*object)) {
                Some((_, object, role)) => Meaning { object: Some(*object), ..Meaning::of(*role) },
                None => means,
            }
        } else if means.object.is_none() {
            let found = INHERITED.iter().find(|(_, object, role)| *role == means.role && is(*object));
            Meaning { object: found.map(|(_, object, _)| *object), ..means }
        } else {
            means
        };
        if table::is_excluded(settings::get(), &text, &means) {
            return None;
        }
        FUNCTIONS.with(|functions| functions.get_or_insert_default().define(info, means, text))
    }
}

/// Whether `class` (which may be null) is the one in whose body the code of `info` stands, or inherits from it.
unsafe fn is_method_of(python: &Python, info: &CodeInfo, class: Object) -> bool {
    // SAFETY: `resolve`'s contract: a live type or null, the GIL is held. A type's own `__mro__` runs no Python code;
    // the new reference is given back.
    unsafe {
        let Some(defined_in) = class_of(&info.qualname) else { return false };
        if class.is_null() {
            return false;
        }
        // From here on the class is followed, whatever is found.
        type_name(python, class);
        let order = (python.get_attr)(class, c"__mro__".as_ptr());
        if order.is_null() {
            (python.error_clear)();
            return false;
        }
        let size = if python.is_tuple(order) { (python.tuple_size)(order) } else { 0 };
        let found = (0..size).any(|at| {
            let name = type_name(python, (python.tuple_get)(order, at));
            name.strip_prefix(&info.module).and_then(|rest| rest.strip_prefix('.')) == Some(defined_in)
        });
        (python.dec_ref)(order);
        found
    }
}

/// Whether objects of `class` (which may be null) are such an object of PyTorch's.
unsafe fn is_of_class(python: &Python, object: Receiver, class: Object) -> bool {
    // SAFETY: `resolve`'s contract: a live type or null, the GIL is held.
    unsafe {
        let Some(classes) = classes() else { return false };
        let base = match object {
            Receiver::Optimizer => classes.optimizer,
            Receiver::Scheduler => classes.scheduler,
            Receiver::Module => classes.module,
            _ => return false,
        };
        !class.is_null() && !base.is_null() && (python.is_subtype)(class, base) != 0
    }
}

impl Functions {
    /// The function of this name, which is defined the first time.
    fn define(&mut self, info: &'static CodeInfo, means: Meaning, text: String) -> Option<&'static Function> {
        let key = (means.role, text, info.file.clone(), info.line);
        if let Some(known) = self.defined.get(&key) {
            return Some(known);
        }
        if self.defined.len() >= MAX_FUNCTIONS {
            let why = format!("there are more than {MAX_FUNCTIONS}: those beyond are not recorded");
            Hook::FurtherMethods.is_lost(&why);
            return None;
        }
        let name = sink::define(DictEntry {
            kind: DictKind::Function as u8,
            detail: means.role as u16,
            line: info.line,
            text: key.1.clone(),
            file: key.2.clone(),
            ..DictEntry::default()
        });
        let profile = settings::get().profile;
        let function: &'static Function = Box::leak(Box::new(Function::new(name, means, profile)));
        self.defined.insert(key, function);
        Some(function)
    }
}
