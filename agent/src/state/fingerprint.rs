//! The fingerprint of a tensor: a content hash and statistics, from one pass over memory.
//!
//! A tensor is taken chunk by chunk, each small enough to stay in the first-level cache while it is hashed and
//! counted. Equal contents in equal logical order give equal bits, whatever the strides and the instructions used.

mod count;
mod environment;
mod fold;
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

pub use fold::Digest;
pub use keys::CHUNK;
pub use paths::Path;

use std::ptr::NonNull;
use std::slice;

use crate::libtorch::view::TensorView;
use fold::Fold;

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
