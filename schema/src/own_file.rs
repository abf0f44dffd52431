//! Files that are written inside a process that knows nothing of them: their descriptors are not in its way, and
//! what it does to descriptors never sends a byte into a file of its own.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Descriptors are at least this number, if the process may have such. Programs count on the lowest free one: who
/// closes standard output and opens a file gets number 1, and a program without standard error must not find ours
/// in its place.
const LEAST_DESCRIPTOR: libc::c_int = 600;

/// Makes the file `path`, which must not exist, for its owner only, whatever the mask of the process.
///
/// # Errors
/// As `open(2)` says.
pub fn create(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = away(options.create_new(true).mode(0o600).open(path)?);
    // A mask that takes rights from the owner, too, would make a file that nobody reads.
    if file.metadata()?.mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// `file` under a number out of the way, as far as the limit of the process allows one.
fn away(file: File) -> File {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a local.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let below_limit = libc::c_int::try_from(limit.rlim_cur - limit.rlim_cur / 8).unwrap_or(libc::c_int::MAX);
    // SAFETY: the descriptor is that of an open file; the answer is a new one, or -1.
    let moved = unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LEAST_DESCRIPTOR.min(below_limit).max(3))
    };
    // SAFETY: a new descriptor belongs to nobody else.
    if moved < 0 { file } else { unsafe { File::from_raw_fd(moved) } }
}

/// A file that is only appended to, and only as long as it is certain that it is this file: programs close
/// descriptors that they have not opened (daemons close all of them), and get the numbers for files of their own.
#[derive(Debug)]
pub struct OwnFile {
    /// Not to be closed unasked: the descriptor may be anybody's.
    file: ManuallyDrop<File>,
    path: PathBuf,
    identity: (u64, u64),
}

impl OwnFile {
    /// Makes the file `path`, as [`create`] does.
    ///
    /// # Errors
    /// As `open(2)` says.
    pub fn create(path: &Path) -> io::Result<OwnFile> {
        let file = create(path, OpenOptions::new().append(true))?;
        let identity = identity(&file)?;
        Ok(OwnFile { file: ManuallyDrop::new(file), path: path.to_owned(), identity })
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// If the system refuses, or the descriptor is not ours any more and the file cannot be opened again.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.certain()?;
        self.file.write_all(bytes)
    }

    /// Sees to it that `more` bytes can be appended to the first `length`, where the file system knows how to.
    ///
    /// # Errors
    /// If the disk has no room for them, or the process may not write as many to a file.
    pub fn reserve(&mut self, length: u64, more: u64) -> io::Result<()> {
        self.certain()?;
        let end = length.saturating_add(more);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limit is a local.
        unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
        if end > limit.rlim_cur {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        let (Ok(length), Ok(more)) = (libc::off_t::try_from(length), libc::off_t::try_from(more)) else {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        };
        // SAFETY: the descriptor is that of our open file.
        let refused =
            unsafe { libc::fallocate(self.file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, length, more) } != 0;
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) if refused => Err(error),
            _ => Ok(()),
        }
    }

    /// Cuts the file to `length` bytes.
    ///
    /// # Errors
    /// As [`OwnFile::append`].
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.certain()?;
        self.file.set_len(length)
    }

    /// Makes certain that the descriptor is this file's. If it was closed, the file is opened again.
    fn certain(&mut self) -> io::Result<()> {
        if self.is_ours() {
            return Ok(());
        }
        let file = OpenOptions::new().append(true).custom_flags(libc::O_NOFOLLOW).open(&self.path)?;
        if identity(&file)? != self.identity {
            return Err(io::Error::other("its descriptor was closed, and in its place is another file"));
        }
        // The old number is left to whoever has it now.
        self.file = ManuallyDrop::new(away(file));
        Ok(())
    }

    fn is_ours(&self) -> bool {
        identity(&self.file).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: the file is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// What tells a file from every other as long as it exists.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Closes the descriptor behind the back of its owner, as `closerange` does, and puts `other` in its place.
    fn replace(own: &OwnFile, other: &File) {
        // SAFETY: both are open; the owner looks before it uses what is there now.
        assert_ne!(unsafe { libc::dup2(other.as_raw_fd(), own.file.as_raw_fd()) }, -1);
    }

    #[test]
    fn what_takes_the_descriptor_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own");
        let mut own = OwnFile::create(&path).unwrap();
        own.append(b"one ").unwrap();
        let other_path = folder.path().join("other");
        let other = File::create(&other_path).unwrap();
        replace(&own, &other);
        let taken = own.file.as_raw_fd();
        own.append(b"two").unwrap();
        own.cut(5).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one t");
        assert_eq!(std::fs::read(&other_path).unwrap(), b"");

        // And is not closed in the end.
        replace(&own, &other);
        let again = own.file.as_raw_fd();
        drop(own);
        for taken in [taken, again] {
            // SAFETY: plain calls; these are duplicates that this test has made.
            unsafe {
                assert_ne!(libc::fcntl(taken, libc::F_GETFD), -1);
                libc::close(taken);
            }
        }
    }

    #[test]
    fn another_file_of_the_same_name_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own");
        let mut own = OwnFile::create(&path).unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        let new = File::create(&path).unwrap();
        own.append(b"still the old one").unwrap();
        replace(&own, &new);
        own.append(b"nothing").unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn descriptors_are_out_of_the_way_and_files_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let own = OwnFile::create(&folder.path().join("own")).unwrap();
        assert!(own.file.as_raw_fd() >= LEAST_DESCRIPTOR, "{:?}", own.file);
        assert_eq!(own.file.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
