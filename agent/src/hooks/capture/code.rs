//! What the agent knows of a code object, decided once and kept in the code object itself.

use crate::base::gil::Gil;
use crate::base::hash::FastHasher;
use crate::base::settings;
use crate::hooks::hook::Hook;
use crate::interpreter::api::{Object, Python};
use crate::interpreter::collector::NoCollection;
use crate::training::functions::{self, Decision, Meaning};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::hash::Hasher;
use std::sync::atomic::{AtomicIsize, Ordering};

/// A function that is recorded, or at least counts as the user's code. Leaked: code objects point to it.
#[derive(Debug)]
pub struct CodeInfo {
    /// What its calls mean; `None` where only its place matters.
    pub means: Option<Meaning>,
    /// It is the user's own code.
    pub user: bool,
    /// `__name__` of its module.
    pub module: String,
    /// `co_qualname`.
    pub qualname: String,
    /// `co_name`.
    pub function: String,
    /// `co_filename`.
    pub file: String,
    /// `co_firstlineno`.
    pub line: u32,
    /// Its calls may be suspended: it is a generator's, a coroutine's or an asynchronous generator's.
    pub suspends: bool,
    /// What its first parameter is.
    pub first: First,
    /// It was called too often and is no longer recorded.
    pub thinned: Cell<bool>,
    /// The same, but what it fills is known all the same.
    pub only_fills: Cell<bool>,
    /// Calls in the iteration `counted_in`.
    pub calls: Cell<u32>,
    /// See `calls`.
    pub counted_in: Cell<u32>,
    /// Its parameters.
    pub parameters: super::arguments::Parameters,
    /// The type of `self` in the last call (all ones before it) and what it resolved to: calls come in runs.
    pub last: Cell<(usize, Option<&'static crate::training::call::Function>)>,
}

// SAFETY: the cells are only touched by threads that hold the GIL.
unsafe impl Sync for CodeInfo {}

/// What the first parameter of a function is, as far as its code alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// There is none, or it is one like the others, or a class.
    Plain,
    /// The object that the function is called on.
    Receiver,
    /// That object, if the function, which stands in the body of a class, is no static method: it goes by another
    /// name than `self`.
    ReceiverUnlessStatic,
}

/// Marks a code object of which nothing is recorded. Addresses of [`CodeInfo`]s are even.
const NOT_WANTED: *mut c_void = std::ptr::without_provenance_mut(MARK);
/// Marks one of which nothing is recorded and that only passes on who calls it, see [`functions::passes_on`].
const PASSES_ON: *mut c_void = std::ptr::without_provenance_mut(MARK | 4);
const MARK: usize = 1;

/// Set in the address of a [`CodeInfo`] in a code object whose returns are being followed by `sys.monitoring`: code
/// objects that are compiled again share one entry, each is followed for itself.
const FOLLOWED: usize = 2;

/// `CO_OPTIMIZED`: a function's code, not a module's or a class's.
const OPTIMIZED: i64 = 1;

/// `CO_GENERATOR`, `CO_COROUTINE` and `CO_ASYNC_GENERATOR`.
const SUSPENDS: i64 = 0x20 | 0x80 | 0x200;

/// Decides about code objects.
pub struct Codes {
    standard_library: String,
    /// By all that tells where an instruction is, so that code compiled again finds its entry.
    known: HashMap<Key, &'static CodeInfo>,
}

/// Module, qualified name, file, first line, and a hash of the table of lines: code that was rewritten, as
/// torch.compile does, has another.
type Key = (String, String, String, u32, u64);

/// More functions than any script has; those beyond are not recorded.
const MOST_FUNCTIONS: usize = 1 << 14;

/// The index of the agent's slot in code objects.
static EXTRA: AtomicIsize = AtomicIsize::new(-1);
static CODES: Gil<Option<Codes>> = Gil::new(None);

