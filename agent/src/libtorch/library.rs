//! The symbols of libtorch. Python loads it with RTLD_LOCAL, so it is found by the path it is mapped from.

#[cfg(target_arch = "x86_64")]
use super::symbols::Symbols;
use std::ffi::{CStr, CString, c_char, c_void};
#[cfg(target_arch = "x86_64")]
use std::ops::Range;

/// What libtorch calls when a function begins: returns a `unique_ptr<ObserverContext>` through a hidden first parameter.
pub type Start = unsafe extern "C-unwind" fn(*mut *mut c_void, *const c_void) -> *mut *mut c_void;
/// What it calls when one ends, with the function and the context.
pub type End = unsafe extern "C-unwind" fn(*const c_void, *mut c_void);

/// `at::RecordFunctionCallback`, passed by value.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Callback {
    /// Called when a function begins.
    pub start: Start,
    /// Called when it ends.
    pub end: End,
    /// Share of the functions that it is called for.
    pub probability: f64,
    /// For each `at::RecordScope` whether it is wanted.
    pub scopes: [bool; 10],
    /// Whether the arguments are to be kept.
    pub needs_inputs: bool,
    /// Whether the results are to be kept.
    pub needs_outputs: bool,
    /// Whether an id is to be given to each call.
    pub needs_ids: bool,
    /// A version with further fields at the end finds them unset: what is passed in memory may be longer than what is
    /// read.
    unset: [u8; 67],
}

impl Callback {
    /// For every function of one `at::RecordScope`, with nothing but its name.
    pub fn new(start: Start, end: End, scope: u8) -> Callback {
        let mut scopes = [false; 10];
        scopes[usize::from(scope)] = true;
        Callback {
            start,
            end,
            probability: 1.0,
            scopes,
            needs_inputs: false,
            needs_outputs: false,
            needs_ids: false,
            unset: [0; 67],
        }
    }
}

/// What is called of `at::RecordFunction`.
#[derive(Clone, Copy)]
pub struct RecordFunction {
    /// `at::addGlobalCallback`: returns a handle.
    pub add: unsafe extern "C-unwind" fn(Callback) -> u64,
    /// `at::removeCallback`.
    pub remove: unsafe extern "C-unwind" fn(u64),
    /// `at::disableCallback`.
    pub disable: unsafe extern "C-unwind" fn(u64),
    /// `at::reenableCallback`.
    pub enable: unsafe extern "C-unwind" fn(u64),
    /// `at::RecordFunction::name`.
    pub name: unsafe extern "C-unwind" fn(*const c_void) -> *const c_char,
    /// `at::RecordFunction::isAsync`.
    pub is_async: unsafe extern "C-unwind" fn(*const c_void) -> bool,
}

/// What `tensor` calls.
#[derive(Clone, Copy)]
pub struct TensorFunctions {
    /// `c10::TensorImpl::grad`: the address of an `at::Tensor`.
    pub grad: unsafe extern "C-unwind" fn(*const c_void) -> *const *const c_void,
    /// `c10::TensorImpl::requires_grad`.
    pub requires_grad: unsafe extern "C-unwind" fn(*const c_void) -> bool,
    /// What the first word of every `c10::TensorImpl` points to that is of no derived class.
    pub plain_class: usize,
    /// The same of `at::SparseTensorImpl` and `at::SparseCsrTensorImpl`, where they are exported.
    pub sparse_class: Option<usize>,
    /// See `sparse_class`.
    pub compressed_class: Option<usize>,
    /// The one object that stands for an undefined tensor.
    pub undefined: usize,
}

/// What tells the modes of a thread.
#[derive(Clone, Copy)]
pub struct ModeFunctions {
    /// `c10::GradMode::is_enabled`.
    pub grad: unsafe extern "C-unwind" fn() -> bool,
    /// `c10::InferenceMode::is_enabled`.
    pub inference: unsafe extern "C-unwind" fn() -> bool,
    /// Of `at::autocast`.
    pub autocast: Autocast,
}

/// How this version says whether autocast is on.
#[derive(Clone, Copy)]
pub enum Autocast {
    /// `is_autocast_enabled(DeviceType)`.
    ByDevice(unsafe extern "C-unwind" fn(i8) -> bool),
    /// Before torch 2.4: `is_cpu_enabled()` and `is_enabled()`, the latter for CUDA.
    Apart(unsafe extern "C-unwind" fn() -> bool, unsafe extern "C-unwind" fn() -> bool),
}

