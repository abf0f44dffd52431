//! What of a tensor is needed to read its contents.

use std::fmt;

/// The element types that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// `torch.bool`, one byte.
    Bool,
    /// `torch.uint8`.
    U8,
    /// `torch.int8`.
    I8,
    /// `torch.uint16`.
    U16,
    /// `torch.int16`.
    I16,
    /// `torch.uint32`.
    U32,
    /// `torch.int32`.
    I32,
    /// `torch.uint64`.
    U64,
    /// `torch.int64`.
    I64,
    /// `torch.float16`.
    F16,
    /// `torch.bfloat16`.
    Bf16,
    /// `torch.float32`.
    F32,
    /// `torch.float64`.
    F64,
    /// `torch.float8_e5m2`.
    F8E5M2,
    /// `torch.float8_e4m3fn`.
    F8E4M3Fn,
    /// `torch.float8_e5m2fnuz`.
    F8E5M2Fnuz,
    /// `torch.float8_e4m3fnuz`.
    F8E4M3Fnuz,
    /// `torch.float8_e8m0fnu`: scales of blocks.
    F8E8M0Fnu,
    /// `torch.complex32`: two float16.
    C32,
    /// `torch.complex64`: two float32.
    C64,
    /// `torch.complex128`: two float64.
    C128,
}

impl Dtype {
    /// The type of a `c10::ScalarType`, whose numbers are only ever appended to; `None` for one that cannot be
    /// read: the quantized and the sub-byte types.
    pub fn from_scalar_type(number: u16) -> Option<Dtype> {
        Some(match number {
            0 => Dtype::U8,
            1 => Dtype::I8,
            2 => Dtype::I16,
            3 => Dtype::I32,
            4 => Dtype::I64,
            5 => Dtype::F16,
            6 => Dtype::F32,
            7 => Dtype::F64,
            8 => Dtype::C32,
            9 => Dtype::C64,
            10 => Dtype::C128,
            11 => Dtype::Bool,
            15 => Dtype::Bf16,
            23 => Dtype::F8E5M2,
            24 => Dtype::F8E4M3Fn,
            25 => Dtype::F8E5M2Fnuz,
            26 => Dtype::F8E4M3Fnuz,
            27 => Dtype::U16,
            28 => Dtype::U32,
            29 => Dtype::U64,
            44 => Dtype::F8E8M0Fnu,
            _ => return None,
        })
    }

    /// Bytes of one element; of a complex one, both parts.
    pub fn size(self) -> usize {
        match self {
            Dtype::Bool | Dtype::U8 | Dtype::I8 => 1,
            Dtype::F8E5M2 | Dtype::F8E4M3Fn | Dtype::F8E5M2Fnuz | Dtype::F8E4M3Fnuz | Dtype::F8E8M0Fnu => 1,
            Dtype::U16 | Dtype::I16 | Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 | Dtype::C32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 | Dtype::C64 => 8,
            Dtype::C128 => 16,
        }
    }

    /// The type whose values the statistics are made of: of a complex type, that of its parts.
    pub fn part(self) -> Dtype {
        match self {
            Dtype::C32 => Dtype::F16,
            Dtype::C64 => Dtype::F32,
            Dtype::C128 => Dtype::F64,
            real => real,
        }
    }

    /// PyTorch's name of it, without `torch.`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "bool",
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::U16 => "uint16",
            Dtype::I16 => "int16",
            Dtype::U32 => "uint32",
            Dtype::I32 => "int32",
            Dtype::U64 => "uint64",
            Dtype::I64 => "int64",
            Dtype::F16 => "float16",
            Dtype::Bf16 => "bfloat16",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
            Dtype::F8E5M2 => "float8_e5m2",
            Dtype::F8E4M3Fn => "float8_e4m3fn",
            Dtype::F8E5M2Fnuz => "float8_e5m2fnuz",
            Dtype::F8E4M3Fnuz => "float8_e4m3fnuz",
            Dtype::F8E8M0Fnu => "float8_e8m0fnu",
            Dtype::C32 => "complex32",
            Dtype::C64 => "complex64",
            Dtype::C128 => "complex128",
        }
    }
}

