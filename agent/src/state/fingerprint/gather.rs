//! Elements that do not lie one after the other, brought into their logical order chunk by chunk.

use super::keys::CHUNK;
use crate::libtorch::view::TensorView;

/// Room for one chunk.
#[repr(align(64))]
pub struct Chunk(pub [u8; CHUNK]);

/// Calls `each` with one full chunk after the other; only the last may be shorter.
pub fn chunks(view: &TensorView, mut each: impl FnMut(&[u8])) {
    if view.elements() == 0 {
        return;
    }
    let width = view.dtype().size();
    let mut dimensions = joined(view);
    let (inner_size, inner_stride) = dimensions.pop().unwrap_or((1, 1));
    let mut position = vec![0usize; dimensions.len()];
    let mut buffer = Chunk([0; CHUNK]);
    let mut filled = 0;
    let mut row = view.data();
    loop {
        let mut done = 0;
        while done < inner_size {
            let count = (inner_size - done).min((CHUNK - filled) / width);
            // SAFETY: the elements `done..done + count` of this row are elements of the view, whose maker
            // guarantees that they can be read; the buffer has room for `count` of them behind `filled`.
            unsafe {
                let source = row.offset(done as isize * inner_stride * width as isize);
                copy(source, inner_stride, width, count, buffer.0.as_mut_ptr().add(filled));
            }
            filled += count * width;
            done += count;
            if filled == CHUNK {
                each(&buffer.0);
                filled = 0;
            }
        }
        // The odometer: the innermost outer dimension that has a next position moves on, those behind it restart.
        let mut dimension = dimensions.len();
        loop {
            if dimension == 0 {
                if filled > 0 {
                    each(&buffer.0[..filled]);
                }
                return;
            }
            dimension -= 1;
            let (size, stride) = dimensions[dimension];
            let step = stride * width as isize;
            if position[dimension] + 1 < size {
                position[dimension] += 1;
                row = row.wrapping_offset(step);
                break;
            }
            row = row.wrapping_offset(-step * position[dimension] as isize);
            position[dimension] = 0;
        }
    }
}

/// Size and stride of each dimension, outermost first, with dimensions of size 1 left out and neighbours that
/// walk memory evenly made one.
fn joined(view: &TensorView) -> Vec<(usize, isize)> {
    let mut dimensions: Vec<(usize, isize)> = Vec::with_capacity(view.sizes().len());
    for (&size, &stride) in view.sizes().iter().zip(view.strides()) {
        let (size, stride) = (size as usize, stride as isize);
        if size == 1 {
            continue;
        }
        match dimensions.last_mut() {
            Some(outer) if outer.1 == stride.wrapping_mul(size as isize) => *outer = (outer.0 * size, stride),
            _ => dimensions.push((size, stride)),
        }
    }
    dimensions
}

/// Copies `count` elements of `width` bytes that lie `stride` elements apart.
///
/// # Safety
/// They are readable, and `count * width` bytes at `target` are writable.
unsafe fn copy(source: *const u8, stride: isize, width: usize, count: usize, target: *mut u8) {
    // SAFETY: the caller's guarantees, passed on.
    unsafe {
        match (stride, width) {
            (1, _) => source.copy_to_nonoverlapping(target, count * width),
            (_, 1) => copy_words::<u8>(source, stride, count, target),
            (_, 2) => copy_words::<u16>(source, stride, count, target),
            (_, 4) => copy_words::<u32>(source, stride, count, target),
            (_, 8) => copy_words::<u64>(source, stride, count, target),
            _ => copy_words::<u128>(source, stride, count, target),
        }
    }
}

/// # Safety
/// As for [`copy`], with the width of `Word`.
unsafe fn copy_words<Word>(source: *const u8, stride: isize, count: usize, target: *mut u8) {
    let (source, target) = (source.cast::<Word>(), target.cast::<Word>());
    for number in 0..count {
        // SAFETY: the caller's guarantees, passed on.
        unsafe {
            let word = source.wrapping_offset(number as isize * stride).read_unaligned();
            target.add(number).write_unaligned(word);
        }
    }
}
