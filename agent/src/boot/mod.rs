//! How the agent gets into a Python process: an audit hook waits for `import torch`, and the rest is armed when that
//! import has returned.
//!
//! The import itself is not slowed down: until then only the return of one frame is waited for, that of the body of
//! `torch/__init__.py`.

pub mod process;

use crate::base::settings;
use crate::hooks::capture::{code, functions};
use crate::hooks::hook::Hook;
use crate::hooks::source::Job;
use crate::hooks::table::{self, Hooks};
use crate::interpreter::api::{Object, Python};
use crate::interpreter::names::{self, Classes};
use crate::interpreter::{instance, support};
use crate::libtorch::library::Libtorch;
use crate::sink::report::{self, Progress};
use crate::sink::{self, StartInfo, cost};
use crate::training::{budget, capture};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// `torch` is being imported: its body is the next thing of interest.
static IMPORTING: AtomicBool = AtomicBool::new(false);
/// The body of torch has run, or arming has failed: nothing to wait for.
static DONE: AtomicBool = AtomicBool::new(false);

type AuditHook = unsafe extern "C" fn(*const c_char, Object, *mut c_void) -> c_int;

/// Waits for torch, if this process has a CPython in it. Called before `main`, when no interpreter runs yet.
pub fn boot() {
    let version = crate::interpreter::api::interpreter_version();
    report::boot(version.clone());
    let Some(version) = version else { return };
    if let Some(why) = support::refusal(&version) {
        return give_up(&why);
    }
    if support::counts_threads_at_fork(&version) {
        sink::fork_without_writer();
    }
    let Some(add) = crate::interpreter::api::symbol("PySys_AddAuditHook") else {
        return give_up("this interpreter does not export PySys_AddAuditHook");
    };
    // SAFETY: the symbol is CPython's, which documents this signature since 3.8 and allows the call before the
    // interpreter is initialised; the hook lives as long as the process.
    unsafe {
        let add: unsafe extern "C" fn(AuditHook, *mut c_void) -> c_int = std::mem::transmute(add);
        add(audit, std::ptr::null_mut());
    }
}

/// Sees every audit event of the process, so it decides by the first bytes.
unsafe extern "C" fn audit(event: *const c_char, arguments: Object, _: *mut c_void) -> c_int {
    if DONE.load(Ordering::Relaxed) {
        return 0;
    }
    // SAFETY: CPython passes a NUL-terminated name and a live tuple, with the GIL held once it is initialised (before
    // that there are no import and exec events).
    unsafe {
        match *event as u8 {
            b'i' if CStr::from_ptr(event) == c"import" => {
                guarded(|| importing(arguments));
            }
            b'e' if IMPORTING.load(Ordering::Relaxed) && CStr::from_ptr(event) == c"exec" => {
                guarded(|| executing(arguments));
            }
            _ => {}
        }
    }
    0
}

fn guarded(step: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(step)).is_err() {
        DONE.store(true, Ordering::Relaxed);
    }
}

/// An import begins. Arguments: the module's name, and more.
unsafe fn importing(arguments: Object) {
    if sink::is_inert() {
        DONE.store(true, Ordering::Relaxed);
        return;
    }
    // The API is resolved at the first import that looks like torch: most processes never get there.
    // SAFETY: `audit`'s contract; `tuple_get` and `text` only read.
    unsafe {
        let Some(name) = first_text(arguments) else { return };
        if name == "torch" {
            IMPORTING.store(true, Ordering::Relaxed);
        }
    }
}

/// The text of the first element of a tuple, found without the full API.
unsafe fn first_text<'a>(arguments: Object) -> Option<&'a str> {
    type Get = unsafe extern "C" fn(Object, isize) -> Object;
    type Text = unsafe extern "C" fn(Object, *mut isize) -> *const c_char;
    static GET: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    static TEXT: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let resolved = |slot: &AtomicPtr<c_void>, symbol| {
        if slot.load(Ordering::Relaxed).is_null() {
            slot.store(crate::interpreter::api::symbol(symbol)?, Ordering::Relaxed);
        }
        Some(slot.load(Ordering::Relaxed))
    };
    // SAFETY: the symbols are CPython's with these signatures; the import event passes a non-empty tuple of which
    // the first element is a str (`sys.addaudithook` documents it); the text lives as long as the str.
    unsafe {
        let get: Get = std::mem::transmute(resolved(&GET, "PyTuple_GetItem")?);
        let text: Text = std::mem::transmute(resolved(&TEXT, "PyUnicode_AsUTF8AndSize")?);
        let mut size = 0;
        let data = text(get(arguments, 0), &raw mut size);
        if data.is_null() {
            return None;
        }
        std::str::from_utf8(std::slice::from_raw_parts(data.cast(), size as usize)).ok()
    }
}