/// A strided tensor in host memory, borrowed: nothing of it is retained.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: Dtype,
    data: *const u8,
    sizes: &'a [i64],
    strides: &'a [i64],
    elements: usize,
    owned_elsewhere: bool,
}

impl<'a> TensorView<'a> {
    /// A view of the tensor whose first element is at `data`; strides are in elements.
    ///
    /// `None` where the sizes make no tensor: a negative one, as many strides as sizes missing, more bytes than
    /// an address can count.
    ///
    /// # Safety
    /// Every element that `sizes` and `strides` address lies in memory that is readable, and is not freed, for
    /// as long as the view lives. Other threads may write to it: then what is read is a mixture.
    pub unsafe fn new(
        dtype: Dtype,
        data: *const u8,
        sizes: &'a [i64],
        strides: &'a [i64],
    ) -> Option<TensorView<'a>> {
        if sizes.len() != strides.len() {
            return None;
        }
        let mut elements = 1usize;
        for &size in sizes {
            elements = elements.checked_mul(usize::try_from(size).ok()?)?;
        }
        elements.checked_mul(dtype.size()).filter(|&bytes| bytes <= isize::MAX as usize)?;
        Some(TensorView { dtype, data, sizes, strides, elements, owned_elsewhere: false })
    }

    /// The same of memory that PyTorch did not allocate and so may go while the view lives: a file that is mapped can
    /// become shorter, and whoever the memory belongs to may take it away. It must not be read but by the kernel, see
    /// [`memory::copy`].
    pub fn owned_elsewhere(self) -> TensorView<'a> {
        TensorView { owned_elsewhere: true, ..self }
    }

    /// Whether it must not be read directly.
    pub fn is_owned_elsewhere(&self) -> bool {
        self.owned_elsewhere
    }

    /// How many bytes the elements take from the lowest to the highest address, and how far before the first one they
    /// begin.
    pub fn extent(&self) -> Option<(usize, usize)> {
        if self.elements == 0 {
            return Some((0, 0));
        }
        let (mut before, mut behind) = (0i64, 0i64);
        for (&size, &stride) in self.sizes.iter().zip(self.strides) {
            let reach = stride.checked_mul(size - 1)?;
            let end = if reach < 0 { &mut before } else { &mut behind };
            *end = end.checked_add(reach)?;
        }
        let width = self.dtype.size();
        let bytes = usize::try_from(behind.checked_sub(before)?.checked_add(1)?).ok()?.checked_mul(width)?;
        Some((bytes, usize::try_from(before.checked_neg()?).ok()?.checked_mul(width)?))
    }

    /// The same elements, at another address.
    ///
    /// # Safety
    /// As for [`TensorView::new`].
    pub unsafe fn moved_to(self, data: *const u8) -> TensorView<'a> {
        TensorView { data, owned_elsewhere: false, ..self }
    }

    /// Its element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The address of its first element; of a tensor without elements it means nothing.
    pub fn data(&self) -> *const u8 {
        self.data
    }

    /// Its sizes, outermost dimension first.
    pub fn sizes(&self) -> &'a [i64] {
        self.sizes
    }

    /// Its strides, in elements.
    pub fn strides(&self) -> &'a [i64] {
        self.strides
    }

    /// How many elements it has.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// Whether the elements lie in memory one after the other in their logical order.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1i64;
        for (&size, &stride) in self.sizes.iter().zip(self.strides).rev() {
            if size != 1 {
                if stride != expected {
                    return self.elements == 0;
                }
                expected = expected.wrapping_mul(size);
            }
        }
        true
    }
}

/// Shape and type as people write them: `[64, 3, 3, 3] float32`.
impl fmt::Display for TensorView<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {}", self.sizes, self.dtype.name())
    }
}
