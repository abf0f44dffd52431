//! Frames, code objects and generators of CPython, read where the interpreter keeps them.
//!
//! Each version lays them out in its own way. The layout of the version that runs is proven on known calls before
//! anything else is read through it.

use super::api::{MethodDef, Object, Python};
use crate::base::memory::Mapped;
use std::ffi::{c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Offsets in bytes.
#[derive(Debug)]
struct Layout {
    /// Minor version of CPython 3.
    minor: u32,
    /// Of the state of a thread: its innermost frame, or what points to that.
    thread_frame: usize,
    /// Where `thread_frame` points to a `_PyCFrame`: of that, the innermost frame.
    c_frame: Option<usize>,
    /// Of a frame.
    code: usize,
    globals: usize,
    previous: usize,
    instruction: usize,
    owner: usize,
    locals: usize,
    /// Of a frame: its function, which is `None` in frames of the interpreter's own.
    function: Option<usize>,
    /// Of a code object.
    argument_count: usize,
    instructions: usize,
    /// Of a generator: its frame, which lies in it, and its state.
    generator_frame: usize,
    generator_state: usize,
    /// The first and the last state of one that is suspended or has not begun.
    suspended: [i8; 2],
}

const V11: Layout = Layout {
    minor: 11,
    thread_frame: 56,
    c_frame: Some(8),
    code: 32,
    globals: 8,
    previous: 48,
    instruction: 56,
    owner: 69,
    locals: 72,
    function: None,
    argument_count: 56,
    instructions: 184,
    generator_frame: 80,
    generator_state: 75,
    suspended: [-2, -1],
};
const V12: Layout = Layout {
    minor: 12,
    c_frame: Some(0),
    code: 0,
    globals: 24,
    previous: 8,
    owner: 70,
    function: Some(16),
    argument_count: 52,
    instructions: 192,
    generator_frame: 72,
    generator_state: 67,
    suspended: [-3, -1],
    ..V11
};
const V13: Layout = Layout { minor: 13, thread_frame: 72, c_frame: None, instructions: 200, ..V12 };
const V14: Layout = Layout { minor: 14, owner: 74, locals: 80, instructions: 208, ..V13 };
const V15: Layout = Layout { minor: 15, suspended: [0, 3], ..V14 };

static LAYOUTS: [Layout; 5] = [V11, V12, V13, V14, V15];

/// The layout of the version that runs, once it is proven.
static LAYOUT: AtomicPtr<Layout> = AtomicPtr::new((&raw const LAYOUTS[0]).cast_mut());
/// `None`.
static NONE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
/// Whether generators are laid out as expected.
static GENERATORS: AtomicBool = AtomicBool::new(false);

/// `FRAME_OWNED_BY_GENERATOR`, the same in all versions.
const OWNED_BY_GENERATOR: c_char = 1;
/// `FRAME_OWNED_BY_CSTACK` of 3.12 and 3.13, and from 3.14 on `FRAME_OWNED_BY_INTERPRETER`; what is above it has been
/// one of the interpreter's own, too. No call, but where C code called Python code.
const OWNED_BY_C_STACK: c_char = 3;
/// `RETURN_GENERATOR` of CPython 3.11: a generator that has not begun is at it.
const RETURN_GENERATOR: u16 = 75;

#[inline]
fn layout() -> &'static Layout {
    // SAFETY: the pointer is that of an element of `LAYOUTS`.
    unsafe { &*LAYOUT.load(Ordering::Relaxed) }
}

/// Of a reference in a frame (`_PyStackRef`, from 3.14 on): its lowest bits tell who owns it; in a pointer of an older
/// version they are zero.
const TAG_BITS: usize = 3;
/// The tag of a small number, which is no object.
const TAG_OF_NUMBERS: usize = 3;

/// The object of a reference in a frame; null where there is none.
#[inline]
fn untagged(reference: usize) -> Object {
    if reference & TAG_BITS == TAG_OF_NUMBERS {
        return std::ptr::null_mut();
    }
    std::ptr::with_exposed_provenance_mut(reference & !TAG_BITS)
}