impl Codes {
    /// Sets the decisions up. `standard_library`: the folder of the standard library.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn install(python: &Python, standard_library: String) -> Result<(), String> {
        // SAFETY: the caller's word.
        unsafe {
            let extra = (python.request_code_extra)(std::ptr::null());
            if extra < 0 {
                return Err("every slot for extra data of code objects is taken".to_owned());
            }
            EXTRA.store(extra, Ordering::Relaxed);
            CODES.with(|codes| *codes = Some(Codes { standard_library, known: HashMap::new() }));
        }
        Ok(())
    }

    /// Whether code of `file` in `module` is the user's own: not installed, or declared to be it.
    fn is_user_code(&self, file: &str, module: &str) -> bool {
        let is_installed = || {
            file.contains("/site-packages/")
                || file.contains("/dist-packages/")
                || file.starts_with(&self.standard_library)
        };
        !file.is_empty()
            && !file.starts_with('<')
            && (!is_installed() || settings::get().user_code.iter().any(|root| root.holds(file, module)))
    }

    unsafe fn describe(
        &mut self,
        python: &Python,
        code: Object,
        globals: Object,
    ) -> Option<&'static CodeInfo> {
        // SAFETY: the caller holds the GIL; both objects belong to a live frame.
        unsafe {
            let module = module_of(python, globals);
            let qualname = python.attribute_text(code, c"co_qualname");
            let file = python.attribute_text(code, c"co_filename");
            let user = self.is_user_code(&file, &module);
            let code_flags = attribute_number(python, code, c"co_flags");
            // The body of a class is no call that anybody wrote.
            if user && !qualname.ends_with('>') && code_flags & OPTIMIZED == 0 {
                return None;
            }
            let means = match functions::decide(settings::get(), &module, &qualname, user) {
                Decision::Skip => return None,
                Decision::UserPlace => None,
                Decision::Record(means) => Some(means),
            };
            let line = attribute_number(python, code, c"co_firstlineno") as u32;
            let key = (module, qualname, file, line, line_table_hash(python, code));
            if let Some(info) = self.known.get(&key) {
                return Some(info);
            }
            if self.known.len() >= MOST_FUNCTIONS {
                let why = format!("there are more than {MOST_FUNCTIONS}: those beyond are not recorded");
                Hook::FurtherFunctions.is_lost(&why);
                return None;
            }
            let (module, qualname, file, ..) = key.clone();
            let first = first_parameter(python, code, class_of(&qualname));
            let info: &'static CodeInfo = Box::leak(Box::new(CodeInfo {
                means,
                user,
                module,
                qualname,
                function: python.attribute_text(code, c"co_name"),
                file,
                line,
                suspends: code_flags & SUSPENDS != 0,
                first,
                thinned: Cell::new(false),
                only_fills: Cell::new(false),
                calls: Cell::new(0),
                counted_in: Cell::new(0),
                parameters: super::arguments::Parameters::default(),
                last: Cell::new((usize::MAX, None)),
            }));
            self.known.insert(key, info);
            Some(info)
        }
    }
}

/// The qualified name of the class in whose body a function of this qualified name stands.
pub fn class_of(qualname: &str) -> Option<&str> {
    let (around, _) = qualname.rsplit_once('.')?;
    (!around.ends_with('>')).then_some(around)
}

/// The index of the agent's slot in code objects; negative where there is none.
#[inline]
pub fn extra() -> isize {
    EXTRA.load(Ordering::Relaxed)
}

/// What is known of `code`, deciding now if it is seen for the first time; `None`: nothing of it is wanted.
///
/// # Safety
/// A live code object and the globals it runs with; the GIL is held.
#[inline]
pub unsafe fn info(python: &Python, code: Object, globals: Object) -> Option<&'static CodeInfo> {
    let mut slot = std::ptr::null_mut();
    // SAFETY: the caller's word; the slot holds null, a mark or a leaked CodeInfo, which only `decide` writes.
    unsafe {
        (python.code_get_extra)(code, extra(), &raw mut slot);
        if slot.addr() & MARK != 0 {
            None
        } else if slot.is_null() {
            decide(python, code, globals)
        } else {
            Some(&*slot.map_addr(|address| address & !FOLLOWED).cast::<CodeInfo>())
        }
    }
}

/// Whether `code`, of which [`info`] found `info`, only passes a call on: it is who calls it that calls.
///
/// # Safety
/// A live code object; the GIL is held.
pub unsafe fn passes_on(python: &Python, code: Object, info: Option<&CodeInfo>) -> bool {
    if let Some(info) = info {
        return !info.user && functions::passes_on(&info.module);
    }
    let mut slot = std::ptr::null_mut();
    // SAFETY: as in `info`.
    unsafe { (python.code_get_extra)(code, extra(), &raw mut slot) };
    slot == PASSES_ON
}

