//! The proof of the layout, before tensors that are laid out otherwise or are not what they should be.

use super::*;
use std::ptr;

/// What every plain tensor of the stand-in begins with.
static CLASS: usize = 0;
const WORDS: usize = 40;
/// Where the getters of the stand-in look, in words.
const GRADIENT: usize = 38;
const REQUIRES_GRADIENT: usize = 39;

unsafe extern "C-unwind" fn grad(tensor: *const c_void) -> *const *const c_void {
    // SAFETY: a tensor of the stand-in.
    unsafe { tensor.cast::<*const c_void>().add(GRADIENT) }
}

unsafe extern "C-unwind" fn requires_grad(tensor: *const c_void) -> bool {
    // SAFETY: as above.
    unsafe { *tensor.cast::<usize>().add(REQUIRES_GRADIENT) != 0 }
}

fn functions() -> TensorFunctions {
    TensorFunctions {
        grad,
        requires_grad,
        plain_class: &raw const CLASS as usize,
        sparse_class: None,
        compressed_class: None,
        undefined: 1,
    }
}

/// Where a version of PyTorch keeps things, in bytes.
#[derive(Clone, Copy)]
struct Version {
    in_object: usize,
    storage: usize,
    dimensions: usize,
    data: usize,
    length: usize,
    /// Devices that have a bit in the dispatch keys.
    devices: u32,
}

const TORCH_2_6: Version =
    Version { in_object: 24, storage: 16, dimensions: 64, data: 16, length: 40, devices: 15 };
const TORCH_2_9: Version = Version { devices: 16, ..TORCH_2_6 };
const ANOTHER: Version =
    Version { in_object: 32, storage: 24, dimensions: 88, data: 24, length: 56, devices: 14 };

type Words = Box<[usize; WORDS]>;

/// The known tensors, made by hand. Boxes stay where they are, so their addresses may be written into each other.
struct Known {
    version: Version,
    tensors: [Words; 6],
    gradient: Words,
    storages: Vec<Words>,
    contents: Vec<Vec<u32>>,
    objects: [Words; 6],
}

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const P: usize = 3;
const DEEP: usize = 4;
const META: usize = 5;