/// What contexts are read with. Each for itself, for none needs another.
pub struct Contexts {
    /// `at::autocast::get_autocast_dtype(DeviceType)`: a `c10::ScalarType`.
    pub autocast_dtype: Result<unsafe extern "C-unwind" fn(i8) -> i8, String>,
    /// `c10::get_default_dtype_as_scalartype()`.
    pub default_dtype: Result<unsafe extern "C-unwind" fn() -> i8, String>,
    /// Of `at::Context`.
    pub process: Result<ContextFunctions, String>,
}

/// Of `at::Context`, whose address comes first.
#[derive(Clone, Copy)]
pub struct ContextFunctions {
    /// `at::globalContext()`.
    pub global: unsafe extern "C-unwind" fn() -> *const c_void,
    /// The constructor.
    pub construct: unsafe extern "C-unwind" fn(*mut c_void),
    /// `deterministicAlgorithms`.
    pub deterministic: unsafe extern "C-unwind" fn(*const c_void) -> bool,
    /// `deterministicAlgorithmsWarnOnly`.
    pub warn_only: unsafe extern "C-unwind" fn(*const c_void) -> bool,
    /// `setDeterministicAlgorithms`.
    pub set_deterministic: unsafe extern "C-unwind" fn(*mut c_void, bool, bool),
    /// The getter throws in newer versions, so what matters is where the setter writes.
    pub set_matmul_precision: Result<SetMatmulPrecision, &'static str>,
}

/// `setFloat32MatmulPrecision`: 0 is highest, 1 high, 2 medium.
#[derive(Clone, Copy)]
pub enum SetMatmulPrecision {
    /// Takes the number.
    ByNumber(unsafe extern "C-unwind" fn(*mut c_void, i32)),
    /// From torch 2.9 on: takes a `std::string`.
    ByName(unsafe extern "C-unwind" fn(*mut c_void, *const StdString)),
}

/// `std::string` of libstdc++ since GCC 5, as far as a constant one is read.
#[repr(C)]
pub struct StdString {
    data: *const c_char,
    length: usize,
    inside: [u8; 16],
}

impl SetMatmulPrecision {
    /// Calls it.
    ///
    /// # Safety
    /// `context` is an `at::Context`; the precision is 0, 1 or 2.
    pub unsafe fn call(self, context: *mut c_void, precision: u32) {
        // SAFETY: the caller's guarantee; the text is only read, and known.
        unsafe {
            match self {
                SetMatmulPrecision::ByNumber(set) => set(context, precision as i32),
                SetMatmulPrecision::ByName(set) => {
                    let name = match precision {
                        0 => c"highest",
                        1 => c"high",
                        _ => c"medium",
                    };
                    let name =
                        StdString { data: name.as_ptr(), length: name.to_bytes().len(), inside: [0; 16] };
                    set(context, &raw const name);
                }
            }
        }
    }
}

/// The capabilities of the libtorch in this process; for one that is missing, why.
pub struct Libtorch {
    /// Recording of ops.
    pub record_function: Result<RecordFunction, String>,
    /// Reading of tensors.
    pub tensors: Result<TensorFunctions, String>,
    /// `at::TensorBase::is_leaf`, of the address of a pointer to a tensor.
    pub is_leaf: Result<unsafe extern "C-unwind" fn(*const usize) -> bool, String>,
    /// Modes of threads.
    pub modes: Result<ModeFunctions, String>,
    /// What contexts are made of.
    pub contexts: Contexts,
    /// `libtorch_cpu.so`.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "who asks it is not there"))]
    pub(super) cpu: Option<Library>,
}

impl Libtorch {
    /// Finds the libtorch that is loaded. Loads nothing.
    pub fn find() -> Result<Libtorch, String> {
        let maps = std::fs::read_to_string("/proc/self/maps")
            .map_err(|error| format!("cannot read /proc/self/maps: {error}"))?;
        let cpu = Library::open(&maps, "libtorch_cpu.so")?;
        let core = Library::open(&maps, "libc10.so")?;
        // SAFETY: each symbol is taken for what the headers of torch 1.13 to 2.9 declare under that name.
        unsafe {
            Ok(Libtorch {
                record_function: record_function(&cpu),
                tensors: tensors(&core, &cpu),
                is_leaf: cpu.function(c"_ZNK2at10TensorBase7is_leafEv"),
                modes: modes(&core, &cpu),
                contexts: contexts(&core, &cpu),
                cpu: Some(cpu),
            })
        }
    }
}

