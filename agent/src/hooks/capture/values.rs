//! What is recorded of one value: of numbers and texts what they are, of tensors what they are like, of containers
//! their first elements, of everything else its type.
//!
//! No code of the program's runs: values are told by their exact types, and read through functions of the C API that
//! look into the object itself.

use crate::base::gil::Gil;
use crate::base::hash::FastMap;
use crate::interpreter::api::{Object, Python, symbol};
use crate::interpreter::names::{self, Classes};
use crate::libtorch::proven;
use crate::sink::{self, secrets};
use crate::state::magnitude::Magnitude;
use crate::state::{objects, storages, variables};
use std::ffi::{CStr, c_char, c_int, c_longlong};
use traincheck_schema::record::{Argument, ArgumentKind, tensor as bits};

/// Containers in containers beyond this are not looked into.
const MAX_DEPTH: u8 = 2;
/// Elements of a sequence that are recorded.
const MAX_ELEMENTS: isize = 8;
/// Entries of a dict that are: settings come in dicts.
const MAX_ENTRIES: isize = 16;
/// Records of one end of a call.
const MAX_RECORDS: u32 = 64;
/// Elements of a tensor that are looked at.
const MOST_LOOKED_AT: usize = 1 << 16;
/// Values that are gone over where only those are recorded that are looked at.
const MAX_PASSED: u32 = 16;
/// Characters of a text that are kept.
const MAX_TEXT: usize = 64;
/// Characters of a text that are looked at, to tell a secret.
const LOOKED_AT: isize = 256;
/// Texts and names that values give the dictionary at most.
const MAX_TEXTS: usize = 1 << 14;

/// What of the C API is only needed here.
struct Api {
    type_type: Object,
    unicode_type: Object,
    length: unsafe extern "C-unwind" fn(Object) -> isize,
    substring: unsafe extern "C-unwind" fn(Object, isize, isize) -> Object,
    dict_size: unsafe extern "C-unwind" fn(Object) -> isize,
    set_size: unsafe extern "C-unwind" fn(Object) -> isize,
    as_long_long: unsafe extern "C-unwind" fn(Object, *mut c_int) -> c_longlong,
    str: unsafe extern "C-unwind" fn(Object) -> Object,
    set_type: Object,
    frozenset_type: Object,
}

impl Api {
    fn resolve() -> Option<Api> {
        // SAFETY: the symbols are the C API's functions of these names, with the signatures that CPython documents.
        unsafe {
            Some(Api {
                type_type: symbol("PyType_Type")?,
                unicode_type: symbol("PyUnicode_Type")?,
                length: std::mem::transmute::<Object, unsafe extern "C-unwind" fn(Object) -> isize>(symbol(
                    "PyUnicode_GetLength",
                )?),
                substring: std::mem::transmute::<
                    Object,
                    unsafe extern "C-unwind" fn(Object, isize, isize) -> Object,
                >(symbol("PyUnicode_Substring")?),
                dict_size: std::mem::transmute::<Object, unsafe extern "C-unwind" fn(Object) -> isize>(
                    symbol("PyDict_Size")?,
                ),
                set_size: std::mem::transmute::<Object, unsafe extern "C-unwind" fn(Object) -> isize>(
                    symbol("PySet_Size")?,
                ),
                as_long_long: std::mem::transmute::<
                    Object,
                    unsafe extern "C-unwind" fn(Object, *mut c_int) -> c_longlong,
                >(symbol("PyLong_AsLongLongAndOverflow")?),
                str: std::mem::transmute::<Object, unsafe extern "C-unwind" fn(Object) -> Object>(symbol(
                    "PyObject_Str",
                )?),
                set_type: symbol("PySet_Type")?,
                frozenset_type: symbol("PyFrozenSet_Type")?,
            })
        }
    }
}

#[derive(Default)]
struct Known {
    api: Option<Option<&'static Api>>,
    /// Ids of names of elements, by that of their container and the hash of their key.
    elements: FastMap<(u32, u64), u32>,
    /// The names themselves, and those of parameters, by id.
    paths: FastMap<u32, String>,
    /// Ids of texts, by the hash of what they describe.
    texts: FastMap<u64, u32>,
}

