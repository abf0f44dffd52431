//! Names of functions and types, and places in the user's code, as dictionary ids.

use super::api::{Object, Python};
use super::frame::Frame;
use super::types;
use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::base::settings;
use crate::hooks::capture::code::{self, CodeInfo};
use crate::sink;
use crate::training::functions::{self, INHERITED, Meaning, Recorded, Signal};
use crate::training::observation::{At, Rows};
use std::collections::{HashMap, HashSet};
use traincheck_schema::record::{DictEntry, DictKind, Role};
use traincheck_settings::{Profile, Receiver};

/// A function as it is called on objects of one type: `AdamW.step` is another than `SGD.step`.
#[derive(Debug)]
pub struct Function {
    /// Dictionary id.
    pub name: u32,
    /// What its calls mean.
    pub means: Meaning,
    /// Which arguments and results are recorded: of calls that are not outermost, and of those that are.
    pub arguments: [Recorded; 2],
    /// What is looked at, at its entry and at its return.
    pub at_entry: Rows,
    /// See `at_entry`.
    pub at_return: Rows,
    /// `self` is needed when it returns.
    pub keeps_self: bool,
}

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
    /// By type, then by code info; none: it is not recorded.
    functions: FastMap<usize, Vec<(&'static CodeInfo, Option<&'static Function>)>>,
    /// By code info and instruction.
    sites: FastMap<(usize, i32), u32>,
    /// The names of types, each once: many types can have one name.
    type_names: HashSet<&'static str>,
    /// By what the dictionary says of them: again, many types can have one name, and so can many code objects.
    defined: HashMap<(Role, String, String, u32), &'static Function>,
}

/// More places than any script has; what lies beyond has no place.
const MAX_SITES: usize = 1 << 16;
/// More names of types than any script has; those beyond are called [`OTHER_TYPE`].
const MAX_TYPE_NAMES: usize = 1 << 14;
const OTHER_TYPE: &str = "(other)";
/// More functions than any script has, told by the type of `self`; those beyond are not recorded.
const MAX_FUNCTIONS: usize = 1 << 15;
/// How far up the user's code is looked for.
const MAX_LIBRARY_FRAMES: usize = 64;

static NAMES: Gil<Option<Names>> = Gil::new(None);

