//! The fingerprint of a tensor: a content hash and statistics, from one pass over memory.
//!
//! A tensor is taken chunk by chunk, each small enough to stay in the first-level cache while it is hashed and
//! counted. Equal contents in equal logical order give equal bits, whatever the strides and the instructions used.

mod count;
mod environment;
mod gather;
mod hash;
mod keys;
#[cfg(target_arch = "aarch64")]
mod neon;
mod paths;
mod statistics;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use paths::Path;

use std::ptr::NonNull;
use std::slice;

use crate::libtorch::view::{Dtype, TensorView};
use hash::{Hash, Sums};
use statistics::Statistics;
use vector::Line;

/// Bytes of a chunk. Part of the definition of the hash.
pub const CHUNK: usize = 8192;

/// What a look at a tensor's contents found.
///
/// The statistics of a complex tensor are over real and imaginary parts, two elements for each of the tensor's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Digest {
    /// Low half of the content hash: of the bytes in logical order and their number, not of shape and type.
    pub hash_low: u64,
    /// High half.
    pub hash_high: u64,
    /// How many elements are NaN; stays at the largest number.
    pub nan: u32,
    /// How many are infinite; stays at the largest number.
    pub inf: u32,
    /// How many are zero.
    pub zeros: u64,
    /// How many there are.
    pub elements: u64,
    /// The smallest finite element, brought into the range of float32; 0 where there is none.
    pub min: f32,
    /// The largest finite element, likewise.
    pub max: f32,
    /// Square root of the sum of squares of the finite elements, likewise.
    pub l2: f32,
}

/// The fingerprint of a tensor.
pub fn digest(view: &TensorView) -> Digest {
    digest_on(Path::best(), view)
}

/// The same on a path of the caller's choice; for tests and measurements.
pub fn digest_on(path: Path, view: &TensorView) -> Digest {
    let part = view.dtype().part();
    let bytes = view.elements() * view.dtype().size();
    let mut fold = Fold::default();
    environment::with_default(|| {
        if view.is_contiguous() {
            // Without elements the address means nothing, and may be null.
            let data = if bytes == 0 { NonNull::dangling().as_ptr() } else { view.data().cast_mut() };
            // SAFETY: the maker of the view guarantees that its elements, which lie one after the other, are
            // readable. A racing writer makes the bytes a mixture; they are only ever used as plain numbers.
            let contents = unsafe { slice::from_raw_parts(data, bytes) };
            for (index, chunk) in contents.chunks(CHUNK).enumerate() {
                path.chunk(part, index as u64, chunk, &mut fold);
            }
        } else {
            let mut index = 0;
            gather::chunks(view, |chunk| {
                path.chunk(part, index, chunk, &mut fold);
                index += 1;
            });
        }
        fold.finish(bytes as u64, (bytes / part.size()) as u64)
    })
}

/// What was learned from the chunks so far.
#[derive(Default)]
struct Fold {
    hash: Hash,
    statistics: Statistics,
}

impl Fold {
    #[inline(always)]
    fn chunk<L: Line>(&mut self, part: Dtype, index: u64, bytes: &[u8]) {
        let mut sums = Sums::<L>::new();
        statistics::pass(part, bytes, &mut sums, &mut self.statistics);
        self.hash.add(index, &sums);
    }

    fn finish(&self, bytes: u64, elements: u64) -> Digest {
        let (hash_low, hash_high) = self.hash.finish(bytes);
        let statistics = &self.statistics;
        let finite = statistics.nan + statistics.inf < elements;
        let narrow = |value: f64| if finite { (value as f32).clamp(f32::MIN, f32::MAX) } else { 0.0 };
        Digest {
            hash_low,
            hash_high,
            nan: u32::try_from(statistics.nan).unwrap_or(u32::MAX),
            inf: u32::try_from(statistics.inf).unwrap_or(u32::MAX),
            zeros: statistics.zeros,
            elements,
            min: narrow(statistics.min),
            max: narrow(statistics.max),
            l2: narrow(statistics.squares.sqrt()),
        }
    }
}