/// Code is about to be executed while torch is being imported. Arguments: the code object.
unsafe fn executing(arguments: Object) {
    // SAFETY: `audit`'s contract; the evaluator is CPython's own interface.
    unsafe {
        let python = match Python::load() {
            Ok(python) => python,
            Err(why) => return give_up(&why),
        };
        let code = (python.tuple_get)(arguments, 0);
        if code.is_null() || python.type_of(code) != python.code_type {
            (python.error_clear)();
            return;
        }
        let file = python.attribute_text(code, c"co_filename");
        if !file.ends_with("/torch/__init__.py") || python.attribute_text(code, c"co_name") != "<module>" {
            return;
        }
        let interpreter = (python.interpreter)();
        if interpreter != (python.main_interpreter)() {
            // The main interpreter may yet import it.
            let why = "torch was imported in a subinterpreter; only the main interpreter is recorded";
            return Hook::Subinterpreters.is_off(why);
        }
        if let Err(why) = table::await_body(python, code, body_left) {
            give_up(&why);
        }
    }
}

/// The body of torch has been left; `ran`: by its end, else by an exception.
///
/// # Safety
/// The GIL is held and no exception is set if `ran`.
pub unsafe fn body_left(python: &'static Python, ran: bool) {
    // A failed import may be tried again: the audit hook goes on waiting.
    if ran && !sink::is_inert() {
        IMPORTING.store(false, Ordering::Relaxed);
        DONE.store(true, Ordering::Relaxed);
        // SAFETY: the caller's word.
        guarded(|| match unsafe { arm(python) } {
            Ok(()) => report::report(Progress::Armed),
            Err(why) => {
                // SAFETY: the caller's word.
                unsafe { table::remove(python) };
                give_up(&why);
            }
        });
    }
}

fn give_up(why: &str) {
    DONE.store(true, Ordering::Relaxed);
    IMPORTING.store(false, Ordering::Relaxed);
    Hook::PythonCalls.is_off(why);
    report::report(Progress::Refused);
}

/// torch is there: everything that is proven is switched on.
unsafe fn arm(python: &'static Python) -> Result<(), String> {
    // A panic of the agent's switches a hook off and says so in the trace, not on the job's stderr. The standard
    // library is linked in, so this touches no other Rust code in the process.
    std::panic::set_hook(Box::new(|_| {}));
    // SAFETY: `body_left`'s contract: the GIL is held and no exception is set. What is run is the agent's own
    // code; it makes tensors, uses no random numbers and changes no setting.
    unsafe {
        instance::prove(python)?;
        let known = python.run(KNOWN);
        if known.is_null() {
            return Err("an object of PyTorch that the proofs at start-up use is missing".to_owned());
        }
        let get = |name: &CStr| (python.dict_get_string)(known, name.as_ptr());
        let text = |name: &CStr| python.text(get(name)).to_owned();
        let classes = Classes {
            module: get(c"Module"),
            optimizer: get(c"Optimizer"),
            scheduler: get(c"LRScheduler"),
            parameter: get(c"Parameter"),
            tensor: get(c"Tensor"),
            user_dict: get(c"UserDict"),
        };
        for class in [
            classes.module,
            classes.optimizer,
            classes.scheduler,
            classes.parameter,
            classes.tensor,
            classes.user_dict,
        ] {
            if class.is_null() {
                return Err("a class of PyTorch that the agent relies on is missing".to_owned());
            }
            (python.inc_ref)(class);
        }
        names::install(classes);
        functions::install();
        let read = settings::load();
        for (setting, why) in &read.problems {
            Hook::Setting(setting.clone()).is_off(why);
        }
        code::Codes::install(python, text(c"standard_library"))?;
        sink::describe(StartInfo {
            python_version: python.version_text(),
            torch_version: text(c"version"),
            profile: settings::get().profile.name().to_owned(),
            folder: read.folder.to_string_lossy().into_owned(),
            settings: read.in_force,
        });
        cost::armed();
        if let Some(percent) = settings::get().overhead {
            budget::set(percent / 100.0);
        }
        capture::is_by(&Hooks);
        let libtorch = Libtorch::find();
        if let Err(why) = &libtorch {
            Hook::Libtorch.is_off(why);
        }
        table::install(&Job { python, known, libtorch: libtorch.as_ref().ok() })?;
        seal_when_python_ends();
        if let Some(folder) = sink::choose_folder() {
            tell_children(python, known, folder);
        }
        (python.dec_ref)(known);
    }
    Ok(())
}