/// `_PyInterpreterFrame`: only ever seen by address.
#[repr(C)]
pub struct Frame {
    opaque: [u8; 0],
}

/// The innermost frame of a thread: the one that runs, or the caller of one that is about to.
///
/// # Safety
/// `thread` is the state of the current thread; the GIL is held.
#[inline]
pub unsafe fn current(thread: *const c_void) -> *const Frame {
    let layout = layout();
    // SAFETY: the interpreter keeps the chain of frames as long as the thread runs; the layout is proven.
    unsafe {
        let innermost = thread.cast::<u8>().add(layout.thread_frame).cast::<*const u8>().read();
        match layout.c_frame {
            Some(offset) => innermost.add(offset).cast::<*const Frame>().read(),
            None => innermost.cast(),
        }
    }
}

/// `co_flags`, in every version.
const CODE_FLAGS: usize = 48;

/// How many parameters a code object has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// `co_argcount`.
    arguments: c_int,
    /// `co_kwonlyargcount`.
    keywords: c_int,
    /// `CO_VARARGS` and `CO_VARKEYWORDS` of `co_flags`.
    rest: c_int,
}

impl Signature {
    /// That of a code object with these attributes.
    pub fn new(arguments: i64, keywords: i64, flags: i64) -> Signature {
        Signature { arguments: arguments as c_int, keywords: keywords as c_int, rest: (flags & 12) as c_int }
    }
}

impl Frame {
    #[inline]
    unsafe fn field<T: Copy>(&self, offset: usize) -> T {
        // SAFETY: the callers': a field of that type lies there in the layout that is proven.
        unsafe { std::ptr::from_ref(self).cast::<u8>().add(offset).cast::<T>().read() }
    }

    /// The object that a field refers to; null where it refers to none.
    #[inline]
    unsafe fn reference(&self, offset: usize) -> Object {
        // SAFETY: the callers': the layout has a reference there, which is a word in every version.
        untagged(unsafe { self.field(offset) })
    }

    /// Whether it is no call, but where C code calls Python code or an object is constructed. Not all of its fields
    /// are set.
    #[inline]
    unsafe fn is_the_interpreters(&self, layout: &Layout) -> bool {
        // SAFETY: the callers': a live frame.
        unsafe {
            layout.function.is_some_and(|function| {
                self.field::<c_char>(layout.owner) >= OWNED_BY_C_STACK
                    || self.reference(function) == NONE.load(Ordering::Relaxed)
            })
        }
    }

    /// The code object that runs.
    ///
    /// # Safety
    /// A live frame; the GIL is held. So for all methods.
    #[inline]
    pub unsafe fn code(&self) -> Object {
        // SAFETY: the caller's word.
        unsafe { self.reference(layout().code) }
    }

    /// The module's dict.
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn globals(&self) -> Object {
        // SAFETY: the caller's word.
        unsafe { self.field(layout().globals) }
    }

    /// The frame that called, or null at the bottom of the thread. Only set once the frame runs: of one that is about
    /// to, the caller is [`current`].
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn previous(&self) -> *const Frame {
        let layout = layout();
        // SAFETY: the caller's word: what calls a live frame is live. Frames of the interpreter's own have this field.
        unsafe {
            let mut frame: *const Frame = self.field(layout.previous);
            while let Some(caller) = frame.as_ref()
                && caller.is_the_interpreters(layout)
            {
                frame = caller.field(layout.previous);
            }
            frame
        }
    }

    /// Whether it is a generator's, a coroutine's or an asynchronous generator's, and lies in that object.
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn is_generators(&self) -> bool {
        // SAFETY: the caller's word.
        unsafe { self.field::<c_char>(layout().owner) == OWNED_BY_GENERATOR }
    }

