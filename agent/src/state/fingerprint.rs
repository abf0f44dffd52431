//! The fingerprint of a tensor: a content hash and statistics, from one pass over memory.
//!
//! A tensor is taken chunk by chunk, each small enough to stay in the first-level cache while it is hashed and
//! counted. Equal contents in equal logical order give equal bits, whatever the strides and the instructions used.

mod count;
pub(super) mod environment;
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

pub use fold::Fingerprint;
pub use keys::CHUNK;
pub use paths::Path;

use std::ptr::NonNull;
use std::slice;

use crate::base::memory::{self, Spare};
use crate::libtorch::view::TensorView;
use fold::Fold;
use gather::Chunk;

/// Of a tensor of other memory than PyTorch's whose elements do not lie one after the other all that they extend over is
/// copied, up to this.
const MOST_COPIED: usize = 64 << 20;

/// The fingerprint of a tensor; `None` where its memory cannot be read.
pub fn fingerprint_if_readable(view: &TensorView) -> Option<Fingerprint> {
    if !view.is_owned_elsewhere() {
        return Some(fingerprint_of(view));
    }
    let (bytes, before) = view.extent()?;
    let begin = (view.data() as usize).wrapping_sub(before);
    if view.is_contiguous() {
        return fingerprint_by_chunks(view, begin, bytes);
    }
    let mut copied = Spare::of(Some(bytes).filter(|bytes| *bytes <= MOST_COPIED)?)?;
    // SAFETY: the copy has everything that the elements extend over, and lives as long as the view of it.
    memory::copy(begin, &mut copied)
        .then(|| fingerprint_of(&unsafe { view.moved_to(copied.as_ptr().add(before)) }))
}

fn fingerprint_by_chunks(view: &TensorView, begin: usize, bytes: usize) -> Option<Fingerprint> {
    let (path, part) = (Path::best(), view.dtype().part());
    let mut buffer = Chunk([0; CHUNK]);
    let mut fold = Fold::default();
    environment::with_default(|| {
        for (index, done) in (0..bytes).step_by(CHUNK).enumerate() {
            let chunk = buffer.0.get_mut(..(bytes - done).min(CHUNK))?;
            if !memory::copy(begin + done, chunk) {
                return None;
            }
            path.chunk(part, index as u64, chunk, &mut fold);
        }
        Some(fold.finish(bytes as u64, (bytes / part.size()) as u64))
    })
}

/// The fingerprint of a tensor in memory that stays.
pub fn fingerprint_of(view: &TensorView) -> Fingerprint {
    fingerprint_on(Path::best(), view)
}

/// The same on a path of the caller's choice; for tests and measurements.
pub fn fingerprint_on(path: Path, view: &TensorView) -> Fingerprint {
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