static KNOWN: Gil<Option<Known>> = Gil::new(None);

unsafe fn known<R: Default>(use_it: impl FnOnce(&mut Known) -> R) -> R {
    // SAFETY: the callers hold the GIL, and what they do in here runs no Python code.
    unsafe { KNOWN.with(|known| use_it(known.get_or_insert_with(Known::default))) }
}

/// The id of a text by the hash of what it says; 0 once there are too many.
unsafe fn text_id(hash: u64, make: impl FnOnce() -> String) -> u32 {
    // SAFETY: the callers hold the GIL.
    unsafe {
        known(|known| {
            if let Some(id) = known.texts.get(&hash) {
                return *id;
            }
            if known.texts.len() >= MAX_TEXTS {
                return 0;
            }
            let id = sink::text(&make());
            known.texts.insert(hash, id);
            id
        })
    }
}

impl Name {
    /// The name of a parameter, or of a result.
    ///
    /// # Safety
    /// The GIL is held.
    pub unsafe fn new(text: &str) -> Name {
        let id = sink::text(text);
        // SAFETY: the caller's word.
        unsafe { known(|known| known.paths.insert(id, text.to_owned())) };
        Name { id, secret: secrets::is_secret_name(text) }
    }
}

/// Records values.
pub struct Values<'a> {
    python: &'a Python,
    api: &'static Api,
    classes: Classes,
    /// What all records have in common.
    template: Argument,
    left: u32,
    /// The elements of tensors are looked at.
    looks: bool,
    /// Nothing is recorded but tensors whose elements are.
    only: bool,
}

/// The name under which a value is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Dictionary id.
    pub id: u32,
    /// Values under it are nobody's business.
    pub secret: bool,
}

impl<'a> Values<'a> {
    /// Records values with what `template` says of the call. `None`: nothing can be read.
    ///
    /// # Safety
    /// The GIL is held, and no exception is set. So for all methods, whose objects live.
    pub unsafe fn new(python: &'a Python, template: Argument) -> Option<Values<'a>> {
        // SAFETY: the caller's word.
        unsafe {
            let api = known(|known| {
                *known.api.get_or_insert_with(|| Api::resolve().map(|api| &*Box::leak(Box::new(api))))
            })?;
            let classes = names::classes()?;
            Some(Values { python, api, classes, template, left: MAX_RECORDS, looks: false, only: false })
        }
    }

    /// The same, with a look at the elements of tensors; `only`: nothing is recorded but these.
    pub fn looking(self, only: bool) -> Values<'a> {
        Values { looks: true, only, left: if only { MAX_PASSED } else { self.left }, ..self }
    }

    fn emit(&mut self, name: u32, kind: ArgumentKind, value: u64, text: u32) {
        self.say(Argument { name, value_kind: kind as u8, value, text, ..self.template });
    }

    fn say(&mut self, argument: Argument) {
        if self.only {
            // What is gone over is counted.
            sink::emit_argument(&argument);
        } else if self.left > 0 {
            self.left -= 1;
            sink::emit_argument(&argument);
        }
    }

    /// Records a value, and what it holds.
    ///
    /// # Safety
    /// See [`Values::new`].
    pub unsafe fn value(&mut self, name: Name, value: Object) {
        // SAFETY: the caller's word.
        unsafe { self.at(name, value, 0) }
    }

    /// Records the elements of the tuple of `*args`, or of the dict of `**kwargs`.
    ///
    /// # Safety
    /// See [`Values::new`].
    pub unsafe fn rest(&mut self, name: Name, value: Object) {
        // SAFETY: the caller's word.
        unsafe {
            if self.python.is_tuple(value) {
                self.sequence(name, value, (self.python.tuple_size)(value), self.python.tuple_get, 0);
            } else if self.python.is_dict(value) {
                self.dict(name, value, 0);
            }
        }
    }