    /// Whether the generator that it is of is suspended.
    ///
    /// # Safety
    /// See [`Frame::code`]; the frame is a generator's, [`generators_are_proven`].
    #[inline]
    pub unsafe fn is_suspended(&self) -> bool {
        let layout = layout();
        // SAFETY: the caller's word: the frame lies in its generator.
        unsafe {
            let generator = std::ptr::from_ref(self).cast::<u8>().sub(layout.generator_frame);
            let state = generator.add(layout.generator_state).cast::<i8>().read();
            let [first, last] = layout.suspended;
            (first..=last).contains(&state)
        }
    }

    /// Whether the generator that it is of has not begun. Only for CPython 3.11.
    ///
    /// # Safety
    /// See [`Frame::is_suspended`].
    #[inline]
    pub unsafe fn has_not_begun(&self) -> bool {
        // SAFETY: the caller's word: a generator that has been made is at an instruction.
        unsafe { self.field::<*const u16>(layout().instruction).read() & 0xff == RETURN_GENERATOR }
    }

    /// The first argument of a call that begins; null where the function takes none, or it was deleted.
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn first_argument(&self, python: &Python) -> Object {
        let layout = layout();
        // SAFETY: the arguments are the first of the frame's locals; there is at least one if the code says so. One
        // that a closure shares lies in a cell once the frame has run, whose content follows the object's head.
        unsafe {
            if self.code().cast::<u8>().add(layout.argument_count).cast::<c_int>().read() == 0 {
                return std::ptr::null_mut();
            }
            self.local(python, 0)
        }
    }

    /// How many parameters the code that runs has. To be compared with its attributes before it is relied on.
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn signature(&self) -> Signature {
        // SAFETY: the caller's word. A code object is larger than this in every version; `co_kwonlyargcount` follows
        // `co_argcount` and `co_posonlyargcount`.
        unsafe {
            let count = layout().argument_count;
            let field = |offset: usize| self.code().cast::<u8>().add(offset).cast::<c_int>().read();
            Signature { arguments: field(count), keywords: field(count + 8), rest: field(CODE_FLAGS) & 12 }
        }
    }

    /// A local variable of a frame that is about to run or to go on, by its place among the names of its code's
    /// variables; null where it is not bound.
    ///
    /// # Safety
    /// A live frame whose code has more variables than `index`; the GIL is held.
    #[inline]
    pub unsafe fn local(&self, python: &Python, index: usize) -> Object {
        // SAFETY: the caller's word. A variable that a closure shares lies in a cell once the frame has run, whose
        // content follows the object's head.
        unsafe {
            let value = self.reference(layout().locals + index * size_of::<Object>());
            if !value.is_null() && python.type_of(value) == python.cell_type {
                *value.cast::<Object>().add(2)
            } else {
                value
            }
        }
    }

    /// Offset in bytes of the instruction that the frame is at, for `PyCode_Addr2Line`.
    ///
    /// # Safety
    /// See [`Frame::code`].
    #[inline]
    pub unsafe fn instruction(&self) -> c_int {
        let layout = layout();
        // SAFETY: the caller's word.
        unsafe {
            let at: isize = self.field(layout.instruction);
            (at - self.code() as isize - layout.instructions as isize) as c_int
        }
    }
}

/// Whether [`Frame::is_suspended`] can be asked.
#[inline]
pub fn generators_are_proven() -> bool {
    GENERATORS.load(Ordering::Relaxed)
}

/// Chooses the layout of this version and proves it on known code, calls and generators.
///
/// # Errors
/// Says what is not where it was expected.
///
/// # Safety
/// The GIL is held and no exception is set.
pub unsafe fn prove(python: &Python) -> Result<(), String> {
    let minor = python.minor_version;
    let layout = LAYOUTS.iter().find(|layout| layout.minor == minor);
    let layout = layout.ok_or_else(|| format!("the layout of frames in CPython 3.{minor} is not known"))?;
    LAYOUT.store(std::ptr::from_ref(layout).cast_mut(), Ordering::Relaxed);
    NONE.store(python.none, Ordering::Relaxed);
    // SAFETY: the caller's word; references are given back.
    unsafe {
        let known = python.run(KNOWN);
        if known.is_null() {
            return Err("known functions could not be compiled".to_owned());
        }
        let proof = if !is_code_proven(python, layout, known) {
            Err(format!("the layout of code objects is not that of CPython 3.{minor}"))
        } else if !are_calls_proven(python, known) {
            Err(format!("the layout of frames is not that of CPython 3.{minor}"))
        } else {
            GENERATORS.store(are_generators_proven(python, layout, known), Ordering::Relaxed);
            // The functions keep the namespace until garbage is collected; generators that are closed run once more, which
            // is not to be in the middle of the script's training.
            for name in [c"begun", c"made"] {
                (python.dict_set_string)(known, name.as_ptr(), python.none);
            }
            Ok(())
        };
        (python.dec_ref)(known);
        proof
    }
}

