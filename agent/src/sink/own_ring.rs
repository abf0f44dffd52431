//! A ring of this process and its memory.

use super::quiet::quietly;
use std::io;
use std::path::{Path, PathBuf};
use traincheck_schema::ring::{Ring, RingInfo, SharedMemory, write_pointer};

/// A ring with the file that says where it is.
///
/// No store into it ends the job. Its memory is in no file of the run folder, which others can cut, and which may be on
/// a file system that has no room any more when a page is written to (those that copy on write, those of a network);
/// the kernel answers with SIGBUS there. It is shared memory of the kernel's own, which outlives the process; where
/// that is not to be had, memory of the process like any other.
pub struct OwnRing {
    /// The ring. Its memory is never given back.
    pub ring: Ring,
    path: PathBuf,
    /// That which outlives the process.
    memory: Option<SharedMemory>,
}

impl OwnRing {
    /// Makes a ring of `size` bytes, and the file `path`, which must not exist, to say where it is.
    pub fn create(path: PathBuf, size: usize, info: &RingInfo) -> io::Result<OwnRing> {
        quietly(|| match SharedMemory::create(size) {
            Ok(memory) => {
                // SAFETY: the memory is fresh, zeroed, page-aligned and `size` long, and nobody else in this process
                // has it. `OwnRing` keeps it, and those that have been given out are never dropped. Nobody can cut
                // it; the system has counted it as used since it was made.
                let ring = unsafe { Ring::format(memory.base(), size, info) };
                let memory = placed(&path, &ring, memory);
                Ok(OwnRing { ring, path, memory: Some(memory) })
            }
            // The system has none, or not for us. What is in the ring goes with the process.
            Err(_) => {
                let base = anonymous(size)?;
                // SAFETY: the mapping is fresh, zeroed, page-aligned and `size` long, and nobody else has it. It stays
                // as long as the process, and there is no file behind it.
                let ring = unsafe { Ring::format(base, size, info) };
                let _ = write_pointer(&path, &ring, None);
                Ok(OwnRing { ring, path, memory: None })
            }
        })
    }

    /// Removes it from the system; where it is, it stays, so pushing stays harmless.
    pub fn remove(&self) {
        // In this order: a reader that has seen the file and finds no memory looks whether the file is there.
        let _ = std::fs::remove_file(&self.path);
        if let Some(memory) = &self.memory {
            memory.remove();
        }
    }
}

/// Writes down where `ring` is. Without that nobody would find it: then it goes with the process.
fn placed(path: &Path, ring: &Ring, memory: SharedMemory) -> SharedMemory {
    if write_pointer(path, ring, Some(&memory)).is_err() {
        memory.remove();
    }
    memory
}

/// New memory of the process.
fn anonymous(size: usize) -> io::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base.cast()) }
}
