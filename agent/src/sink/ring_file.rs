//! The file and the mapping of a ring.

use super::quiet::quietly;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use traincheck_schema::own_file;
use traincheck_schema::ring::{Ring, RingInfo};

/// A ring with the file that it is in.
pub struct RingFile {
    /// The ring. Its mapping is never ended.
    pub ring: Ring,
    path: PathBuf,
}

impl RingFile {
    /// Makes the file `path`, which must not exist, and a ring of `size` bytes in it.
    ///
    /// The blocks are allocated before the file is mapped: on a full disk this fails here, where a mapping
    /// without blocks behind it would kill the process at its first store.
    pub fn create(path: PathBuf, size: usize, info: &RingInfo) -> io::Result<RingFile> {
        quietly(|| {
            // Under its own name the file appears only as a whole ring.
            let draft = path.with_extension("ring-new");
            let made = RingFile::map(&draft, size, info).and_then(|ring| {
                let placed = std::fs::rename(&draft, &path);
                let file = RingFile { ring, path };
                placed.map(|()| file)
            });
            if made.is_err() {
                let _ = std::fs::remove_file(&draft);
            }
            made
        })
    }

    fn map(draft: &Path, size: usize, info: &RingInfo) -> io::Result<Ring> {
        let file = own_file::create(draft, OpenOptions::new().read(true).write(true))?;
        allocate(&file, size)?;
        // SAFETY: a new mapping at an address that the kernel chooses; the file is as long as it.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is fresh, zeroed, page-aligned and `size` long, and known to nobody else. It
        // stays as long as the process.
        Ok(unsafe { Ring::format(base.cast(), size, info) })
    }

    /// Removes the file. The mapping stays, so pushing stays harmless.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes `file` `size` bytes long, with blocks on the disk for all of them.
fn allocate(file: &File, size: usize) -> io::Result<()> {
    loop {
        // SAFETY: a call on an open descriptor.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size as libc::off_t) } {
            0 => return Ok(()),
            libc::EINTR => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}
