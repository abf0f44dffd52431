//! System calls on threads of the job must leave no trace there: no signal, no changed `errno`.

use std::mem::MaybeUninit;

/// Runs `work` so that neither its `errno` nor a SIGXFSZ of its writes (a limit on file sizes is in force) is
/// noticed by the calling thread.
pub fn quietly<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: `errno` of this thread is always there; the sets are initialised by sigemptyset before they are
    // used, and the pointers are to locals.
    unsafe {
        let errno = *libc::__errno_location();
        let mut limit = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        let mut pending = MaybeUninit::uninit();
        libc::sigemptyset(limit.as_mut_ptr());
        libc::sigaddset(limit.as_mut_ptr(), libc::SIGXFSZ);
        libc::sigemptyset(before.as_mut_ptr());
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        let was_pending = libc::sigismember(pending.as_ptr(), libc::SIGXFSZ) == 1;
        libc::pthread_sigmask(libc::SIG_BLOCK, limit.as_ptr(), before.as_mut_ptr());

        let result = work();

        // A signal that was not there before is ours: take it away before it can be delivered.
        if !was_pending {
            let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(limit.as_ptr(), std::ptr::null_mut(), &none);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        *libc::__errno_location() = errno;
        result
    }
}