impl Libtorch {
    /// Where libtorch_cpu has each of these names, and how long what they name is.
    #[cfg(target_arch = "x86_64")]
    pub fn find_in_cpu<'a>(&self, names: impl Iterator<Item = &'a CStr>) -> Vec<Option<Range<usize>>> {
        // SAFETY: the handle is never closed.
        let symbols = self.cpu.as_ref().and_then(|cpu| unsafe { Symbols::of(cpu.handle) });
        names.map(|name| symbols.as_ref()?.find(name)).collect()
    }
}

#[cfg(test)]
impl Libtorch {
    /// One that has nothing.
    pub fn empty(why: &str) -> Libtorch {
        Libtorch {
            record_function: Err(why.to_owned()),
            tensors: Err(why.to_owned()),
            is_leaf: Err(why.to_owned()),
            modes: Err(why.to_owned()),
            contexts: Contexts {
                autocast_dtype: Err(why.to_owned()),
                default_dtype: Err(why.to_owned()),
                process: Err(why.to_owned()),
            },
            cpu: None,
        }
    }
}

/// # Safety
/// `cpu` is a libtorch_cpu of a version that declares the symbols as this file does.
unsafe fn record_function(cpu: &Library) -> Result<RecordFunction, String> {
    // SAFETY: the caller's guarantee.
    unsafe {
        Ok(RecordFunction {
            add: cpu.function(c"_ZN2at17addGlobalCallbackENS_22RecordFunctionCallbackE")?,
            remove: cpu.function(c"_ZN2at14removeCallbackEm")?,
            disable: cpu.function(c"_ZN2at15disableCallbackEm")?,
            enable: cpu.function(c"_ZN2at16reenableCallbackEm")?,
            name: cpu.function(c"_ZNK2at14RecordFunction4nameEv")?,
            is_async: cpu.function(c"_ZNK2at14RecordFunction7isAsyncEv")?,
        })
    }
}

/// # Safety
/// As for [`record_function`], for both.
unsafe fn tensors(core: &Library, cpu: &Library) -> Result<TensorFunctions, String> {
    /// A virtual table begins with two words that objects do not point to.
    const TABLE_HEAD: usize = 2 * size_of::<usize>();
    // SAFETY: the caller's guarantee.
    unsafe {
        Ok(TensorFunctions {
            grad: core.function(c"_ZNK3c1010TensorImpl4gradEv")?,
            requires_grad: core.function(c"_ZNK3c1010TensorImpl13requires_gradEv")?,
            plain_class: core.address(c"_ZTVN3c1010TensorImplE")? + TABLE_HEAD,
            sparse_class: cpu.address(c"_ZTVN2at16SparseTensorImplE").ok().map(|table| table + TABLE_HEAD),
            compressed_class: cpu
                .address(c"_ZTVN2at19SparseCsrTensorImplE")
                .ok()
                .map(|table| table + TABLE_HEAD),
            undefined: core.address(c"_ZN3c1019UndefinedTensorImpl10_singletonE")?,
        })
    }
}

/// # Safety
/// As for [`record_function`], for both.
unsafe fn modes(core: &Library, cpu: &Library) -> Result<ModeFunctions, String> {
    // SAFETY: the caller's guarantee.
    unsafe {
        let autocast = match cpu.function(c"_ZN2at8autocast19is_autocast_enabledEN3c1010DeviceTypeE") {
            Ok(by_device) => Autocast::ByDevice(by_device),
            Err(_) => Autocast::Apart(
                cpu.function(c"_ZN2at8autocast14is_cpu_enabledEv")?,
                cpu.function(c"_ZN2at8autocast10is_enabledEv")?,
            ),
        };
        Ok(ModeFunctions {
            grad: core.function(c"_ZN3c108GradMode10is_enabledEv")?,
            inference: core.function(c"_ZN3c1013InferenceMode10is_enabledEv")?,
            autocast,
        })
    }
}

