//! What a tensor is like, apart from its contents. Known of any tensor, wherever it lies.

use std::fmt;
use std::hash::Hasher;

use super::tensor::{Layout, TensorRef, Tensors, dimensions, field};
use super::view::Dtype;
use crate::base::hash::FastHasher;

/// How a tensor keeps its elements, as its class tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Strided,
    SparseCoo,
    /// Rows, columns or blocks of them.
    SparseCompressed,
    /// A class of its own: nothing else of it is known.
    Otherwise,
}

/// Shape, type, device and layout of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    kept: Kept,
    /// Number of its `c10::ScalarType`.
    scalar_type: u16,
    /// Number of its `c10::DeviceType`, and the index; -1: none.
    device: (i8, i8),
    sizes: &'a [i64],
    /// Whether its elements lie one behind the other in their logical order.
    pub contiguous: bool,
}

impl Tensors {
    /// What a tensor is like.
    ///
    /// # Safety
    /// The tensor lives, and its shape does not change as long as the description is used.
    pub unsafe fn describe(&self, tensor: TensorRef) -> Description<'_> {
        let (at, address): (&Layout, usize) = (&self.layout, tensor.address());
        // SAFETY: all tensors have these fields; sizes and strides live as long as the tensor. What those of other
        // classes mean is not asked.
        unsafe {
            let class = field::<usize>(address, 0);
            let kept = match class {
                _ if class == self.functions.plain_class => Kept::Strided,
                _ if Some(class) == self.functions.sparse_class => Kept::SparseCoo,
                _ if Some(class) == self.functions.compressed_class => Kept::SparseCompressed,
                _ => Kept::Otherwise,
            };
            let (sizes, strides) = match kept {
                Kept::Otherwise => (&[][..], &[][..]),
                _ => dimensions(address, at.dimensions).unwrap_or((&[], &[])),
            };
            Description {
                kept,
                scalar_type: field(address, at.scalar_type),
                device: (field(address, at.device), field(address, at.device + 1)),
                sizes,
                contiguous: kept != Kept::Strided || is_contiguous(sizes, strides),
            }
        }
    }
}

fn is_contiguous(sizes: &[i64], strides: &[i64]) -> bool {
    let mut expected = 1i64;
    for (&size, &stride) in sizes.iter().zip(strides).rev() {
        if size == 0 {
            return true;
        }
        if size != 1 && stride != expected {
            return false;
        }
        expected = expected.wrapping_mul(size);
    }
    true
}

impl Description<'_> {
    /// How many elements it has; `None` where that is not known.
    pub fn elements(&self) -> Option<u64> {
        let product =
            || self.sizes.iter().try_fold(1u64, |all, size| all.checked_mul(u64::try_from(*size).ok()?));
        if self.kept == Kept::Otherwise { None } else { product() }
    }

    /// The number of its `c10::ScalarType`.
    pub fn scalar_type(&self) -> u16 {
        self.scalar_type
    }

    /// The same for the same text.
    pub fn hash(&self) -> u64 {
        let mut hasher = FastHasher::default();
        hasher.write_u64(self.kept as u64);
        hasher.write_u64(u64::from(self.scalar_type));
        hasher.write_u64(self.device.0 as u64 ^ (self.device.1 as u64) << 32);
        for size in self.sizes {
            hasher.write_u64(*size as u64 ^ 0x5bd1_e995);
        }
        hasher.finish()
    }
}

/// `[8, 3] float32 cpu`, with the layout behind it where it is not strided.
impl fmt::Display for Description<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept != Kept::Otherwise {
            write!(out, "{:?} ", self.sizes)?;
        }
        match Dtype::from_scalar_type(self.scalar_type) {
            Some(dtype) => out.write_str(dtype.name())?,
            None => write!(out, "type {}", self.scalar_type)?,
        }
        match self.device.0 {
            0 => out.write_str(" cpu")?,
            1 => out.write_str(" cuda")?,
            6 => out.write_str(" hip")?,
            9 => out.write_str(" xla")?,
            12 => out.write_str(" xpu")?,
            13 => out.write_str(" mps")?,
            14 => out.write_str(" meta")?,
            15 => out.write_str(" hpu")?,
            other => write!(out, " device {other}")?,
        }
        if self.device.1 >= 0 {
            write!(out, ":{}", self.device.1)?;
        }
        match self.kept {
            Kept::Strided => Ok(()),
            Kept::SparseCoo => out.write_str(" sparse_coo"),
            Kept::SparseCompressed => out.write_str(" sparse_compressed"),
            Kept::Otherwise => out.write_str(" of another layout"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_people_write_it() {
        let plain = Description {
            kept: Kept::Strided,
            scalar_type: 6,
            device: (0, -1),
            sizes: &[8, 3],
            contiguous: true,
        };
        assert_eq!(plain.to_string(), "[8, 3] float32 cpu");
        assert_eq!(Description { sizes: &[], ..plain }.to_string(), "[] float32 cpu");
        let other = Description { scalar_type: 15, device: (1, 2), ..plain };
        assert_eq!(other.to_string(), "[8, 3] bfloat16 cuda:2");
        assert_eq!(
            Description { kept: Kept::SparseCoo, ..plain }.to_string(),
            "[8, 3] float32 cpu sparse_coo"
        );
        let own = Description { kept: Kept::Otherwise, scalar_type: 99, device: (20, 0), ..plain };
        assert_eq!(own.to_string(), "type 99 device 20:0 of another layout");
        let hashes = [plain, Description { sizes: &[3, 8], ..plain }, other, own].map(|like| like.hash());
        assert!((0..4).all(|i| (0..i).all(|j| hashes[i] != hashes[j])));
    }

    #[test]
    fn contiguous_is_what_pytorch_calls_so() {
        assert!(is_contiguous(&[], &[]));
        assert!(is_contiguous(&[2, 3], &[3, 1]));
        assert!(is_contiguous(&[2, 1, 3], &[3, 99, 1]));
        assert!(is_contiguous(&[0, 7], &[1, 1]));
        assert!(!is_contiguous(&[3, 2], &[1, 3]));
        assert!(!is_contiguous(&[2], &[2]));
    }
}
