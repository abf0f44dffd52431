//! Reading tensors of the training process.
//!
//! Nothing that can throw, print, allocate or change a tensor is called: fields are read where they lie, and two
//! getters of libc10 that cannot fail are used for what is behind a virtual call. Where the fields lie is found at
//! start-up from tensors whose every property is known. A tensor is read only if its class and its dispatch keys
//! are those of a plain dense tensor in host memory; that leaves out sparse, quantized, nested, meta, fake,
//! functional, conjugated, inference-mode and wrapper tensors in one comparison.

use std::ffi::c_void;
use std::fmt;
use std::slice;

use super::history::History;
use super::library::{Libtorch, TensorFunctions};
use super::view::{Dtype, TensorView};
use crate::base::memory::Mapped;

/// Dimensions whose sizes and strides lie in the tensor itself.
const INLINE_DIMENSIONS: usize = 5;
/// More dimensions than any tensor has.
const MAX_DIMENSIONS: usize = 64;

/// Where in a set of dispatch keys those of devices are, and in some versions one or two more.
const DEVICES: usize = 0xffff;

/// Python tensor objects with known properties, which the layout is found with.
#[derive(Clone, Copy)]
pub struct KnownTensors {
    /// `torch.arange(6, dtype=torch.float32).reshape(2, 3)`
    pub a: *mut c_void,
    /// `a.t()`
    pub b: *mut c_void,
    /// `a.clone()`
    pub c: *mut c_void,
    /// `torch.nn.Parameter(torch.ones(3))`, with `p.grad = torch.full((3,), 2.0)`
    pub p: *mut c_void,
    /// `torch.arange(14)[2:].reshape(1, 2, 1, 3, 1, 2)`: int64, an offset, more dimensions than lie in the tensor.
    pub deep: *mut c_void,
    /// `torch.empty(2, 3, device="meta")`: differs from `a` in nothing but the device.
    pub meta: *mut c_void,
}

/// A tensor of the process, borrowed: valid as long as its owner keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorRef(usize);

impl TensorRef {
    /// The tensor whose `TensorImpl` is at `address`.
    ///
    /// # Safety
    /// There is one, as long as this is used.
    pub unsafe fn at(address: usize) -> TensorRef {
        TensorRef(address)
    }

    /// Where its `TensorImpl` is.
    pub fn address(self) -> usize {
        self.0
    }
}

/// Why the contents of a tensor cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not in host memory; the number of its `c10::DeviceType`.
    Device(i8),
    /// It is not strided: sparse, nested, batched, undefined or of another class of its own.
    Layout,
    /// It is strided, but more than memory: fake, quantized, conjugated, made in inference mode, a wrapper.
    Wrapped,
    /// It has no storage, its storage is empty (freed until it is needed), or smaller than the tensor.
    NoStorage,
    /// Its elements are of a type whose `c10::ScalarType` number is not known here.
    Dtype(u16),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Device(number) => write!(out, "it is on a device of type {number}"),
            Unreadable::Layout => out.write_str("it is not strided"),
            Unreadable::Wrapped => out.write_str("it is not plain memory"),
            Unreadable::NoStorage => out.write_str("its storage is not there"),
            Unreadable::Dtype(number) => write!(out, "its elements are of type {number}"),
        }
    }
}

/// Where things lie, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The `TensorImpl` pointer in a Python tensor object.
    in_object: usize,
    /// In a `TensorImpl`: the `StorageImpl` pointer; ...
    storage: usize,
    /// ... the number of dimensions, followed by sizes and strides or a pointer to them; ...
    pub(super) dimensions: usize,
    /// ... where in the storage it begins, in elements; ...
    storage_offset: usize,
    /// ... the number of its `c10::ScalarType`; ...
    pub(super) scalar_type: usize,
    /// ... the number of its `c10::DeviceType`; ...
    pub(super) device: usize,
    /// ... its dispatch keys.
    keys: usize,
    /// In a `StorageImpl`: the address of the memory; ...
    data: usize,
    /// ... its length in bytes.
    length: usize,
}

/// Where a storage keeps what frees its memory, and what that is.
type Deleter = (usize, usize);