/// # Safety
/// As for [`record_function`], for both.
unsafe fn contexts(core: &Library, cpu: &Library) -> Contexts {
    // SAFETY: the caller's guarantee.
    unsafe {
        let process = || {
            let by_number =
                cpu.function(c"_ZN2at7Context25setFloat32MatmulPrecisionENS_22Float32MatmulPrecisionE");
            let by_name = cpu.function(
                c"_ZN2at7Context25setFloat32MatmulPrecisionERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
            );
            Ok(ContextFunctions {
                global: cpu.function(c"_ZN2at13globalContextEv")?,
                construct: cpu.function(c"_ZN2at7ContextC1Ev")?,
                deterministic: cpu.function(c"_ZNK2at7Context23deterministicAlgorithmsEv")?,
                warn_only: cpu.function(c"_ZNK2at7Context31deterministicAlgorithmsWarnOnlyEv")?,
                set_deterministic: cpu.function(c"_ZN2at7Context26setDeterministicAlgorithmsEbb")?,
                set_matmul_precision: by_number
                    .map(SetMatmulPrecision::ByNumber)
                    .or_else(|_| by_name.map(SetMatmulPrecision::ByName))
                    .map_err(|_| "libtorch exports no setter that is known"),
            })
        };
        Contexts {
            autocast_dtype: cpu.function(c"_ZN2at8autocast18get_autocast_dtypeEN3c1010DeviceTypeE"),
            default_dtype: core.function(c"_ZN3c1031get_default_dtype_as_scalartypeEv"),
            process: process(),
        }
    }
}

/// A library that is loaded. It is never closed: the agent stays as long as the process.
pub(super) struct Library {
    handle: *mut c_void,
    name: String,
}

impl Library {
    /// The library whose file name begins with `stem`: Linux distributions add a version behind it.
    fn open(maps: &str, stem: &str) -> Result<Library, String> {
        let path = maps
            .lines()
            .filter_map(|line| line.find('/').and_then(|start| line.get(start..)))
            .find(|path| path.rsplit('/').next().is_some_and(|name| is_version_of(name, stem)))
            .ok_or_else(|| format!("no {stem} is loaded"))?;
        let c_path = CString::new(path).map_err(|_| format!("the path of {stem} has a zero byte in it"))?;
        // SAFETY: a valid C string; with RTLD_NOLOAD nothing is loaded and no code of the library runs.
        let handle = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        if handle.is_null() {
            return Err(format!("{path} is mapped, but the dynamic linker does not know it"));
        }
        Ok(Library { handle, name: path.to_owned() })
    }

    fn address(&self, symbol: &CStr) -> Result<usize, String> {
        // SAFETY: the handle is never closed, the symbol is a C string.
        let address = unsafe { libc::dlsym(self.handle, symbol.as_ptr()) };
        if address.is_null() {
            return Err(format!("{} has no {}", self.name, symbol.to_string_lossy()));
        }
        Ok(address as usize)
    }

    /// # Safety
    /// `Function` is a function pointer of the signature that the symbol has.
    unsafe fn function<Function: Copy>(&self, symbol: &CStr) -> Result<Function, String> {
        const { assert!(size_of::<Function>() == size_of::<usize>()) };
        let address = self.address(symbol)?;
        // SAFETY: an address of a function, not null; the caller guarantees the type.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

/// `libtorch_cpu.so` and `libtorch_cpu.so.2.6`, but not `libtorch_cpu.so-backup`.
fn is_version_of(name: &str, stem: &str) -> bool {
    name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_stem() {
        assert!(is_version_of("libtorch_cpu.so", "libtorch_cpu.so"));
        assert!(is_version_of("libtorch_cpu.so.2.6", "libtorch_cpu.so"));
        assert!(!is_version_of("libtorch_cpu.so-backup", "libtorch_cpu.so"));
        assert!(!is_version_of("libc10_cuda.so", "libc10.so"));
    }

    #[test]
    fn what_is_not_loaded_is_named() {
        let error = Libtorch::find().err().expect("this test has no libtorch");
        assert_eq!(error, "no libtorch_cpu.so is loaded");
    }

    #[test]
    fn missing_symbols_are_named_with_their_library() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let library = Library::open(&maps, "libc.so").expect("libc");
        assert!(library.address(c"malloc").is_ok());
        let error = library.address(c"no_such_symbol").expect_err("no such symbol");
        assert!(error.contains("libc.so") && error.ends_with("has no no_such_symbol"), "{error}");
    }
}
