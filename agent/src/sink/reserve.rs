//! Memory for when there is none.
//!
//! Rust ends the process if it is refused memory. A job may live with that: it is under a limit, tries what fits, and
//! goes on with less. So the agent has set some aside; the first time that it has to touch it, the recording stops.

use super::phase;
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the writer needs, at most, to finish what it is about. Only addresses, until it is touched.
const SIZE: usize = 16 << 20;

/// Where the reserve begins; 0 as long as there is none.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// How much of it was given out. It never comes back.
static USED: AtomicUsize = AtomicUsize::new(0);
static TOUCHED: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static ALLOCATOR: Reserving = Reserving;

/// The allocator of the C library, and behind it the reserve.
struct Reserving;

/// Sets the reserve aside. Without room for it there is none.
pub fn make() {
    if BASE.load(Ordering::Relaxed) != 0 {
        return;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let base = unsafe { libc::mmap(ptr::null_mut(), SIZE, access, kind, -1, 0) };
    if base != libc::MAP_FAILED {
        BASE.store(base as usize, Ordering::Release);
    }
}

/// Memory was refused: nothing is to be begun that needs more.
pub fn is_touched() -> bool {
    TOUCHED.load(Ordering::Relaxed)
}

fn owns(memory: *mut u8) -> bool {
    let base = BASE.load(Ordering::Relaxed);
    base != 0 && (memory as usize).wrapping_sub(base) < SIZE
}

/// A piece of the reserve, zeroed; null where that is used up, too.
#[cold]
fn take(layout: Layout) -> *mut u8 {
    TOUCHED.store(true, Ordering::Relaxed);
    phase::memory_is_short();
    let base = BASE.load(Ordering::Acquire);
    if base == 0 {
        return ptr::null_mut();
    }
    // The base is aligned to a page, and nothing here asks for more.
    let piece = |used: usize| {
        let begin = used.checked_next_multiple_of(layout.align())?;
        let end = begin.checked_add(layout.size())?;
        (end <= SIZE).then_some((begin, end))
    };
    let taken =
        USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| piece(used).map(|(_, end)| end));
    match taken.ok().and_then(piece) {
        Some((begin, _)) => (base + begin) as *mut u8,
        None => ptr::null_mut(),
    }
}

// SAFETY: memory comes from the system's allocator, to which it goes back, or is a piece of a mapping that stays, given
// out once. Nothing unwinds.
unsafe impl GlobalAlloc for Reserving {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's word about the layout.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { take(layout) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if memory.is_null() { take(layout) } else { memory }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !owns(memory) {
            // SAFETY: what is not the reserve's was given out by the system's allocator.
            unsafe { System.dealloc(memory, layout) };
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let owned = owns(memory);
        // SAFETY: as in `dealloc`; the rest is the caller's word.
        let moved = if owned { ptr::null_mut() } else { unsafe { System.realloc(memory, layout, size) } };
        if !moved.is_null() {
            return moved;
        }
        // SAFETY: the caller's word: rounded up to the alignment, the size does not overflow.
        let piece = take(unsafe { Layout::from_size_align_unchecked(size, layout.align()) });
        if !piece.is_null() {
            // SAFETY: both are as long as the shorter, and a new piece overlaps nothing.
            unsafe {
                ptr::copy_nonoverlapping(memory, piece, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        piece
    }
}
