//! Memory that outlives its process, and that nobody can take from it: a segment of System V shared memory.
//!
//! It is in no file system, so there is nothing to be cut or removed and no disk to be full, and what it may need in all
//! is counted against the memory of the system when it is made. A store into it ends the process only where a store
//! into any of its memory would: when there is no memory left. The kernel keeps it until somebody removes it, so what a
//! killed process had put there can be read on the same machine until that is restarted.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::header::{self, Header};
use super::{HEADER_SIZE, MAGIC};

// What `shmctl` has for those who list all segments: see shmctl(2).
const IPC_INFO: libc::c_int = 3;
const SHM_STAT: libc::c_int = 13;
const SHM_INFO: libc::c_int = 14;

/// A segment, and where it is in the memory of this process. Dropping it takes it out of there, and no more.
#[derive(Debug)]
pub struct SharedMemory {
    id: libc::c_int,
    base: *mut u8,
    size: usize,
}

impl SharedMemory {
    /// Makes `size` bytes, zeroed, for the user of this process only.
    ///
    /// # Errors
    /// If there is not so much memory, if the system has no such memory, or if more than half of the numbers that it
    /// can have are taken: the others are left to those who cannot do without.
    pub fn create(size: usize) -> io::Result<SharedMemory> {
        if is_crowded() {
            return Err(io::Error::other("half of the segments that the system can have are in use"));
        }
        // SAFETY: no pointers.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, size, libc::IPC_CREAT | 0o600) };
        if id < 0 {
            return Err(io::Error::last_os_error());
        }
        attach(id, size, 0).inspect_err(|_| remove(id))
    }

    /// That with this number, for reading.
    ///
    /// # Errors
    /// If there is none, or it may not be read.
    pub(super) fn open(id: libc::c_int) -> io::Result<SharedMemory> {
        let size = status(id)?.shm_segsz;
        attach(id, size, libc::SHM_RDONLY)
    }

    /// Where it is, page-aligned.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    pub(super) fn id(&self) -> libc::c_int {
        self.id
    }

    /// Removes it from the system. It stays where it is in the memory of those who have it, and goes with the last.
    pub fn remove(&self) {
        remove(self.id);
    }

    /// Copies what is at `offset` and behind it, as far as it goes; how much.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: usize) -> usize {
        let from = offset.min(self.size);
        let count = bytes.len().min(self.size - from);
        for (at, byte) in bytes[..count].iter_mut().enumerate() {
            // SAFETY: below `size`, which is mapped. Volatile, because another process may write.
            *byte = unsafe { self.base.add(from + at).read_volatile() };
        }
        count
    }

    /// Its owner, and whether the process that made it has ended.
    pub(super) fn owner(&self) -> io::Result<(libc::uid_t, bool)> {
        let status = status(self.id)?;
        // Children that were forked may have it still; and the reader has it.
        let maker = status.shm_cpid;
        // SAFETY: no pointers; the signal 0 is not sent.
        let lives = maker == 0 || unsafe { libc::kill(maker, 0) } == 0 || {
            io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
        };
        Ok((status.shm_perm.uid, status.shm_nattch <= 1 || !lives))
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: it was attached there by `attach`, and who drops it uses no pointer into it any more.
        unsafe { libc::shmdt(self.base.cast()) };
    }
}

fn attach(id: libc::c_int, size: usize, flags: libc::c_int) -> io::Result<SharedMemory> {
    // SAFETY: the kernel chooses the address.
    let base = unsafe { libc::shmat(id, ptr::null(), flags) };
    if base.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    Ok(SharedMemory { id, base: base.cast(), size })
}

fn remove(id: libc::c_int) {
    // SAFETY: this command takes no pointer. Without the right to, nothing happens.
    unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) };
}

fn status(id: libc::c_int) -> io::Result<libc::shmid_ds> {
    ask(id, libc::IPC_STAT).map(|(_, status)| status)
}

/// The status of a segment, and the answer of the system.
fn ask(which: libc::c_int, command: libc::c_int) -> io::Result<(libc::c_int, libc::shmid_ds)> {
    let mut status = MaybeUninit::uninit();
    // SAFETY: `status` is as long as the kernel expects.
    let answer = unsafe { libc::shmctl(which, command, status.as_mut_ptr()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: filled in, as the call succeeded.
    Ok((answer, unsafe { status.assume_init() }))
}

/// What `command` says of the segments of the system, and the highest place in their table.
fn system(command: libc::c_int) -> Option<([libc::c_ulong; 16], libc::c_int)> {
    let mut words = [0; 16];
    // SAFETY: the answers to these commands, like a status, are shorter than 16 words.
    let last = unsafe { libc::shmctl(0, command, words.as_mut_ptr().cast()) };
    (last >= 0).then_some((words, last))
}

/// More than half of the numbers for segments are taken.
fn is_crowded() -> bool {
    let (Some((info, _)), Some((limits, _))) = (system(SHM_INFO), system(IPC_INFO)) else { return false };
    // The first is an `int`; the third of the limits is how many there may be.
    u64::from(info[0] as u32) > limits[2] / 2
}

/// Removes rings of this user that belong to no process any more and that nobody has fetched for `age`.
pub fn free_strays(age: Duration) {
    // SAFETY: no arguments, cannot fail.
    let user = unsafe { libc::geteuid() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let oldest = libc::time_t::try_from(now.saturating_sub(age).as_secs()).unwrap_or(0);
    let Some((_, last)) = system(SHM_INFO) else { return };
    for place in 0..=last {
        let Ok((id, found)) = ask(place, SHM_STAT) else { continue };
        let is_stray = found.shm_perm.uid == user
            && found.shm_nattch == 0
            // 0: nobody has had it yet.
            && found.shm_dtime != 0
            && found.shm_dtime <= oldest
            && found.shm_segsz > HEADER_SIZE;
        if !is_stray {
            continue;
        }
        let Ok(memory) = SharedMemory::open(id) else { continue };
        let mut bytes = [0; header::SIZE];
        memory.read_at(&mut bytes, 0);
        if Header::from_bytes(&bytes).magic == MAGIC {
            memory.remove();
        }
    }
}
