//! Files that are there as a whole or not at all, whatever happens while they are written.

use std::ffi::{CString, OsString, c_char, c_int};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

/// The signals that people and systems end a program with.
const SIGNALS: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// What the handler removes.
static UNFINISHED: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Writes `bytes` beside `path` and renames, so that no reader ever sees half of it. A signal that ends the program
/// meanwhile leaves neither the half nor a trace of it. A link stays one, and pipes and devices are written into.
///
/// # Errors
/// If the system does not let it. What was there before is there still.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // There is one handler and it knows one file.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let target = path.canonicalize();
    let path = target.as_deref().unwrap_or(path);
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut beside = OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(beside);
    let _guard = Guard::over(&beside)?;
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        // The error that is returned says more than that of the removal could.
        let _ = fs::remove_file(&beside);
    }
    renamed
}

/// While it lives, a signal that ends the program removes a file first.
struct Guard {
    before: Vec<(c_int, libc::sigaction)>,
}

impl Guard {
    fn over(path: &Path) -> io::Result<Guard> {
        // Never freed: another thread may be in the handler when this one is done.
        UNFINISHED.store(CString::new(path.as_os_str().as_bytes())?.into_raw(), Ordering::SeqCst);
        let mut guard = Guard { before: Vec::new() };
        for signal in SIGNALS {
            guard.before.extend(handle(signal).map(|before| (signal, before)));
        }
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: `before` is what `sigaction` gave for this signal.
            unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
        }
        UNFINISHED.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

/// Has `signal` handled, unless it would not end the program; gives what was in place.
fn handle(signal: c_int) -> Option<libc::sigaction> {
    // SAFETY: a `sigaction` is integers and pointers, for which zeros are values.
    let (mut before, mut ours): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are null or to a `sigaction`.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut before) };
    if asked != 0 || before.sa_sigaction != libc::SIG_DFL {
        return None;
    }
    ours.sa_sigaction = remove_and_end as extern "C" fn(c_int) as libc::sighandler_t;
    // SAFETY: as above; the handler calls only functions that a handler may call.
    (unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) } == 0).then_some(before)
}

extern "C" fn remove_and_end(signal: c_int) {
    let path = UNFINISHED.swap(ptr::null_mut(), Ordering::SeqCst);
    // SAFETY: `unlink`, `signal` and `raise` may be called in a handler. A path that is not null is never
    // freed. The signal that is raised here comes when this returns, and ends the program as if there were no handler.
    unsafe {
        if !path.is_null() {
            libc::unlink(path);
        }
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, symlink};

    use super::*;

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        symlink(&file, &link).unwrap();
        write(&link, b"after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");

        let device = folder.path().join("device");
        symlink("/dev/null", &device).unwrap();
        write(&device, b"nothing").unwrap();
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside them");
    }
}