/// Functions whose frames, arguments and lines are known. They call `probe` with their own code, the code that called
/// them, their first argument, their globals, the line of that call and the line they were called from.
const KNOWN: &std::ffi::CStr = c"def inner(first, second, third):
    return first[0](inner.__code__, second, first, globals(), 2, third)
def key(item):
    return item(key.__code__, outer.__code__, item, globals(), 4, 8)
def outer(probe):
    marker = [probe]
    one = inner(marker, outer.__code__, 7)
    two = sorted(marker, key=key)
    return shared(marker)
def shared(cell):
    (lambda: cell)
    construct(cell)
    return cell[0](shared.__code__, outer.__code__, cell, globals(), 13, 9)
class Made:
    def __init__(self, probe, last):
        if last:
            probe(Made.__init__.__code__, construct.__code__, self, globals(), 17, 20)
def construct(cell):
    for last in [False] * 63 + [True]:
        Made(cell[0], last)
code = inner.__code__
bytes = code.co_code
def generator():
    yield 1
    yield 2
begun, made, done = generator(), generator(), generator()
next(begun)
list(done)
";

/// The instructions of a fresh code object lie where they are expected, and so does its argument count.
unsafe fn is_code_proven(python: &Python, layout: &Layout, known: Object) -> bool {
    // SAFETY: `prove`'s contract: live objects. A code object is longer than the instructions that it says it has.
    unsafe {
        let code = (python.dict_get_string)(known, c"code".as_ptr());
        let bytes = (python.dict_get_string)(known, c"bytes".as_ptr());
        if code.is_null() || bytes.is_null() || python.type_of(code) != python.code_type {
            return false;
        }
        let size = (python.bytes_size)(bytes) as usize;
        let expected = std::slice::from_raw_parts((python.bytes_as_string)(bytes).cast::<u8>(), size);
        let found = std::slice::from_raw_parts(code.cast::<u8>().add(layout.instructions), size);
        // Inline caches, and what counts down to an instruction's specialisation, differ from the copy.
        let same = expected.chunks(2).zip(found.chunks(2)).filter(|(a, b)| a == b).count();
        size > 0
            && expected.get(..2) == found.get(..2)
            && same * 4 >= size
            && code.cast::<u8>().add(layout.argument_count).cast::<c_int>().read() == 3
    }
}

/// How many calls of [`probe`] found what they were told.
static FOUND: AtomicUsize = AtomicUsize::new(0);

/// Frames of known calls hold what they must.
unsafe fn are_calls_proven(python: &Python, known: Object) -> bool {
    static PROBE: MethodDef = MethodDef::new(c"probe", probe);
    FOUND.store(0, Ordering::Relaxed);
    // SAFETY: `prove`'s contract: live objects, references are given back. The definition is never gone.
    unsafe {
        let outer = (python.dict_get_string)(known, c"outer".as_ptr());
        let probe = python.new_function(&PROBE);
        if outer.is_null() || probe.is_null() {
            (python.error_clear)();
            return false;
        }
        let result = (python.call_one_arg)(outer, probe);
        (python.dec_ref)(probe);
        if result.is_null() {
            (python.error_clear)();
            return false;
        }
        (python.dec_ref)(result);
    }
    FOUND.load(Ordering::Relaxed) == 4
}