/// The proven ability to read tensors.
#[derive(Clone, Copy)]
pub struct Tensors {
    pub(super) functions: TensorFunctions,
    pub(super) layout: Layout,
    pub(super) history: History,
    /// The dispatch keys of a plain tensor in host memory.
    plain_keys: u64,
    /// Where a storage keeps what frees its memory, and what that is if PyTorch's own allocator gave it out.
    deleter: Option<Deleter>,
}

impl Tensors {
    /// Finds the layout from tensors that are known, and reads them with it; the reason where they do not come
    /// out as what they are.
    ///
    /// # Safety
    /// The pointers are null or live Python objects, made as [`KnownTensors`] says; the GIL is held.
    pub unsafe fn prove(library: &Libtorch, known: &KnownTensors) -> Result<Tensors, String> {
        let functions = library.tensors.clone()?;
        // SAFETY: the caller's guarantee.
        unsafe {
            let (layout, plain_keys, deleter) = find_layout(&functions, known)?;
            let tensors = Tensors { functions, layout, history: History::default(), plain_keys, deleter };
            tensors.check(known)?;
            Ok(tensors)
        }
    }

    /// The tensor of a Python object.
    ///
    /// # Safety
    /// `object` is a live Python object whose type is exactly `torch.Tensor` or `torch.nn.Parameter`; the GIL is
    /// held.
    #[inline]
    pub unsafe fn from_python(&self, object: *mut c_void) -> Option<TensorRef> {
        // SAFETY: objects of these types have an `at::Tensor` at the proven place.
        let tensor = unsafe { field::<usize>(object as usize, self.layout.in_object) };
        (tensor != 0 && tensor != self.functions.undefined).then_some(TensorRef(tensor))
    }

    /// Its gradient, `None` where it has none.
    ///
    /// # Safety
    /// The tensor lives, and its gradient is not set meanwhile: the GIL is held and no backward runs.
    #[inline]
    pub unsafe fn grad(&self, tensor: TensorRef) -> Option<TensorRef> {
        // SAFETY: the getter is given a live tensor. It returns the address of a pointer and throws nothing: of
        // the classes that implement it only the one of libtorch itself is in a PyTorch process.
        let grad = unsafe { *(self.functions.grad)(tensor.0 as *const c_void) } as usize;
        (grad != 0 && grad != self.functions.undefined).then_some(TensorRef(grad))
    }

    /// Whether it requires a gradient.
    ///
    /// # Safety
    /// The tensor lives; the GIL is held.
    #[inline]
    pub unsafe fn requires_grad(&self, tensor: TensorRef) -> bool {
        // SAFETY: the getter is given a live tensor, and reads a flag.
        unsafe { (self.functions.requires_grad)(tensor.0 as *const c_void) }
    }

    /// The address of its storage, which tensors that share memory share; 0 where it has none. It may be given to
    /// another storage once this one is gone.
    ///
    /// # Safety
    /// The tensor lives; the GIL is held.
    #[inline]
    pub unsafe fn storage_id(&self, tensor: TensorRef) -> usize {
        // SAFETY: a live tensor has this field.
        unsafe { field(tensor.0, self.layout.storage) }
    }

