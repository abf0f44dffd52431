//! The part of CPython's C API that the agent calls, resolved at run time.
//!
//! The same agent serves every interpreter, a shared libpython as well as symbols exported by the executable, so
//! nothing is linked. What is missing makes [`Python::load`] fail and Python calls are not recorded.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A `PyObject *`. Borrowed unless a comment says otherwise.
pub type Object = *mut c_void;

/// CPython's frame evaluator (PEP 523): thread state, frame, and whether an exception is thrown into the frame.
pub type EvalFrame = unsafe extern "C-unwind" fn(*mut c_void, *mut super::frame::Frame, c_int) -> Object;

/// `Py_buffer`, part of the stable ABI.
#[repr(C)]
pub struct Buffer {
    /// The first element.
    pub data: *const u8,
    /// The exporter, with a reference.
    pub object: Object,
    /// Bytes, if it were contiguous.
    pub bytes: isize,
    /// Bytes of an element.
    pub item_size: isize,
    /// Whether it may not be written to.
    pub read_only: c_int,
    /// How many dimensions.
    pub dimensions: c_int,
    /// What an element is, in the language of Python's `struct`.
    pub format: *const c_char,
    /// Sizes of the dimensions.
    pub shape: *const isize,
    /// Distances in bytes.
    pub strides: *const isize,
    /// Not asked for.
    pub suboffsets: *const isize,
    /// The exporter's own.
    pub internal: *mut c_void,
}

/// A builtin function in the calling convention `METH_FASTCALL`: self, arguments, and how many.
pub type FastFunction = unsafe extern "C-unwind" fn(Object, *const Object, isize) -> Object;

/// `PyMethodDef`.
#[repr(C)]
pub struct MethodDef {
    name: *const c_char,
    function: FastFunction,
    flags: c_int,
    doc: *const c_char,
}

// SAFETY: immutable, and what it points to is static.
unsafe impl Sync for MethodDef {}

impl MethodDef {
    /// The definition of a builtin function.
    pub const fn new(name: &'static CStr, function: FastFunction) -> MethodDef {
        const METH_FASTCALL: c_int = 0x80;
        MethodDef { name: name.as_ptr(), function, flags: METH_FASTCALL, doc: std::ptr::null() }
    }
}

macro_rules! api {
    ($($field:ident = $symbol:literal $(or $newer:literal)? : fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions, each named after its C symbol. All but those whose comment says otherwise need the GIL.
        #[allow(missing_docs, reason = "the C API documents them")]
        pub struct Python {
            $(pub $field: unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?,)+
            /// `&PyCode_Type`.
            pub code_type: Object,
            /// `&PyFloat_Type`, `&PyLong_Type`, `&PyBool_Type`.
            pub float_type: Object,
            pub long_type: Object,
            pub bool_type: Object,
            /// `&PyCell_Type`.
            pub cell_type: Object,
            /// `PyExc_GeneratorExit`.
            pub generator_exit: Object,
            /// `Py_None`.
            pub none: Object,
            /// 11 for CPython 3.11; 0 if it is no Python 3.
            pub minor_version: u32,
        }

        impl Python {
            /// Resolves everything.
            ///
            /// # Errors
            /// The name of the first symbol that is missing.
            fn resolve() -> Result<Python, &'static str> {
                Ok(Python {
                    $($field: {
                        let address = symbol($symbol)$(.or_else(|| symbol($newer)))?.ok_or($symbol)?;
                        // SAFETY: the symbol is the C API function of that name, whose signature CPython documents
                        // and keeps over the versions that the agent supports.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C-unwind" fn($($argument),*) $(-> $result)?>(address) }
                    },)+
                    code_type: symbol("PyCode_Type").ok_or("PyCode_Type")?,
                    float_type: symbol("PyFloat_Type").ok_or("PyFloat_Type")?,
                    long_type: symbol("PyLong_Type").ok_or("PyLong_Type")?,
                    bool_type: symbol("PyBool_Type").ok_or("PyBool_Type")?,
                    cell_type: symbol("PyCell_Type").ok_or("PyCell_Type")?,
                    generator_exit: {
                        let slot = symbol("PyExc_GeneratorExit").ok_or("PyExc_GeneratorExit")?;
                        // SAFETY: the symbol is a `PyObject *` that is set before any code runs.
                        unsafe { *slot.cast::<Object>() }
                    },
                    none: symbol("_Py_NoneStruct").ok_or("_Py_NoneStruct")?,
                    minor_version: minor_version(),
                })
            }
        }
    };
}

