//! The memory of a ring as loom sees it: it follows every access to the positions and the data area, and fails on two
//! that are not ordered. The header is not modelled: it is written before the other side knows of the ring.

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU64;

use super::header::Header;
use super::{AT_DROPPED, AT_HEAD, AT_TAIL, GRAIN, HEADER_SIZE, MAGIC, RingInfo};

const WORDS: usize = GRAIN / 8;

pub(super) struct Area {
    head: AtomicU64,
    tail: AtomicU64,
    dropped: AtomicU64,
    grains: Vec<UnsafeCell<[u64; WORDS]>>,
}

impl Area {
    /// The address is not used. Unsafe, as the area in whose place it stands.
    pub(super) unsafe fn new(_base: *mut u8, len: usize) -> Area {
        let grains = len.saturating_sub(HEADER_SIZE) / GRAIN;
        Area {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            grains: (0..grains).map(|_| UnsafeCell::new([0; WORDS])).collect(),
        }
    }

    pub(super) fn write_header(&self, _info: &RingInfo, _capacity: u64) {}

    pub(super) fn read_header(&self) -> Header {
        Header::new(MAGIC, &RingInfo::default(), (self.grains.len() * GRAIN) as u64, 0)
    }

    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        match at {
            AT_HEAD => &self.head,
            AT_TAIL => &self.tail,
            AT_DROPPED => &self.dropped,
            _ => panic!("no word of the model: {at}"),
        }
    }

    pub(super) unsafe fn fill(&self, offset: u64, size: usize, fill: impl FnOnce(*mut u8)) {
        let mut bytes = vec![0_u64; size / 8];
        fill(bytes.as_mut_ptr().cast());
        for (grain, words) in self.grains[offset as usize / GRAIN..].iter().zip(bytes.chunks_exact(WORDS)) {
            // SAFETY: loom checks that nobody else uses the grain now, which is what this is for.
            grain.with_mut(|grain| unsafe { (*grain).copy_from_slice(words) });
        }
    }

    pub(super) unsafe fn copy(&self, offset: u64, into: &mut [u64]) {
        let first = offset as usize / GRAIN;
        for (grain, words) in self.grains[first..].iter().zip(into.chunks_exact_mut(WORDS)) {
            // SAFETY: loom checks that nobody writes the grain now.
            grain.with(|grain| unsafe { words.copy_from_slice(&*grain) });
        }
    }
}
