//! Frames and code objects of CPython 3.11, read where the interpreter keeps them.
//!
//! The layout is that of `_PyInterpreterFrame` and `PyCodeObject` in 3.11. It is proven on a known frame and a known
//! code object before it is used.

use super::api::{Object, Python};
use std::ffi::{c_char, c_int, c_void};

/// `_PyInterpreterFrame` of CPython 3.11.
#[repr(C)]
pub struct Frame {
    function: Object,
    /// The module's dict.
    pub globals: Object,
    builtins: Object,
    locals: Object,
    /// The code object that runs.
    pub code: Object,
    frame_object: Object,
    /// The frame that called, or null at the bottom of the thread. Only set once the frame runs: of one that is
    /// about to, the caller is [`current`].
    pub previous: *const Frame,
    /// The code unit before the next one to execute.
    pub previous_instruction: *const u16,
    stack_top: c_int,
    is_entry: bool,
    owner: c_char,
    locals_plus: [Object; 1],
}

/// `PyThreadState` of CPython 3.11, up to what is used.
#[repr(C)]
struct ThreadState {
    links: [*mut c_void; 3],
    counters: [c_int; 7],
    c_frame: *const CFrame,
}

/// `_PyCFrame` of CPython 3.11.
#[repr(C)]
struct CFrame {
    use_tracing: u8,
    current_frame: *const Frame,
    previous: *const CFrame,
}

/// The innermost frame of a thread that runs: the caller of one that is about to.
///
/// # Safety
/// `thread` is the state of the current thread; the GIL is held.
#[inline]
pub unsafe fn current(thread: *const c_void) -> *const Frame {
    // SAFETY: the interpreter keeps the chain of C frames as long as the thread runs.
    unsafe { (*(*thread.cast::<ThreadState>()).c_frame).current_frame }
}

/// Where the instructions of a code object begin (`co_code_adaptive`).
const CODE_INSTRUCTIONS: usize = 184;
/// `co_argcount`.
const CODE_ARGUMENT_COUNT: usize = 56;

impl Frame {
    /// The first argument of a frame that is about to run or, for a generator's, to go on; null where the function
    /// takes none, or it was deleted.
    ///
    /// # Safety
    /// A live frame; the GIL is held.
    #[inline]
    pub unsafe fn first_argument(&self, python: &Python) -> Object {
        // SAFETY: the arguments are the first of the frame's locals; there is at least one if the code says so. One
        // that a closure shares lies in a cell once the frame has run, whose content follows the object's head.
        unsafe {
            if *self.code.cast::<u8>().add(CODE_ARGUMENT_COUNT).cast::<c_int>() == 0 {
                return std::ptr::null_mut();
            }
            let argument = self.locals_plus.as_ptr().read();
            if !argument.is_null() && python.type_of(argument) == python.cell_type {
                *argument.cast::<Object>().add(2)
            } else {
                argument
            }
        }
    }

    /// Offset in bytes of the instruction that the frame is at, for `PyCode_Addr2Line`.
    ///
    /// # Safety
    /// A live frame; the GIL is held.
    #[inline]
    pub unsafe fn instruction(&self) -> c_int {
        (self.previous_instruction as isize - self.code as isize - CODE_INSTRUCTIONS as isize) as c_int
    }
}

/// Proves the offsets into code objects: the instructions of a fresh code object lie where they are expected, and so
/// does its argument count.
///
/// # Safety
/// The GIL is held and no exception is set.
pub unsafe fn prove_code_layout(python: &Python) -> Result<(), String> {
    let source = c"def known(first, second, third):\n    return first + second * third\ncode = known.__code__\nbytes = code.co_code\n";
    // SAFETY: the caller's word; every reference is given back.
    unsafe {
        let namespace = python.run(source);
        if namespace.is_null() {
            return Err("a known function could not be compiled".to_owned());
        }
        let code = (python.dict_get_string)(namespace, c"code".as_ptr());
        let bytes = (python.dict_get_string)(namespace, c"bytes".as_ptr());
        let proven = !code.is_null() && !bytes.is_null() && {
            let size = (python.bytes_size)(bytes) as usize;
            let expected = std::slice::from_raw_parts((python.bytes_as_string)(bytes).cast::<u8>(), size);
            let found = std::slice::from_raw_parts(code.cast::<u8>().add(CODE_INSTRUCTIONS), size);
            size > 0 && expected == found && *code.cast::<u8>().add(CODE_ARGUMENT_COUNT).cast::<c_int>() == 3
        };
        (python.dec_ref)(namespace);
        if proven { Ok(()) } else { Err("code objects are not laid out as in CPython 3.11".to_owned()) }
    }
}

/// Proves the offsets into frames on one that is about to run `code`.
///
/// # Safety
/// `thread` and `frame` are what the interpreter passed to a frame evaluator; the GIL is held.
pub unsafe fn prove_frame_layout(
    python: &Python,
    thread: *const c_void,
    frame: *const Frame,
    code: Object,
) -> bool {
    // SAFETY: the frame is at least as large as its first field in any version; `code` lies in it at the expected
    // place or the proof fails before anything else is read.
    unsafe {
        (*frame).code == code
            && python.type_of((*frame).code) == python.code_type
            && python.is_dict((*frame).globals)
            && !current(thread).is_null()
            && python.type_of((*current(thread)).code) == python.code_type
            && python.is_dict((*current(thread)).globals)
    }
}
