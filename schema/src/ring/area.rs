//! The memory of a ring: the header page, and the data area behind it.
//!
//! `area_model.rs` stands in its place when loom explores the interleavings of producer and consumer.

use std::sync::atomic::{AtomicU64, Ordering};

use super::header::{self, Header};
use super::{HEADER_SIZE, RingInfo};

/// Where the memory begins. Does not own it.
pub(super) struct Area {
    base: *mut u8,
}

impl Area {
    /// # Safety
    /// `base` is aligned to 8 bytes and valid for `len` bytes as long as the area is used, for reads, and for writes if
    /// something is written; nothing is accessed beyond `len`. Others that write to it at the same time do so in
    /// another process, or on the other side of the ring.
    pub(super) unsafe fn new(base: *mut u8, _len: usize) -> Area {
        Area { base }
    }

    /// Writes the header. Its beginning comes last, so that a reader never takes half a header for a ring.
    pub(super) fn write_header(&self, info: &RingInfo, capacity: u64) {
        let bytes = Header::new(super::MAGIC, info, capacity, 0).to_bytes();
        // SAFETY: the caller of `new` guarantees a header page, which is longer than these fields; its first word is
        // aligned.
        unsafe {
            self.base.add(8).copy_from_nonoverlapping(bytes[8..].as_ptr(), header::SIZE - 8);
        }
        self.word(0).store(u64::from_ne_bytes(super::MAGIC), Ordering::Release);
    }

    pub(super) fn read_header(&self) -> Header {
        let mut bytes = [0; header::SIZE];
        for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
            // SAFETY: as in `write_header`. Volatile, because another process may write.
            let read = unsafe { self.base.cast::<u64>().add(at).read_volatile() };
            word.copy_from_slice(&read.to_ne_bytes());
        }
        Header::from_bytes(&bytes)
    }

    /// The word at this offset of the header page.
    #[inline]
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: only called with offsets of words in the header page, which the caller of `new` guarantees and keeps
        // alive; positions are always accessed as atomics.
        unsafe { AtomicU64::from_ptr(self.base.add(at).cast()) }
    }

    /// Lets `fill` write `size` bytes at `offset` of the data area, aligned to 8.
    ///
    /// # Safety
    /// They lie in the data area, and are the producer's: published by the consumer's release of them, and not yet
    /// pushed.
    #[inline]
    pub(super) unsafe fn fill(&self, offset: u64, _size: usize, fill: impl FnOnce(*mut u8)) {
        // SAFETY: the caller's word.
        fill(unsafe { self.base.add(HEADER_SIZE + offset as usize) });
    }

    /// Copies what is at `offset` of the data area.
    ///
    /// # Safety
    /// So many words lie in the data area; `offset` is a multiple of 8.
    #[inline]
    pub(super) unsafe fn copy(&self, offset: u64, into: &mut [u64]) {
        for (at, word) in into.iter_mut().enumerate() {
            // SAFETY: the caller's word. Volatile, because another process may write.
            *word =
                unsafe { self.base.add(HEADER_SIZE + offset as usize).cast::<u64>().add(at).read_volatile() };
        }
    }
}
