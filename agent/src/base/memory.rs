//! Memory whose layout is only supposed: reads that are refused where nothing is mapped.

use std::ops::Range;

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
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: buffer.len() };
    // SAFETY: the first describes the buffer, which is borrowed for this; the second is only ever read, by the kernel.
    // `errno` of this thread is always there, and the job shall find it as it was.
    unsafe {
        let errno = *libc::__errno_location();
        let copied = libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0);
        *libc::__errno_location() = errno;
        usize::try_from(copied) == Ok(buffer.len())
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

    #[test]
    fn what_cannot_be_read_is_not_copied_and_harms_nothing() {
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
