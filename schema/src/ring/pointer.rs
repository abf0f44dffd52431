//! The file of a ring that is in memory: it says where.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::header::{self, Header};
use super::{Ring, SharedMemory};
use crate::{own_file, regular};

/// The first bytes of such a file.
const MAGIC: [u8; 8] = *b"TCRINGAT";
/// In the place of the number of the memory: it has ended with the process.
const NOWHERE: i64 = -1;

/// Makes the file `path`, which says that `ring` is in `memory`; none: in memory that ends with the process. It appears
/// whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_pointer(path: &Path, ring: &Ring, memory: Option<&SharedMemory>) -> io::Result<()> {
    let id = memory.map_or(NOWHERE, |memory| i64::from(memory.id()));
    let bytes = Header::new(MAGIC, &ring.info(), ring.capacity() as u64, id).to_bytes();
    write(path, "ring-new", &bytes)
}

fn write(path: &Path, draft_extension: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(draft_extension);
    let written = own_file::create(&draft, OpenOptions::new().write(true))
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

/// What `file` says, if it says where a ring is.
pub(super) fn read(file: &File) -> Option<Header> {
    let mut bytes = [0; header::SIZE];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let header = Header::from_bytes(&bytes);
    (header.magic == MAGIC).then_some(header)
}

/// The memory that `pointer` points to, if it is there and holds that ring and no other.
pub(super) fn follow(pointer: &Header) -> Option<SharedMemory> {
    let memory = SharedMemory::open(libc::c_int::try_from(pointer.memory).ok()?).ok()?;
    let mut bytes = [0; header::SIZE];
    memory.read_at(&mut bytes, 0);
    let expected = Header { magic: super::MAGIC, memory: 0, ..*pointer };
    (Header::from_bytes(&bytes) == expected).then_some(memory)
}

/// Puts the ring that the file `path` points to into that file, and frees its memory, if its process has ended and was
/// of this user. Else nothing happens, nor where it cannot be written.
pub fn rescue(path: &Path) {
    let Some(memory) = regular::open(path).ok().and_then(|file| follow(&read(&file)?)) else { return };
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    if !memory.owner().is_ok_and(|(owner, has_ended)| owner == user && has_ended) {
        return;
    }
    let mut bytes = vec![0; memory.size()];
    memory.read_at(&mut bytes, 0);
    // Two readers may be about it at once: both write the same.
    if write(path, &format!("ring-{}", std::process::id()), &bytes).is_ok() {
        memory.remove();
    }
}