    unsafe fn at(&mut self, name: Name, value: Object, depth: u8) {
        let python = self.python;
        // SAFETY: the callers': a live object or null, the GIL held, no exception set.
        unsafe {
            if self.left == 0 || value.is_null() {
                return;
            }
            let class = python.type_of(value);
            if self.only {
                self.left -= 1;
                let is_tensor = class == self.classes.tensor || class == self.classes.parameter;
                if !is_tensor && !python.is_tuple(value) && !python.is_list(value) && !python.is_dict(value) {
                    return;
                }
            }
            if value == python.none {
                self.emit(name.id, ArgumentKind::None, 0, 0);
            } else if class == python.bool_type {
                self.emit(name.id, ArgumentKind::Bool, u64::from((python.is_true)(value) == 1), 0);
            } else if class == self.classes.tensor || class == self.classes.parameter {
                self.tensor(name, value);
            } else if name.secret {
                self.emit(name.id, ArgumentKind::Redacted, 0, 0);
            } else if class == python.long_type {
                let mut overflow = 0;
                let number = (self.api.as_long_long)(value, &raw mut overflow);
                match overflow {
                    0 => self.emit(name.id, ArgumentKind::Int, number as u64, 0),
                    _ => self.emit(name.id, ArgumentKind::BigInt, u64::from(overflow < 0), 0),
                }
            } else if class == python.float_type {
                self.emit(name.id, ArgumentKind::Float, (python.float_as_double)(value).to_bits(), 0);
            } else if class == self.api.unicode_type {
                self.text(name, value);
            } else if python.is_tuple(value) {
                self.container(name, class, (python.tuple_size)(value), |values, size| {
                    values.sequence(name, value, size, python.tuple_get, depth + 1);
                });
            } else if python.is_list(value) {
                self.container(name, class, (python.list_size)(value), |values, size| {
                    values.sequence(name, value, size, python.list_get, depth + 1);
                });
            } else if python.is_dict(value) {
                self.container(name, class, (self.api.dict_size)(value), |values, _| {
                    values.dict(name, value, depth + 1);
                });
            } else if class == self.api.set_type || class == self.api.frozenset_type {
                // The order of its elements means nothing.
                self.container(name, class, (self.api.set_size)(value), |values, size| {
                    values.truncated(name, size);
                });
            } else {
                self.object(name, value, class);
            }
        }
    }

    unsafe fn container(
        &mut self,
        name: Name,
        class: Object,
        size: isize,
        elements: impl FnOnce(&mut Self, isize),
    ) {
        if !self.only {
            // SAFETY: `at`'s contract.
            let text = unsafe { self.type_text(class) };
            self.emit(name.id, ArgumentKind::Container, size.max(0) as u64, text);
        }
        elements(self, size.max(0));
    }

    fn truncated(&mut self, name: Name, left_out: isize) {
        if left_out > 0 && !self.only {
            self.emit(name.id, ArgumentKind::Truncated, left_out as u64, 0);
        }
    }

    unsafe fn sequence(
        &mut self,
        name: Name,
        value: Object,
        size: isize,
        get: unsafe extern "C-unwind" fn(Object, isize) -> Object,
        depth: u8,
    ) {
        let shown = if depth > MAX_DEPTH { 0 } else { size.min(MAX_ELEMENTS) };
        // SAFETY: `at`'s contract; nothing changes the sequence meanwhile.
        unsafe {
            for index in 0..shown {
                if self.left == 0 {
                    break;
                }
                let id = element(name.id, index as u64, || format!("[{index}]"));
                self.at(Name { id, ..name }, get(value, index), depth);
            }
        }
        self.truncated(name, size - shown);
    }

