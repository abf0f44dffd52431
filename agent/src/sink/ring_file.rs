//! The file and the mapping of a ring.

use super::quiet::quietly;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use traincheck_schema::own_file;
use traincheck_schema::ring::{Ring, RingInfo};

/// How long a ring is, in bytes: room for 65,000 events.
pub const RING_SIZE: usize = 4 << 20;

/// A ring with the file that it is in.
pub struct RingFile {
    /// The ring. Not to be used any more after [`RingFile::unmap`].
    pub ring: Ring,
    base: *mut libc::c_void,
    path: PathBuf,
}

// SAFETY: `base` is an address that is only used to unmap; the ring itself is shareable.
unsafe impl Send for RingFile {}
// SAFETY: as above.
unsafe impl Sync for RingFile {}

impl RingFile {
    /// Makes the file `path`, which must not exist, and a ring in it.
    ///
    /// The blocks are allocated before the file is mapped: on a full disk this fails here, where a mapping
    /// without blocks behind it would kill the process at its first store.
    pub fn create(path: PathBuf, info: &RingInfo) -> io::Result<RingFile> {
        quietly(|| {
            // Under its own name the file appears only as a whole ring.
            let draft = path.with_extension("ring-new");
            let made = RingFile::map(&draft, info).and_then(|(ring, base)| {
                let placed = std::fs::rename(&draft, &path);
                let file = RingFile { ring, base, path };
                placed.map(|()| file)
            });
            if made.is_err() {
                let _ = std::fs::remove_file(&draft);
            }
            made
        })
    }

    fn map(draft: &Path, info: &RingInfo) -> io::Result<(Ring, *mut libc::c_void)> {
        let file = own_file::create(draft, OpenOptions::new().read(true).write(true))?;
        allocate(&file)?;
        // SAFETY: a new mapping at an address that the kernel chooses; the file is as long as it.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                RING_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is fresh, zeroed, page-aligned and `RING_SIZE` long, and known to nobody else. It
        // stays until `unmap`.
        let ring = unsafe { Ring::format(base.cast(), RING_SIZE, info) };
        Ok((ring, base))
    }

    /// Removes the file. The mapping stays, so pushing stays harmless.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// Ends the mapping.
    ///
    /// # Safety
    /// The thread that pushes has ended or will push no more, and the ring is not used any more.
    pub unsafe fn unmap(&self) {
        // SAFETY: `base` is a mapping of `RING_SIZE` bytes; the caller guarantees that nobody uses it.
        unsafe { libc::munmap(self.base, RING_SIZE) };
    }
}

/// Makes `file` [`RING_SIZE`] bytes long, with blocks on the disk for all of them.
fn allocate(file: &File) -> io::Result<()> {
    loop {
        // SAFETY: a call on an open descriptor.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, RING_SIZE as libc::off_t) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}