/// What is known of `code`, without deciding.
///
/// # Safety
/// A live code object; the GIL is held.
#[inline]
pub unsafe fn known_info(python: &Python, code: Object) -> Option<&'static CodeInfo> {
    let mut slot = std::ptr::null_mut();
    // SAFETY: as in `info`.
    unsafe {
        (python.code_get_extra)(code, extra(), &raw mut slot);
        if slot.is_null() || slot.addr() & MARK != 0 {
            return None;
        }
        Some(&*slot.map_addr(|address| address & !FOLLOWED).cast::<CodeInfo>())
    }
}

/// Marks a code object of which something is known as followed; false if it was.
///
/// # Safety
/// A live code object; the GIL is held.
#[inline]
pub unsafe fn mark_followed(python: &Python, code: Object) -> bool {
    let mut slot = std::ptr::null_mut();
    // SAFETY: as in `info`.
    unsafe {
        (python.code_get_extra)(code, extra(), &raw mut slot);
        if slot.is_null() || slot.addr() & FOLLOWED != 0 {
            return false;
        }
        (python.code_set_extra)(code, extra(), slot.map_addr(|address| address | FOLLOWED)) == 0
    }
}

#[cold]
unsafe fn decide(python: &Python, code: Object, globals: Object) -> Option<&'static CodeInfo> {
    // SAFETY: `info`'s contract. Reading names of code objects runs no Python code.
    unsafe {
        let _no_collection = NoCollection::begin(python);
        let info = CODES.with(|codes| Some(codes.as_mut()?.describe(python, code, globals)))?;
        let slot = match info {
            Some(info) => std::ptr::from_ref(info).cast_mut().cast(),
            None if functions::passes_on(&module_of(python, globals)) => PASSES_ON,
            None => NOT_WANTED,
        };
        if (python.code_set_extra)(code, extra(), slot) != 0 {
            (python.error_clear)();
        }
        info
    }
}

/// The name of the module whose globals these are.
unsafe fn module_of(python: &Python, globals: Object) -> String {
    // SAFETY: the callers': live globals, GIL held.
    unsafe { python.text((python.dict_get_string)(globals, c"__name__".as_ptr())).to_owned() }
}

/// An attribute of a code object that is a number; 0 where it has none.
///
/// # Safety
/// A live code object; the GIL is held.
pub unsafe fn attribute_number(python: &Python, object: Object, name: &std::ffi::CStr) -> i64 {
    // SAFETY: the callers': live object, GIL held; the new reference is given back.
    unsafe {
        let value = (python.get_attr)(object, name.as_ptr());
        if value.is_null() {
            (python.error_clear)();
            return 0;
        }
        let number = (python.long_as_long)(value);
        (python.dec_ref)(value);
        number
    }
}

/// A hash of where each instruction of a code object comes from.
unsafe fn line_table_hash(python: &Python, code: Object) -> u64 {
    // SAFETY: the callers': live code object, GIL held; the attribute is a bytes object, whose new reference is
    // given back.
    unsafe {
        let table = (python.get_attr)(code, c"co_linetable".as_ptr());
        if table.is_null() {
            (python.error_clear)();
            return 0;
        }
        let size = (python.bytes_size)(table);
        let bytes = (python.bytes_as_string)(table);
        let mut hasher = FastHasher::default();
        if size > 0 && !bytes.is_null() {
            hasher.write(std::slice::from_raw_parts(bytes.cast::<u8>(), size as usize));
        }
        (python.dec_ref)(table);
        hasher.finish()
    }
}

unsafe fn first_parameter(python: &Python, code: Object, class: Option<&str>) -> First {
    // SAFETY: the callers': live code object, GIL held; the new reference is given back.
    unsafe {
        if attribute_number(python, code, c"co_argcount") == 0 {
            return First::Plain;
        }
        let names = (python.get_attr)(code, c"co_varnames".as_ptr());
        if names.is_null() {
            (python.error_clear)();
            return First::Plain;
        }
        let is_named = python.is_tuple(names) && (python.tuple_size)(names) > 0;
        let first = match if is_named { python.text((python.tuple_get)(names, 0)) } else { "" } {
            "self" => First::Receiver,
            "" | "cls" => First::Plain,
            _ if class.is_some() => First::ReceiverUnlessStatic,
            _ => First::Plain,
        };
        (python.dec_ref)(names);
        first
    }
}
