//! Memory whose layout is only supposed: reads that are refused where nothing is mapped.

use std::ops::{Deref, DerefMut, Range};

/// What is mapped and readable in this process, as of when it was looked at.
pub struct Mapped(Vec<Range<usize>>);

impl Mapped {
    /// Asks the kernel.
    pub fn now() -> Mapped {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        Mapped(maps.lines().filter_map(readable).collect())
    }

    /// The value at `address`, if it is aligned and whole in readable memory.
    ///
    /// # Safety
    /// What was mapped is still mapped, and any bits make a `Value`.
    pub unsafe fn read<Value: Copy>(&self, address: usize) -> Option<Value> {
        let end = address.checked_add(size_of::<Value>())?;
        let whole = self.0.iter().any(|range| range.start <= address && end <= range.end);
        let aligned = address.is_multiple_of(align_of::<Value>());
        // SAFETY: the address is aligned and its memory is mapped for reading; the caller guarantees the rest.
        (whole && aligned).then(|| unsafe { (address as *const Value).read() })
    }
}

/// Copies what is at `address` into `buffer`. False where any of it cannot be read: nothing is mapped there, or the file
/// that is has become shorter. The kernel does the copying: it finds that out, where the process would be ended for it.
pub fn copy(address: usize, buffer: &mut [u8]) -> bool {
    // SAFETY: `errno` of this thread is always there; the job shall find it as it was.
    unsafe {
        let errno = *libc::__errno_location();
        let copied = copy_by_call(address, buffer).unwrap_or_else(|| copy_from_file(address, buffer));
        *libc::__errno_location() = errno;
        copied
    }
}

/// Whether [`copy`] can copy anything at all in this process.
pub fn can_be_copied() -> bool {
    let (known, mut found) = ([7u8; 16], [0; 16]);
    copy(known.as_ptr() as usize, &mut found) && found == known
}

/// `None`: the kernel has not tried, for the process may not ask it (a container's filter of system calls), or it cannot.
fn copy_by_call(address: usize, buffer: &mut [u8]) -> Option<bool> {
    // SAFETY: no arguments, cannot fail.
    copy_of_process(unsafe { libc::getpid() }, address, buffer)
}

/// The same of another process, which this one may look into: a child of its own.
pub fn copy_of_child(process: libc::pid_t, address: usize, buffer: &mut [u8]) -> bool {
    // SAFETY: as in `copy`.
    unsafe {
        let errno = *libc::__errno_location();
        let copied = copy_of_process(process, address, buffer);
        *libc::__errno_location() = errno;
        copied == Some(true)
    }
}

fn copy_of_process(process: libc::pid_t, address: usize, buffer: &mut [u8]) -> Option<bool> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: the first describes the buffer, which is borrowed for this; the second is only ever read, by the kernel.
    unsafe {
        let copied = libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0);
        let is_refused = copied < 0 && *libc::__errno_location() != libc::EFAULT;
        (!is_refused).then(|| usize::try_from(copied) == Ok(buffer.len()))
    }
}

fn copy_from_file(address: usize, buffer: &mut [u8]) -> bool {
    // SAFETY: a C string; the kernel writes into the buffer only, which is borrowed for this; the descriptor is this
    // function's own.
    unsafe {
        let file = libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let copied = libc::pread(file, buffer.as_mut_ptr().cast(), buffer.len(), address as libc::off_t);
        libc::close(file);
        usize::try_from(copied) == Ok(buffer.len())
    }
}

/// Memory that can be done without: zeroed, of the system's own, and given back to it. Where the process is under a limit
/// it is not had, and that is all; the allocator would take it for a sign that there is none left.
pub struct Spare(*mut u8, usize);

impl Spare {
    /// So many bytes; `None` where they are not to be had.
    pub fn of(size: usize) -> Option<Spare> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let begin = unsafe {
            let errno = *libc::__errno_location();
            let begin = libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0);
            *libc::__errno_location() = errno;
            begin
        };
        (begin != libc::MAP_FAILED).then(|| Spare(begin.cast(), size))
    }
}

impl Deref for Spare {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is this object's, as long as it says, and zeroed by the kernel.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
}

impl DerefMut for Spare {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; it is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.0, self.1) }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's, and nobody borrows from it any more.
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

/// The range of a line of `/proc/self/maps`, if it is readable.
fn readable(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    fields.next()?.starts_with('r').then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    /// In the one way and in the other: as it is, and where the call is refused.
    #[test]
    fn what_cannot_be_read_is_not_copied_and_harms_nothing() {
        what_cannot_be_read_is_not_copied(|address, buffer| copy_by_call(address, buffer) == Some(true));
        what_cannot_be_read_is_not_copied(copy_from_file);
    }

    fn what_cannot_be_read_is_not_copied(copy: impl Fn(usize, &mut [u8]) -> bool) {
        let mut buffer = [0; 16];
        assert!(copy(b"sixteen bytes...".as_ptr() as usize, &mut buffer));
        assert_eq!(&buffer, b"sixteen bytes...");
        assert!(!copy(16, &mut buffer));
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[7; 8192]).expect("room");
        // SAFETY: a new mapping, which is only read by the kernel.
        let mapped = unsafe {
            libc::mmap(std::ptr::null_mut(), 8192, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        assert_ne!(mapped, libc::MAP_FAILED);
        assert!(copy(mapped as usize + 4096, &mut buffer) && buffer == [7; 16]);
        file.set_len(100).expect("a shorter file");
        assert!(!copy(mapped as usize + 4096, &mut buffer));
    }
}