    /// Its contents, if they are plain host memory.
    ///
    /// # Safety
    /// The tensor lives, and neither its shape nor its storage changes as long as the view is used.
    #[inline]
    pub unsafe fn view(&self, tensor: TensorRef) -> Result<TensorView<'_>, Unreadable> {
        let at = &self.layout;
        // SAFETY: a live tensor has these fields; its sizes, strides and storage live as long as it does. That
        // the elements lie in the storage is checked before the view is made.
        unsafe {
            if field::<usize>(tensor.0, 0) != self.functions.plain_class {
                return Err(Unreadable::Layout);
            }
            if field::<u64>(tensor.0, at.keys) != self.plain_keys {
                let device = field::<i8>(tensor.0, at.device);
                return Err(if device == 0 { Unreadable::Wrapped } else { Unreadable::Device(device) });
            }
            let number = field::<u16>(tensor.0, at.scalar_type);
            let dtype = Dtype::from_scalar_type(number).ok_or(Unreadable::Dtype(number))?;

            let (sizes, strides) = dimensions(tensor.0, at.dimensions).ok_or(Unreadable::Layout)?;

            let storage = field::<usize>(tensor.0, at.storage);
            if storage == 0 {
                return Err(Unreadable::NoStorage);
            }
            let data = field::<*const u8>(storage, at.data);
            let length = field::<i64>(storage, at.length);
            let offset = field::<i64>(tensor.0, at.storage_offset);
            if !fits(sizes, strides, offset, dtype.size() as i64, if data.is_null() { 0 } else { length }) {
                return Err(Unreadable::NoStorage);
            }
            let first = data.wrapping_offset(offset as isize * dtype.size() as isize);
            let view = TensorView::new(dtype, first, sizes, strides).ok_or(Unreadable::Layout)?;
            let is_own =
                self.deleter.is_some_and(|(offset, deleter)| field::<usize>(storage, offset) == deleter);
            Ok(if is_own { view } else { view.owned_elsewhere() })
        }
    }

    /// Reads the known tensors and compares.
    ///
    /// # Safety
    /// As for [`Tensors::prove`]; the layout was found from the same tensors.
    unsafe fn check(&self, known: &KnownTensors) -> Result<(), String> {
        // SAFETY: the caller's guarantee; what is read of a view was checked to be there.
        unsafe {
            let tensor = |object| self.from_python(object).ok_or("a known tensor is undefined");
            let a = tensor(known.a)?;
            let p = tensor(known.p)?;
            let grad = self.grad(p).ok_or("the gradient of a known parameter is not found")?;
            if self.grad(a).is_some() || !self.requires_grad(p) || self.requires_grad(a) {
                return Err("gradients of known tensors are not read correctly".to_owned());
            }
            let floats = [
                (a, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
                (tensor(known.b)?, vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
                (tensor(known.c)?, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
                (p, vec![1.0; 3]),
                (grad, vec![2.0; 3]),
            ];
            for (tensor, expected) in floats {
                let view = self.view(tensor).map_err(|why| format!("a known tensor: {why}"))?;
                if view.dtype() != Dtype::F32 || contents::<f32>(&view) != expected {
                    return Err("the contents of a known tensor are not read correctly".to_owned());
                }
            }
            let deep = self.view(tensor(known.deep)?).map_err(|why| format!("a known tensor: {why}"))?;
            if deep.dtype() != Dtype::I64 || contents::<i64>(&deep) != Vec::from_iter(2..14) {
                return Err("a known tensor of many dimensions is not read correctly".to_owned());
            }
            match self.view(tensor(known.meta)?) {
                Err(Unreadable::Device(_)) => Ok(()),
                _ => Err("a tensor without memory is taken for one that has some".to_owned()),
            }
        }
    }
}

/// Sizes and strides of the tensor at `address`, which keeps their number at `offset`; `None` if that cannot be.
///
/// # Safety
/// The tensor lives, as long as they are used.
#[inline]
pub(super) unsafe fn dimensions<'a>(address: usize, offset: usize) -> Option<(&'a [i64], &'a [i64])> {
    // SAFETY: the caller's guarantee: a live tensor has these fields.
    unsafe {
        let count = field::<usize>(address, offset);
        let inside = address + offset + size_of::<usize>();
        let (sizes, strides) = if count <= INLINE_DIMENSIONS {
            (inside as *const i64, (inside as *const i64).add(INLINE_DIMENSIONS))
        } else if count <= MAX_DIMENSIONS {
            let outside = *(inside as *const *const i64);
            (outside, outside.add(count))
        } else {
            return None;
        };
        Some((slice::from_raw_parts(sizes, count), slice::from_raw_parts(strides, count)))
    }
}

/// Whether all elements lie within `length` bytes from the beginning of the storage.
#[inline]
fn fits(sizes: &[i64], strides: &[i64], offset: i64, width: i64, length: i64) -> bool {
    let extent = || -> Option<bool> {
        let (mut first, mut last) = (offset, offset);
        for (&size, &stride) in sizes.iter().zip(strides) {
            if size == 0 {
                return Some(true);
            }
            let reach = stride.checked_mul(size - 1)?;
            let end = if reach < 0 { &mut first } else { &mut last };
            *end = end.checked_add(reach)?;
        }
        Some(first >= 0 && last.checked_add(1)?.checked_mul(width)? <= length)
    };
    extent().unwrap_or(false)
}

/// The elements of a small view in logical order.
///
/// # Safety
/// `Element` is the type of its elements.
unsafe fn contents<Element: Copy>(view: &TensorView) -> Vec<Element> {
    let mut offsets = vec![0isize];
    for (&size, &stride) in view.sizes().iter().zip(view.strides()) {
        offsets = offsets.iter().flat_map(|&at| (0..size).map(move |i| at + (i * stride) as isize)).collect();
    }
    // SAFETY: the maker of the view guarantees that each of its elements can be read.
    offsets
        .into_iter()
        .map(|at| unsafe { view.data().cast::<Element>().offset(at).read_unaligned() })
        .collect()
}

/// # Safety
/// There is a `Value` `offset` bytes behind `address`.
#[inline(always)]
pub(super) unsafe fn field<Value: Copy>(address: usize, offset: usize) -> Value {
    // SAFETY: the caller's guarantee.
    unsafe { ((address + offset) as *const Value).read() }
}

/// Searches for the layout under which the known tensors have their known properties.
///
/// # Safety
/// As for [`Tensors::prove`]. Nothing is assumed of how tensors lie in their objects: every read is of memory that
/// is mapped.
unsafe fn find_layout(
    functions: &TensorFunctions,
    known: &KnownTensors,
) -> Result<(Layout, u64, Option<Deleter>), String> {
    let mapped = Mapped::now();
    let objects = [known.a, known.b, known.c, known.p, known.deep, known.meta].map(|object| object as usize);
    // SAFETY: what is mapped stays so while the proof runs: its pointers lead to objects that live.
    let word = |address: usize| unsafe { mapped.read::<usize>(address) };
    let words = |address: usize, count: usize| -> Vec<usize> {
        (0..count).map_while(|number| word(address + number * size_of::<usize>())).collect()
    };

    let is_tensor = |address: usize| word(address) == Some(functions.plain_class);
    let in_object = [24, 16, 32]
        .into_iter()
        .find(|offset| objects.iter().all(|object| word(object + offset).is_some_and(is_tensor)))
        .ok_or("where a Python tensor object keeps its tensor was not found")?;
    let tensors = objects.map(|object| word(object + in_object).unwrap_or(0));
    let [a, b, c, p, deep, meta] = tensors;

    let storage = [16, 24, 8]
        .into_iter()
        .find(|offset| match (word(a + offset), word(b + offset), word(c + offset)) {
            (Some(of_a), Some(of_b), Some(of_c)) => of_a == of_b && of_a != of_c && of_a != 0 && of_c != 0,
            _ => false,
        })
        .ok_or("where a tensor keeps its storage was not found")?;
    let storages = [a, c, p, deep].map(|tensor| word(tensor + storage).unwrap_or(0));
    let data = (8..64)
        .step_by(8)
        .find(|offset| {
            // SAFETY: any bits make a float; mapped memory stays so.
            let float = |address| unsafe { mapped.read::<f32>(address) };
            let begins = |storage: usize, first: f32, second: f32| {
                word(storage + offset)
                    .is_some_and(|data| float(data) == Some(first) && float(data + 4) == Some(second))
            };
            begins(storages[0], 0.0, 1.0)
                && begins(storages[1], 0.0, 1.0)
                && begins(storages[2], 1.0, 1.0)
                && word(storages[3] + offset).is_some_and(|data| words(data, 4) == [0, 1, 2, 3])
        })
        .ok_or("where a storage keeps its memory was not found")?;
    let length = (data + 8..data + 64)
        .step_by(8)
        .find(|offset| storages.map(|storage| word(storage + offset)) == [24, 24, 12, 112].map(Some))
        .ok_or("where a storage keeps its length was not found")?;

    let shaped = |tensor: usize, sizes: &[usize], strides: &[usize], offset: usize| {
        let (sizes_at, strides_at) = if sizes.len() > INLINE_DIMENSIONS {
            let outside = word(tensor + offset + 8).unwrap_or(0);
            (outside, outside.wrapping_add(8 * sizes.len()))
        } else {
            (tensor + offset + 8, tensor + offset + 8 * (1 + INLINE_DIMENSIONS))
        };
        word(tensor + offset) == Some(sizes.len())
            && words(sizes_at, sizes.len()) == sizes
            && words(strides_at, strides.len()) == strides
    };
    let dimensions = (storage + 8..256)
        .step_by(8)
        .find(|&offset| {
            shaped(a, &[2, 3], &[3, 1], offset)
                && shaped(b, &[3, 2], &[1, 3], offset)
                && shaped(p, &[3], &[1], offset)
                && shaped(deep, &[1, 2, 1, 3, 1, 2], &[12, 6, 6, 2, 2, 1], offset)
        })
        .ok_or("where a tensor keeps its sizes and strides was not found")?;

    let behind = dimensions + 8 * (1 + 2 * INLINE_DIMENSIONS);
    let storage_offset = (behind..behind + 32)
        .step_by(8)
        .find(|offset| tensors.map(|tensor| word(tensor + offset)) == [0, 0, 0, 0, 2, 0].map(Some))
        .ok_or("where a tensor keeps its offset was not found")?;
    let scalar_type = (storage_offset + 8..storage_offset + 48)
        .step_by(2)
        .find(|offset| {
            // SAFETY: any bits make a number; mapped memory stays so.
            let number = |tensor: usize| unsafe { mapped.read::<u16>(tensor + offset) };
            tensors.map(number) == [6, 6, 6, 6, 4, 6].map(Some)
        })
        .ok_or("where a tensor keeps its type was not found")?;
    // A `std::optional<c10::Device>`: the type, no index, present.
    let device = (storage_offset + 8..storage_offset + 48)
        .find(|offset| {
            // SAFETY: as above.
            let bytes = |tensor: usize| unsafe { mapped.read::<[i8; 3]>(tensor + offset) };
            tensors.map(bytes)[..5].iter().all(|bytes| *bytes == Some([0, -1, 1]))
                && bytes(meta)
                    .is_some_and(|[number, index, present]| number > 0 && (index, present) == (-1, 1))
        })
        .ok_or("where a tensor keeps its device was not found")?;
    // The keys of devices are one bit each of the lowest, host memory the first; 15 of them in torch 2.6, 16 in 2.9.
    // Of the others, which say what is done with a tensor, `a` and `meta` share most: autocast, for one, knows host
    // memory and not meta.
    let keys = (device.next_multiple_of(8)..storage_offset + 96)
        .step_by(8)
        .find(|offset| {
            let keys = tensors.map(|tensor| word(tensor + offset).unwrap_or(0));
            let (host, meta) = (keys[0] & DEVICES, keys[5] & DEVICES);
            keys[..5].iter().all(|of_one| *of_one == keys[0])
                && host & !meta == 1
                && (meta & !host).count_ones() == 1
                && keys[0] & keys[5] != 0
        })
        .ok_or("where a tensor keeps its dispatch keys was not found")?;
    let plain_keys = word(a + keys).unwrap_or(0) as u64;
    let layout =
        Layout { in_object, storage, dimensions, storage_offset, scalar_type, device, keys, data, length };
    // Beside the address lie what frees the memory, the same for all that PyTorch's own allocator gave out, and what it is
    // called with, which is not.
    let deleter = [data + 8, data + 16].into_iter().filter(|offset| *offset < length).find_map(|offset| {
        let deleters = storages.map(|storage| word(storage + offset).filter(|deleter| *deleter != 0));
        deleters[0]
            .filter(|_| deleters.iter().all(|deleter| *deleter == deleters[0]))
            .map(|of_all| (offset, of_all))
    });
    Ok((layout, plain_keys, deleter))
}

#[cfg(test)]
mod tests;