/// Called by each of the known functions. See [`KNOWN`].
unsafe extern "C-unwind" fn probe(_: Object, arguments: *const Object, count: isize) -> Object {
    let Some(python) = Python::loaded() else { return std::ptr::null_mut() };
    // SAFETY: the interpreter passes `count` live arguments, with the GIL held.
    let found = catch_unwind(|| unsafe {
        let arguments = std::slice::from_raw_parts(arguments, count as usize);
        let &[code, caller, first, globals, line, caller_line] = arguments else { return false };
        is_frame_as_told(python, [code, caller, first, globals], [line, caller_line])
    });
    if found.unwrap_or(false) {
        FOUND.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: `None` lives for ever; the caller gets a reference.
    unsafe { (python.inc_ref)(python.none) };
    python.none
}

unsafe fn is_frame_as_told(python: &Python, told: [Object; 4], lines: [Object; 2]) -> bool {
    let [code, caller_code, first, globals] = told;
    let layout = layout();
    let mapped = Mapped::now();
    // SAFETY: `probe`'s contract. Addresses that are only supposed are read where something is mapped, and compared
    // with what is known before they are followed.
    unsafe {
        let line_is = |frame: &Frame, line: Object| {
            let found = (python.code_address_to_line)(frame.code(), frame.instruction());
            i64::from(found) == (python.long_as_long)(line)
        };
        let thread = (python.thread)() as usize;
        let Some(mut innermost) = mapped.read::<usize>(thread + layout.thread_frame) else { return false };
        if let Some(offset) = layout.c_frame {
            let Some(frame) = mapped.read(innermost + offset) else { return false };
            innermost = frame;
        }
        let code_of = |frame: usize| mapped.read(frame + layout.code).map(untagged);
        if code_of(innermost) != Some(code) {
            return false;
        }
        let frame = &*(innermost as *const Frame);
        let previous = mapped.read::<usize>(innermost + layout.previous);
        if previous.and_then(|previous| mapped.read::<usize>(previous)).is_none() {
            return false;
        }
        let caller = frame.previous();
        if code_of(caller as usize) != Some(caller_code) {
            return false;
        }
        frame.globals() == globals
            && (*caller).globals() == globals
            && frame.first_argument(python) == first
            && !frame.is_generators()
            && line_is(frame, lines[0])
            && line_is(&*caller, lines[1])
    }
}

/// Generators in each state say so, and their frames lie in them.
unsafe fn are_generators_proven(python: &Python, layout: &Layout, known: Object) -> bool {
    // SAFETY: `prove`'s contract: live generators, which are longer than what is read of them.
    unsafe {
        let frame = |name: &std::ffi::CStr| {
            let generator = (python.dict_get_string)(known, name.as_ptr());
            (!generator.is_null())
                .then(|| &*generator.cast::<u8>().add(layout.generator_frame).cast::<Frame>())
        };
        let (Some(made), Some(begun), Some(done)) = (frame(c"made"), frame(c"begun"), frame(c"done")) else {
            return false;
        };
        made.is_suspended()
            && begun.is_suspended()
            && !done.is_suspended()
            && made.is_generators()
            && begun.is_generators()
            && made.code() == begun.code()
            && python.type_of(made.code()) == python.code_type
            && (layout.minor > 11 || made.has_not_begun() && !begun.has_not_begun())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lose_their_tags_and_numbers_are_no_objects() {
        assert_eq!(untagged(0x1000).addr(), 0x1000);
        assert_eq!(untagged(0x1001).addr(), 0x1000);
        assert!(untagged(0).is_null());
        assert!(untagged(1).is_null(), "PyStackRef_NULL");
        assert!(untagged(7 << 2 | 3).is_null(), "the number 7");
    }

    #[test]
    fn every_supported_version_has_a_layout() {
        for minor in 11..=15 {
            let known = LAYOUTS.iter().filter(|layout| layout.minor == minor);
            assert_eq!(known.count(), 1, "3.{minor}");
            let number = format!("3.{minor}.0 (main) [GCC]");
            assert_eq!(crate::interpreter::support::refusal(&number), None);
        }
    }
}