/// After an interrupt that nobody has caught, Python takes itself down in good order and then dies by the signal, so
/// that the exit handlers of the process never run. By then its own have run, and no Python code can follow.
fn seal_when_python_ends() {
    type AtExit = unsafe extern "C" fn(extern "C" fn()) -> c_int;
    if let Some(register) = crate::interpreter::api::symbol("Py_AtExit") {
        // SAFETY: the symbol is CPython's, which documents this signature; it calls the handler at most once, as the
        // last thing of `Py_FinalizeEx`. Without a free place the process seals the run at its exit, if it has one.
        unsafe {
            let register: AtExit = std::mem::transmute(register);
            register(crate::boot::process::at_exit);
        }
    }
}

/// Names the run folder in `os.environ`, which Python has copied from the environment at its start, so that the
/// processes that this one starts record into the same run.
unsafe fn tell_children(python: &Python, known: Object, folder: &std::path::Path) {
    let Ok(folder) = CString::new(folder.as_os_str().as_bytes()) else { return };
    // SAFETY: `arm`'s contract; `known` holds a function that takes one str.
    unsafe {
        let argument = (python.unicode_decode)(folder.as_ptr());
        if !argument.is_null() {
            let tell = (python.dict_get_string)(known, c"tell_children".as_ptr());
            let result = (python.call_one_arg)(tell, argument);
            if !result.is_null() {
                (python.dec_ref)(result);
            }
            (python.dec_ref)(argument);
        }
        if !(python.error_occurred)().is_null() {
            (python.error_clear)();
        }
    }
}

/// What the proofs compare with, and what names are taken from.
const KNOWN: &CStr = c"
import os, torch
from torch.autograd.profiler import record_function
from collections import UserDict
from torch.nn import Module, Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
Tensor = torch.Tensor
version = str(torch.__version__)
standard_library = os.path.dirname(os.__file__) + os.sep
a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
b = a.t()
c = a.clone()
p = Parameter(torch.ones(3))
p.grad = torch.full((3,), 2.0)
deep = torch.arange(14)[2:].reshape(1, 2, 1, 3, 1, 2)
meta = torch.empty(2, 3, device='meta')
three, five = torch.zeros(3), torch.zeros(3)
for _ in range(3):
    three.add_(1)
for _ in range(5):
    five.add_(1)
made = p * 2
filled = torch.zeros(3)
def known_fill():
    filled.fill_(4)
def known_op():
    return torch.arange(4) + 1
def known_modes():
    own[:] = torch.is_autocast_enabled('cpu'), torch.get_autocast_dtype('cpu'), torch.get_default_dtype()
    torch.set_autocast_enabled('cpu', True)
    torch.set_autocast_dtype('cpu', torch.float16)
    torch.set_default_dtype(torch.float64)
def own_modes():
    if own:
        torch.set_autocast_enabled('cpu', own[0])
        torch.set_autocast_dtype('cpu', own[1])
        torch.set_default_dtype(own[2])
own = []
def known_scope():
    with record_function('traincheck: a known scope'):
        pass
no_grad = torch.no_grad()
inference = torch.inference_mode()
def autocast(on):
    # Not the context manager: it asks for CUDA devices, after which a process can no longer be forked and use them.
    try:
        torch.set_autocast_enabled('cpu', on)
    except TypeError:
        torch.set_autocast_cpu_enabled(on)
known_switches = [
    lambda: no_grad.__enter__(),
    lambda: no_grad.__exit__(None, None, None),
    lambda: inference.__enter__(),
    lambda: inference.__exit__(None, None, None),
    lambda: autocast(True),
    lambda: autocast(False),
]
known_options = []
def know_options():
    c10d = torch._C._distributed_c10d
    for name in ('AllreduceOptions', 'AllreduceCoalescedOptions', 'ReduceOptions', 'ReduceScatterOptions',
                 'BroadcastOptions', 'GatherOptions', 'ScatterOptions', 'AllgatherOptions', 'AllToAllOptions',
                 'BarrierOptions'):
        for reduce, root, is_async in zip(('SUM', 'PRODUCT', 'MAX', 'BAND'), (1, 5, 2, 7), (True, False, False, True)):
            made = getattr(c10d, name)()
            for field, value in ('reduceOp', getattr(c10d.ReduceOp, reduce)), ('rootRank', root), ('asyncOp', is_async):
                if hasattr(made, field):
                    setattr(made, field, value)
            known_options.append(made)
def tell_children(folder):
    os.environ['TRAINCHECK_RUN_DIR'] = folder
";