/// Sets the names up.
///
/// # Safety
/// The GIL is held; the classes are strong references that are never given back.
pub unsafe fn install(classes: Classes) {
    // SAFETY: the caller's word.
    unsafe { NAMES.with(|names| *names = Some(Names { classes: Some(classes), ..Names::default() })) }
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

/// A type has gone: another may come to lie at its address.
///
/// # Safety
/// The GIL is held.
pub unsafe fn forget_type(class: usize) {
    // SAFETY: the caller's word.
    unsafe {
        NAMES.with(|names| {
            let Some(names) = names else { return };
            names.types.remove(&class);
            for (info, _) in names.functions.remove(&class).unwrap_or_default() {
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
        let class =
            if info.has_self && !this.is_null() { python.type_of(this) } else { std::ptr::null_mut() };
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
        let known = NAMES.with(|names| {
            let of_class = names.as_ref()?.functions.get(&(class as usize))?;
            of_class.iter().find(|(known, _)| std::ptr::eq(*known, info)).map(|(_, function)| *function)
        });
        if let Some(known) = known {
            return known;
        }
        let function = describe(python, info, class, means);
        NAMES.with(|names| {
            let names = names.as_mut()?;
            // The class is followed, if it can be, once its name was asked for.
            if names.types.contains_key(&(class as usize)) {
                names.functions.entry(class as usize).or_default().push((info, function));
            }
            Some(())
        });
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
        if functions::is_excluded(settings::get(), &text, &means) {
            return None;
        }
        NAMES.with(|names| names.as_mut()?.define(info, means, text))
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

impl Names {
    /// The function of this name, which is defined the first time.
    fn define(&mut self, info: &'static CodeInfo, means: Meaning, text: String) -> Option<&'static Function> {
        let key = (means.role, text, info.file.clone(), info.line);
        if let Some(known) = self.defined.get(&key) {
            return Some(known);
        }
        if self.defined.len() >= MAX_FUNCTIONS {
            let why = format!("there are more than {MAX_FUNCTIONS}: those beyond are not recorded");
            crate::hooks::hook::Hook::FurtherMethods.is_off(&why);
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
        let full = settings::get().profile == Profile::Full;
        let at_return = Rows::of(means.looks, At::Return);
        let function: &'static Function = Box::leak(Box::new(Function {
            name,
            means,
            arguments: [false, true].map(|outermost| Recorded::of(means.arguments, full, outermost)),
            at_entry: Rows::of(means.looks, At::Entry),
            at_return,
            keeps_self: means.constructs || means.signal == Some(Signal::ModeChange) || at_return.need_self(),
        }));
        self.defined.insert(key, function);
        Some(function)
    }
}

/// The place in the user's code that a call comes from, and whether the user's code made it directly.
/// `(0, false)` where no frame of the user's is found.
///
/// # Safety
/// `caller` is the innermost frame of the thread that runs, or null; the GIL is held.
pub unsafe fn site(python: &Python, caller: *const Frame) -> (u32, bool) {
    // SAFETY: `previous` links live frames up to null; the interpreter holds their code objects and globals.
    unsafe {
        let mut caller = caller;
        for distance in 0..MAX_LIBRARY_FRAMES {
            if caller.is_null() {
                break;
            }
            if let Some(info) = code::info(python, (*caller).code(), (*caller).globals())
                && info.user
            {
                return (site_id(python, &*caller, info), distance == 0);
            }
            caller = (*caller).previous();
        }
        (0, false)
    }
}

unsafe fn site_id(python: &Python, frame: &Frame, info: &'static CodeInfo) -> u32 {
    // SAFETY: `site`'s contract.
    unsafe {
        let instruction = frame.instruction();
        let key = (std::ptr::from_ref(info) as usize, instruction);
        let known = NAMES
            .with(|names| names.as_ref().map(|names| (names.sites.get(&key).copied(), names.sites.len())));
        match known {
            Some((Some(site), _)) => return site,
            Some((None, count)) if count < MAX_SITES => {}
            _ => return 0,
        }
        let line = (python.code_address_to_line)(frame.code(), instruction);
        let site = sink::define(DictEntry {
            kind: DictKind::Site as u8,
            line: u32::try_from(line).unwrap_or(0),
            text: format!("{}.{}", info.module, without_comprehensions(&info.qualname)),
            file: info.file.clone(),
            ..DictEntry::default()
        });
        NAMES.with(|names| names.as_mut().map(|names| names.sites.insert(key, site)));
        site
    }
}

/// The qualified name of the function that code was written in. Comprehensions are code of their own up to CPython
/// 3.11, and part of the code around them after that.
fn without_comprehensions(qualname: &str) -> String {
    let mut name = qualname.to_owned();
    for kind in ["<listcomp>", "<setcomp>", "<dictcomp>"] {
        name = name.replace(&format!(".<locals>.{kind}"), "").replace(&format!(".{kind}"), "");
        name = name.replace(&format!("{kind}.<locals>."), "");
    }
    if matches!(name.as_str(), "<listcomp>" | "<setcomp>" | "<dictcomp>") {
        "<module>".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::without_comprehensions;

    #[test]
    fn a_comprehension_is_part_of_the_code_around_it() {
        for (qualname, expected) in [
            ("main", "main"),
            ("main.<locals>.<listcomp>", "main"),
            ("main.<locals>.<dictcomp>.<locals>.<listcomp>", "main"),
            ("main.<locals>.<setcomp>.<locals>.<lambda>", "main.<locals>.<lambda>"),
            ("main.<locals>.<genexpr>", "main.<locals>.<genexpr>"),
            ("Net.<listcomp>", "Net"),
            ("<listcomp>", "<module>"),
            ("<listcomp>.<locals>.<lambda>", "<lambda>"),
        ] {
            assert_eq!(without_comprehensions(qualname), expected);
        }
    }
}