impl Known {
    fn new(version: Version) -> Known {
        let words = || Box::new([0; WORDS]);
        let mut known = Known {
            version,
            tensors: std::array::from_fn(|_| words()),
            gradient: words(),
            storages: Vec::new(),
            contents: Vec::new(),
            objects: std::array::from_fn(|_| words()),
        };
        let floats = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let numbers = floats(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let integers: Vec<u32> = (0..14).flat_map(|number| [number, 0]).collect();
        let a = known.storage(numbers.clone());
        let c = known.storage(numbers);
        let p = known.storage(floats(&[1.0; 3]));
        let deep = known.storage(integers);
        let gradient = known.storage(floats(&[2.0; 3]));
        known.tensor(A, a, &[2, 3], &[3, 1]);
        known.tensor(B, a, &[3, 2], &[1, 3]);
        known.tensor(C, c, &[2, 3], &[3, 1]);
        known.tensor(P, p, &[3], &[1]);
        known.tensor(DEEP, deep, &[1, 2, 1, 3, 1, 2], &[12, 6, 6, 2, 2, 1]);
        known.tensor(META, c, &[2, 3], &[3, 1]);
        known.offset(DEEP, 2);
        known.scalar_type(DEEP, 4);
        known.device(META, 14);
        known.keys(META, 0b100);
        known.gradient = known.tensors[P].clone();
        known.gradient[version.storage / 8] = &raw const *known.storages[gradient] as usize;
        known.tensors[P][GRADIENT] = &raw const *known.gradient as usize;
        known.tensors[P][REQUIRES_GRADIENT] = 1;
        for number in 0..known.objects.len() {
            known.objects[number][version.in_object / 8] = &raw const *known.tensors[number] as usize;
        }
        known
    }

    fn storage(&mut self, contents: Vec<u32>) -> usize {
        let mut storage = Box::new([0; WORDS]);
        storage[self.version.data / 8] = contents.as_ptr() as usize;
        storage[self.version.length / 8] = 4 * contents.len();
        self.contents.push(contents);
        self.storages.push(storage);
        self.storages.len() - 1
    }

    fn tensor(&mut self, number: usize, storage: usize, sizes: &[usize], strides: &[usize]) {
        let at = self.version.dimensions / 8;
        self.tensors[number][0] = functions().plain_class;
        self.tensors[number][self.version.storage / 8] = &raw const *self.storages[storage] as usize;
        self.tensors[number][at] = sizes.len();
        if sizes.len() <= INLINE_DIMENSIONS {
            self.tensors[number][at + 1..][..sizes.len()].copy_from_slice(sizes);
            self.tensors[number][at + 1 + INLINE_DIMENSIONS..][..sizes.len()].copy_from_slice(strides);
        } else {
            let outside = Box::leak([sizes, strides].concat().into_boxed_slice());
            self.tensors[number][at + 1] = outside.as_ptr() as usize;
        }
        self.scalar_type(number, 6);
        self.device(number, 0);
        self.keys(number, 1);
    }

    fn behind(&self) -> usize {
        self.version.dimensions / 8 + 1 + 2 * INLINE_DIMENSIONS
    }

    fn offset(&mut self, number: usize, offset: usize) {
        let at = self.behind();
        self.tensors[number][at] = offset;
    }

    /// After the offset come the number of elements, and a word with the type and the device.
    fn scalar_type(&mut self, number: usize, scalar_type: usize) {
        let at = self.behind() + 2;
        self.tensors[number][at] = self.tensors[number][at] & !0xffff | scalar_type;
    }

    fn device(&mut self, number: usize, device: usize) {
        let at = self.behind() + 2;
        self.tensors[number][at] = self.tensors[number][at] & 0xffff | (0x1_ff00 | device) << 16;
    }

    fn keys(&mut self, number: usize, devices: usize) {
        let at = self.behind() + 4;
        self.tensors[number][at] = devices | 1 << self.version.devices | usize::from(devices == 1) << 40;
    }

    fn prove(&self) -> Result<Tensors, String> {
        let library = Libtorch { tensors: Ok(functions()), ..Libtorch::empty("not used here") };
        let [a, b, c, p, deep, meta] =
            std::array::from_fn(|number| (&raw const *self.objects[number]).cast_mut().cast::<c_void>());
        // SAFETY: the objects live.
        unsafe { Tensors::prove(&library, &KnownTensors { a, b, c, p, deep, meta }) }
    }
}

#[test]
fn layouts_are_found_wherever_things_lie() {
    for version in [TORCH_2_6, TORCH_2_9, ANOTHER] {
        let known = Known::new(version);
        let tensors = known.prove().expect("a proof");
        let layout = tensors.layout;
        assert_eq!(
            (layout.in_object, layout.storage, layout.dimensions, layout.data, layout.length),
            (version.in_object, version.storage, version.dimensions, version.data, version.length)
        );
    }
}

#[test]
fn what_is_not_as_it_should_be_is_not_read() {
    type Break = fn(&mut Known);
    let broken: &[(&str, Break)] = &[
        ("where a Python tensor object keeps its tensor was not found", |known| known.tensors[C][0] = 7),
        ("where a Python tensor object keeps its tensor was not found", |known| known.objects[P].fill(0)),
        ("where a tensor keeps its storage was not found", |known| {
            let own = known.storage(vec![0; 6]);
            known.tensor(B, own, &[3, 2], &[1, 3]);
        }),
        ("where a storage keeps its memory was not found", |known| known.contents[0][1] = 0),
        ("where a storage keeps its memory was not found", |known| known.storages[1].fill(8)),
        ("where a storage keeps its length was not found", |known| {
            known.storages[0][TORCH_2_9.length / 8] = 20;
        }),
        ("where a tensor keeps its sizes and strides was not found", |known| {
            known.tensor(DEEP, 3, &[1, 2, 1, 3, 1, 2], &[12, 6, 6, 2, 2, 2]);
        }),
        ("where a tensor keeps its offset was not found", |known| known.offset(A, 2)),
        ("where a tensor keeps its type was not found", |known| known.scalar_type(DEEP, 6)),
        ("where a tensor keeps its device was not found", |known| known.device(META, 0)),
        ("where a tensor keeps its dispatch keys was not found", |known| known.keys(META, 1)),
        ("where a tensor keeps its dispatch keys was not found", |known| known.keys(C, 3)),
        ("the gradient of a known parameter is not found", |known| known.tensors[P][GRADIENT] = 0),
        ("gradients of known tensors are not read correctly", |known| {
            known.tensors[A][GRADIENT] = known.tensors[P][GRADIENT];
        }),
        ("gradients of known tensors are not read correctly", |known| {
            known.tensors[P][REQUIRES_GRADIENT] = 0;
        }),
        ("the contents of a known tensor are not read correctly", |known| known.contents[0][5] = 0),
        ("the contents of a known tensor are not read correctly", |known| known.contents[4][2] = 0),
        ("a known tensor of many dimensions is not read correctly", |known| known.contents[3][8] = 0),
    ];
    for (number, (reason, breaks)) in broken.iter().enumerate() {
        let mut known = Known::new(TORCH_2_9);
        breaks(&mut known);
        assert_eq!(known.prove().err().as_deref(), Some(*reason), "number {number}");
    }
}

#[test]
fn nothing_is_read_where_nothing_is_mapped() {
    let mut known = Known::new(TORCH_2_9);
    for object in &mut known.objects {
        object.fill(0x1000);
    }
    assert!(known.prove().is_err());
    let library = Libtorch::empty("libc10.so has no such getter");
    let none = KnownTensors {
        a: ptr::null_mut(),
        b: ptr::null_mut(),
        c: ptr::null_mut(),
        p: ptr::null_mut(),
        deep: ptr::null_mut(),
        meta: ptr::null_mut(),
    };
    // SAFETY: null is allowed.
    unsafe {
        assert_eq!(Tensors::prove(&library, &none).err(), library.tensors.clone().err());
        let library = Libtorch { tensors: Ok(functions()), ..library };
        let why = Tensors::prove(&library, &none).err().expect("a reason");
        assert!(why.starts_with("where a Python tensor object"), "{why}");
    }
}