    unsafe fn dict(&mut self, name: Name, value: Object, depth: u8) {
        let python = self.python;
        // SAFETY: `at`'s contract; nothing changes the dict meanwhile. A key that is no text or number is told by its
        // type: its own code is not asked.
        unsafe {
            let size = (self.api.dict_size)(value);
            let shown = if depth > MAX_DEPTH { 0 } else { size.min(MAX_ENTRIES) };
            let (mut position, mut key, mut entry) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            for index in 0..shown {
                if self.left == 0
                    || (python.dict_next)(value, &raw mut position, &raw mut key, &raw mut entry) == 0
                {
                    break;
                }
                let class = python.type_of(key);
                let (id, secret) = if class == self.api.unicode_type {
                    let key = self.beginning(key);
                    let secret = secrets::is_secret_name(&key) || secrets::is_secret_text(&key);
                    let shown = if secrets::is_secret_text(&key) { sink::REDACTED } else { cut(&key) };
                    (element(name.id, hash(&key), || format!("['{shown}']")), secret)
                } else if class == python.long_type {
                    let mut overflow = 0;
                    let number = (self.api.as_long_long)(key, &raw mut overflow);
                    (element(name.id, number as u64 ^ 1 << 63, || format!("[{number}]")), false)
                } else {
                    let text = self.type_name(class);
                    (element(name.id, hash(&text) ^ index as u64, || format!("[<{text} {index}>]")), false)
                };
                self.at(Name { id, secret: name.secret || secret }, entry, depth);
            }
            self.truncated(name, size - shown);
        }
    }

    /// The first characters of a `str`.
    unsafe fn beginning(&self, text: Object) -> String {
        // SAFETY: `at`'s contract: an exact `str`. Of a long one a copy of the beginning is looked at: the whole would
        // be encoded, and its encoding kept.
        unsafe {
            if (self.api.length)(text) <= LOOKED_AT {
                return self.python.text(text).to_owned();
            }
            let short = (self.api.substring)(text, 0, LOOKED_AT);
            if short.is_null() {
                (self.python.error_clear)();
                return String::new();
            }
            let copy = self.python.text(short).to_owned();
            (self.python.dec_ref)(short);
            copy
        }
    }

    unsafe fn text(&mut self, name: Name, value: Object) {
        // SAFETY: `at`'s contract.
        unsafe {
            let text = self.beginning(value);
            if secrets::is_secret_text(&text) {
                return self.emit(name.id, ArgumentKind::Redacted, 0, 0);
            }
            let length = (self.api.length)(value).max(0) as u64;
            let text = cut(&text);
            let id = text_id(hash(text), || text.to_owned());
            self.emit(name.id, ArgumentKind::Text, length, id);
        }
    }

    unsafe fn tensor(&mut self, name: Name, value: Object) {
        // SAFETY: `at`'s contract: a tensor of an exact type.
        unsafe {
            let Some(tensors) = proven::tensors() else {
                return self.object(name, value, self.python.type_of(value));
            };
            let Some(tensor) = tensors.from_python(value) else {
                return self.emit(name.id, ArgumentKind::None, 0, 0);
            };
            let found = match tensors.view(tensor) {
                Ok(view) if self.looks => Magnitude::of(&view, MOST_LOOKED_AT),
                _ => None,
            };
            if self.only && found.is_none() {
                return;
            }
            let like = tensors.describe(tensor);
            let mut flags = 0;
            if tensors.requires_grad(tensor) {
                flags |= bits::REQUIRES_GRAD;
            }
            if tensors.is_leaf(tensor) == Some(true) {
                flags |= bits::LEAF;
            }
            if !like.contiguous {
                flags |= bits::NON_CONTIGUOUS;
            }
            let version = tensors.version(tensor);
            if version.is_some() {
                flags |= bits::VERSION_KNOWN;
            }
            if let Some(found) = found {
                flags |= bits::LARGEST_KNOWN;
                flags |= if found.not_finite { bits::NOT_FINITE } else { 0 };
            }
            let text = text_id(like.hash(), || like.to_string());
            self.say(Argument {
                name: name.id,
                value_kind: ArgumentKind::Tensor as u8,
                value: u64::from(version.unwrap_or(0)),
                text,
                storage: storages::number(tensors.storage_id(tensor)),
                flags,
                largest: found.map_or(0.0, |found| found.largest),
                ..self.template
            });
        }
    }