api! {
    version = "Py_GetVersion": fn() -> *const c_char;
    interpreter = "PyInterpreterState_Get": fn() -> *mut c_void;
    main_interpreter = "PyInterpreterState_Main": fn() -> *mut c_void;
    set_eval_frame = "_PyInterpreterState_SetEvalFrameFunc": fn(*mut c_void, EvalFrame);
    get_eval_frame = "_PyInterpreterState_GetEvalFrameFunc": fn(*mut c_void) -> EvalFrame;
    eval_frame_default = "_PyEval_EvalFrameDefault": fn(*mut c_void, *mut super::frame::Frame, c_int) -> Object;
    request_code_extra = "_PyEval_RequestCodeExtraIndex" or "PyUnstable_Eval_RequestCodeExtraIndex": fn(*const c_void) -> isize;
    code_get_extra = "_PyCode_GetExtra" or "PyUnstable_Code_GetExtra": fn(Object, isize, *mut *mut c_void) -> c_int;
    code_set_extra = "_PyCode_SetExtra" or "PyUnstable_Code_SetExtra": fn(Object, isize, *mut c_void) -> c_int;
    thread = "PyThreadState_Get": fn() -> *mut c_void;
    method_new = "PyCMethod_New": fn(*const MethodDef, Object, Object, Object) -> Object;
    vector_call = "PyObject_Vectorcall": fn(Object, *const Object, usize, Object) -> Object;
    system_object = "PySys_GetObject": fn(*const c_char) -> Object;
    long_from = "PyLong_FromLong": fn(c_long) -> Object;
    code_address_to_line = "PyCode_Addr2Line": fn(Object, c_int) -> c_int;
    compile = "Py_CompileString": fn(*const c_char, *const c_char, c_int) -> Object;
    eval_code = "PyEval_EvalCode": fn(Object, Object, Object) -> Object;
    builtins = "PyEval_GetBuiltins": fn() -> Object;
    call_one_arg = "PyObject_CallOneArg": fn(Object, Object) -> Object;
    unicode_decode = "PyUnicode_DecodeFSDefault": fn(*const c_char) -> Object;
    call_no_args = "PyObject_CallNoArgs": fn(Object) -> Object;
    inc_ref = "Py_IncRef": fn(Object);
    dec_ref = "Py_DecRef": fn(Object);
    get_attr = "PyObject_GetAttrString": fn(Object, *const c_char) -> Object;
    generic_get_dict = "PyObject_GenericGetDict": fn(Object, *mut c_void) -> Object;
    get_dict_pointer = "_PyObject_GetDictPtr": fn(Object) -> *mut Object;
    gc_disable = "PyGC_Disable": fn() -> c_int;
    gc_enable = "PyGC_Enable": fn() -> c_int;
    is_true = "PyObject_IsTrue": fn(Object) -> c_int;
    is_subtype = "PyType_IsSubtype": fn(Object, Object) -> c_int;
    type_flags = "PyType_GetFlags": fn(Object) -> std::ffi::c_ulong;
    dict_new = "PyDict_New": fn() -> Object;
    dict_get = "PyDict_GetItemWithError": fn(Object, Object) -> Object;
    dict_set_string = "PyDict_SetItemString": fn(Object, *const c_char, Object) -> c_int;
    dict_get_string = "PyDict_GetItemString": fn(Object, *const c_char) -> Object;
    dict_next = "PyDict_Next": fn(Object, *mut isize, *mut Object, *mut Object) -> c_int;
    list_size = "PyList_Size": fn(Object) -> isize;
    list_get = "PyList_GetItem": fn(Object, isize) -> Object;
    tuple_size = "PyTuple_Size": fn(Object) -> isize;
    tuple_get = "PyTuple_GetItem": fn(Object, isize) -> Object;
    long_as_long = "PyLong_AsLong": fn(Object) -> c_long;
    long_and_overflow = "PyLong_AsLongAndOverflow": fn(Object, *mut c_int) -> c_long;
    float_as_double = "PyFloat_AsDouble": fn(Object) -> f64;
    bytes_as_string = "PyBytes_AsString": fn(Object) -> *mut c_char;
    bytes_size = "PyBytes_Size": fn(Object) -> isize;
    unicode_as_utf8 = "PyUnicode_AsUTF8AndSize": fn(Object, *mut isize) -> *const c_char;
    unicode_intern = "PyUnicode_InternFromString": fn(*const c_char) -> Object;
    function_new = "PyCFunction_NewEx": fn(Object, Object, Object) -> Object;
    module_dict = "PyImport_GetModuleDict": fn() -> Object;
    capsule_pointer = "PyCapsule_GetPointer": fn(Object, *const c_char) -> *mut c_void;
    get_buffer = "PyObject_GetBuffer": fn(Object, *mut Buffer, c_int) -> c_int;
    release_buffer = "PyBuffer_Release": fn(*mut Buffer);
    weakref_new = "PyWeakref_NewRef": fn(Object, Object) -> Object;
    weakref_get = "PyWeakref_GetObject": fn(Object) -> Object;
    add_pending_call = "Py_AddPendingCall": fn(extern "C-unwind" fn(*mut c_void) -> c_int, *mut c_void) -> c_int;
    error_occurred = "PyErr_Occurred": fn() -> Object;
    error_clear = "PyErr_Clear": fn();
}