    unsafe fn object(&mut self, name: Name, value: Object, class: Object) {
        // SAFETY: `at`'s contract.
        unsafe {
            let object = match objects::id_of(self.python, value) {
                0 => variables::module_object(self.python, value),
                id => id,
            };
            let type_name = self.type_name(class);
            let text = match () {
                () if self.is_static(class) && type_name == "numpy.ndarray" => array_text(value),
                () if self.is_static(class) && matches!(&*type_name, "torch.dtype" | "torch.device") => {
                    self.printed(value)
                }
                () => None,
            };
            let text = match text {
                Some(text) => text_id(hash(&text), || text.clone()),
                None => self.type_text(class),
            };
            self.say(Argument {
                name: name.id,
                value_kind: ArgumentKind::Object as u8,
                text,
                object,
                ..self.template
            });
        }
    }

    /// Whether a type is an extension's own, whose methods are C functions.
    unsafe fn is_static(&self, class: Object) -> bool {
        const HEAP_TYPE: std::ffi::c_ulong = 1 << 9;
        // SAFETY: `at`'s contract: a live type.
        unsafe { (self.python.type_flags)(class) & HEAP_TYPE == 0 }
    }

    /// `str(value)`, of an extension's own type.
    unsafe fn printed(&self, value: Object) -> Option<String> {
        // SAFETY: `at`'s contract; the callers see to it that no Python code runs.
        unsafe {
            let text = (self.api.str)(value);
            if text.is_null() {
                (self.python.error_clear)();
                return None;
            }
            let copy = self.python.text(text).to_owned();
            (self.python.dec_ref)(text);
            Some(copy)
        }
    }

    unsafe fn type_text(&self, class: Object) -> u32 {
        // SAFETY: `at`'s contract.
        unsafe {
            let name = self.type_name(class);
            text_id(hash(&name), || name.into_owned())
        }
    }

    /// The name of a type. A metaclass of the program's own is not asked.
    unsafe fn type_name(&self, class: Object) -> std::borrow::Cow<'static, str> {
        // SAFETY: `at`'s contract: a live type.
        unsafe {
            if self.python.type_of(class) == self.api.type_type {
                names::type_name(self.python, class).into()
            } else {
                own_name(class).into()
            }
        }
    }
}

/// What a type itself calls its instances: of a class written in Python the bare name, else with the module.
///
/// # Safety
/// A live type; the GIL is held.
pub unsafe fn own_name(class: Object) -> String {
    /// `tp_name`, behind the head of a variable object.
    const NAME: usize = 24;
    // SAFETY: the caller's word; the name is a C string that lives as long as the type does.
    unsafe {
        let name = class.cast::<u8>().add(NAME).cast::<*const c_char>().read();
        if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// `numpy.ndarray [3, 4]`.
///
/// # Safety
/// A live NumPy array; the GIL is held.
unsafe fn array_text(array: Object) -> Option<String> {
    // `PyArrayObject_fields`: head, data, number of dimensions, dimensions; the same in NumPy 1 and 2.
    const DIMENSIONS: usize = 24;
    const SIZES: usize = 32;
    // SAFETY: the caller's word.
    unsafe {
        let dimensions = array.cast::<u8>().add(DIMENSIONS).cast::<c_int>().read();
        let sizes = array.cast::<u8>().add(SIZES).cast::<*const isize>().read();
        let dimensions = usize::try_from(dimensions).ok().filter(|count| *count <= 64)?;
        if dimensions == 0 {
            return Some("numpy.ndarray []".to_owned());
        }
        (!sizes.is_null())
            .then(|| format!("numpy.ndarray {:?}", std::slice::from_raw_parts(sizes, dimensions)))
    }
}

/// The id of the name of an element of the container `of`.
unsafe fn element(of: u32, key: u64, path: impl Fn() -> String) -> u32 {
    // SAFETY: the callers hold the GIL.
    unsafe {
        known(|known| {
            if let Some(id) = known.elements.get(&(of, key)) {
                return *id;
            }
            if known.elements.len() >= MAX_TEXTS {
                return 0;
            }
            let path = known.paths.get(&of).map_or_else(&path, |of| format!("{of}{}", path()));
            let id = sink::text(&path);
            known.elements.insert((of, key), id);
            known.paths.insert(id, path);
            id
        })
    }
}

fn hash(text: &str) -> u64 {
    sink::content_hash(text.as_bytes())
}

/// The first [`MAX_TEXT`] characters.
fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