/// The address of a symbol of the interpreter, be it a shared library's or the executable's.
pub fn symbol(name: &str) -> Option<*mut c_void> {
    let mut buffer = [0u8; 64];
    buffer.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    // SAFETY: `buffer` is NUL-terminated: it is longer than any name above, which the slice above has checked.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, buffer.as_ptr().cast()) };
    (!address.is_null() && name.len() < buffer.len()).then_some(address)
}

/// What the interpreter in this process says of its version and its build; none where there is no CPython. May be
/// called before it is initialised.
pub fn interpreter_version() -> Option<String> {
    let address = symbol("Py_GetVersion")?;
    // SAFETY: the symbol is CPython's: it takes nothing, may be called at any time, and gives a static C string.
    let version = unsafe {
        let version: unsafe extern "C" fn() -> *const c_char = std::mem::transmute(address);
        CStr::from_ptr(version())
    };
    Some(version.to_string_lossy().into_owned())
}

fn minor_version() -> u32 {
    let version = interpreter_version().unwrap_or_default();
    let mut parts = version.split(['.', ' ']);
    if parts.next() != Some("3") {
        return 0;
    }
    parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

static LOADED: AtomicPtr<Python> = AtomicPtr::new(std::ptr::null_mut());

impl Python {
    /// Resolves the API, once; later calls give the same table.
    ///
    /// # Errors
    /// Says which symbol is missing.
    pub fn load() -> Result<&'static Python, String> {
        if let Some(python) = Self::loaded() {
            return Ok(python);
        }
        let python = Self::resolve().map_err(|name| format!("this interpreter does not export {name}"))?;
        LOADED.store(Box::into_raw(Box::new(python)), Ordering::Release);
        Self::loaded().ok_or_else(|| "the C API table is gone".to_owned())
    }

    /// The API, where [`Python::load`] succeeded before.
    #[inline]
    pub fn loaded() -> Option<&'static Python> {
        // SAFETY: the pointer is null or came from a leaked box.
        unsafe { LOADED.load(Ordering::Acquire).as_ref() }
    }

    /// `3.11.7`.
    pub fn version_text(&self) -> String {
        // SAFETY: CPython returns a static NUL-terminated string.
        let version = unsafe { CStr::from_ptr((self.version)()) }.to_string_lossy();
        version.split(' ').next().unwrap_or_default().to_owned()
    }

    /// A builtin function: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn new_function(&self, definition: &'static MethodDef) -> Object {
        let none = std::ptr::null_mut();
        // SAFETY: the caller's word; the definition outlives the function.
        unsafe { (self.method_new)(definition, none, none, none) }
    }

    /// Calls `function`: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// Live objects; the GIL is held and no exception is set.
    pub unsafe fn call(&self, function: Object, arguments: &[Object]) -> Object {
        // SAFETY: the caller's word.
        unsafe { (self.vector_call)(function, arguments.as_ptr(), arguments.len(), std::ptr::null_mut()) }
    }

    /// The type of an object.
    ///
    /// # Safety
    /// `object` is a live object; the GIL is held.
    #[inline]
    pub unsafe fn type_of(&self, object: Object) -> Object {
        // SAFETY: every object begins with its reference count and its type (`PyObject`), as the caller guarantees.
        unsafe { *object.cast::<Object>().add(1) }
    }

    /// Whether `object` is an instance of `class`, without asking any Python code.
    ///
    /// # Safety
    /// Both are live or null; the GIL is held.
    pub unsafe fn is_instance(&self, object: Object, class: Object) -> bool {
        // SAFETY: both were checked to be non-null and are live by the caller's word.
        !object.is_null()
            && !class.is_null()
            && unsafe { (self.is_subtype)(self.type_of(object), class) } != 0
    }

    /// Whether `object` is a dict (or of a subclass).
    ///
    /// # Safety
    /// Live or null; the GIL is held.
    pub unsafe fn is_dict(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.has_type_flag(object, 1 << 29) }
    }

    /// Whether it is a list.
    ///
    /// # Safety
    /// Live or null; the GIL is held.
    pub unsafe fn is_list(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.has_type_flag(object, 1 << 25) }
    }

    /// Whether it is a tuple.
    ///
    /// # Safety
    /// Live or null; the GIL is held.
    pub unsafe fn is_tuple(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.has_type_flag(object, 1 << 26) }
    }

    /// The first elements of a list or tuple, at most `most`, with their places, borrowed from it; `None` for anything
    /// else. It must not be changed meanwhile.
    ///
    /// # Safety
    /// Live; the GIL is held as long as the elements are asked for.
    pub unsafe fn elements(
        &self,
        object: Object,
        most: isize,
    ) -> Option<impl Iterator<Item = (isize, Object)> + use<'_>> {
        type Get = unsafe extern "C-unwind" fn(Object, isize) -> Object;
        // SAFETY: the caller's word; the type is told before the size is asked.
        let (size, get): (isize, Get) = unsafe {
            if self.is_list(object) {
                ((self.list_size)(object), self.list_get)
            } else if self.is_tuple(object) {
                ((self.tuple_size)(object), self.tuple_get)
            } else {
                return None;
            }
        };
        // SAFETY: the caller's word: it has as many elements as it has said.
        Some((0..size.min(most)).map(move |index| (index, unsafe { get(object, index) })))
    }

    /// Whether it is an int (a bool, too).
    ///
    /// # Safety
    /// Live or null; the GIL is held.
    pub unsafe fn is_int(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.has_type_flag(object, 1 << 24) }
    }

    /// Whether it is a str.
    ///
    /// # Safety
    /// Live or null; the GIL is held.
    pub unsafe fn is_str(&self, object: Object) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.has_type_flag(object, 1 << 28) }
    }

    unsafe fn has_type_flag(&self, object: Object, flag: std::ffi::c_ulong) -> bool {
        // SAFETY: the callers'.
        !object.is_null() && unsafe { (self.type_flags)(self.type_of(object)) } & flag != 0
    }

    /// The text of a `str`, or empty where it is none.
    ///
    /// # Safety
    /// Live or null; the GIL is held. The text lives as long as the object.
    pub unsafe fn text<'a>(&self, object: Object) -> &'a str {
        // SAFETY: the caller's word. Bit 28 of the type's flags marks str and its subclasses.
        unsafe {
            if !self.has_type_flag(object, 1 << 28) {
                return "";
            }
            let mut size = 0;
            let data = (self.unicode_as_utf8)(object, &raw mut size);
            if data.is_null() {
                // Lone surrogates cannot be encoded.
                (self.error_clear)();
                return "";
            }
            std::str::from_utf8(std::slice::from_raw_parts(data.cast(), size as usize)).unwrap_or("")
        }
    }

    /// An attribute's text; for objects whose attributes run no Python code (types, code objects, modules).
    ///
    /// # Safety
    /// Live; the GIL is held.
    pub unsafe fn attribute_text(&self, object: Object, name: &CStr) -> String {
        // SAFETY: the caller's word; the attribute is a new reference that is given back.
        unsafe {
            let value = (self.get_attr)(object, name.as_ptr());
            if value.is_null() {
                (self.error_clear)();
                return String::new();
            }
            let text = self.text(value).to_owned();
            (self.dec_ref)(value);
            text
        }
    }

    /// Runs source in a namespace of its own and gives that namespace (a new reference), or null after an error,
    /// which is cleared. For code of the agent's own that cannot touch the program's state.
    ///
    /// # Safety
    /// The GIL is held and no exception is set.
    pub unsafe fn run(&self, source: &CStr) -> Object {
        const FILE_INPUT: c_int = 257;
        // SAFETY: the caller's word; references are given back on every path.
        unsafe {
            let code = (self.compile)(source.as_ptr(), c"<traincheck>".as_ptr(), FILE_INPUT);
            if code.is_null() {
                (self.error_clear)();
                return code;
            }
            let namespace = (self.dict_new)();
            (self.dict_set_string)(namespace, c"__builtins__".as_ptr(), (self.builtins)());
            let result = (self.eval_code)(code, namespace, namespace);
            (self.dec_ref)(code);
            if result.is_null() {
                (self.error_clear)();
                (self.dec_ref)(namespace);
                return std::ptr::null_mut();
            }
            (self.dec_ref)(result);
            namespace
        }
    }
}
