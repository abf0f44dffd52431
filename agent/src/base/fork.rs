//! What no child of this process inherits, however it was made: that anything is to be done.
//!
//! `fork` runs handlers in the child, but a child can also be made by the system call alone, and in a forked one other
//! handlers may run before ours. So the words by which all of the agent decides whether there is anything to do lie in a
//! page that the kernel gives to every child empty, and zero is what they say where there is not. A child that shares the
//! memory of its parent until it becomes another program (`vfork`, `posix_spawn`) runs no code of the agent's.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

const PAGE_SIZE: usize = 4096;

/// The words, alone in their page.
#[repr(C, align(4096))]
pub struct NotInherited {
    /// What the sink does with records.
    pub phase: AtomicU8,
    /// 1 in the process that has called [`boot`].
    original: AtomicU8,
    rest: [u8; PAGE_SIZE - 2],
}

/// All zero at first, so it is in no page of the library's file: only of other memory the kernel makes an empty page.
pub static NOT_INHERITED: NotInherited =
    NotInherited { phase: AtomicU8::new(0), original: AtomicU8::new(0), rest: [0; PAGE_SIZE - 2] };

/// The kernel does so.
static IS_EMPTIED: AtomicBool = AtomicBool::new(false);
/// The handler of `fork` has run in this process.
static FORKED: AtomicBool = AtomicBool::new(false);

/// Asks the kernel for it. To be called before other threads exist. False: this was done in this process, or it was
/// forked. (A child of the system call alone that calls this is a process of its own from there on.)
pub fn boot() -> bool {
    if FORKED.load(Ordering::Relaxed) || NOT_INHERITED.original.swap(1, Ordering::AcqRel) == 1 {
        return false;
    }
    let page = (&raw const NOT_INHERITED).cast_mut();
    // SAFETY: `sysconf` has no conditions. The page is this library's own and holds the words above alone; where pages are
    // larger than that the kernel is not asked. If it refuses, the handlers of `fork` have to do.
    let is_emptied = unsafe {
        libc::sysconf(libc::_SC_PAGESIZE) == PAGE_SIZE as libc::c_long
            && libc::madvise(page.cast(), PAGE_SIZE, libc::MADV_WIPEONFORK) == 0
    };
    IS_EMPTIED.store(is_emptied, Ordering::Relaxed);
    true
}

/// This process is a child of one that the agent was awake in. Nothing is recorded here, and nothing that the parent
/// shares with it is touched.
#[inline]
pub fn is_forked() -> bool {
    FORKED.load(Ordering::Relaxed)
        || IS_EMPTIED.load(Ordering::Relaxed) && NOT_INHERITED.original.load(Ordering::Relaxed) == 0
}

/// This process is such a child: only stores, for it comes from between `fork` and its return.
pub fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
    NOT_INHERITED.phase.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_of_the_system_call_alone_knows_what_it_is() {
        // The constructor of the library has called `boot`, and the sink has set its word.
        assert!(IS_EMPTIED.load(Ordering::Relaxed), "the kernel refuses");
        assert!(!is_forked() && NOT_INHERITED.phase.load(Ordering::Relaxed) != 0);
        // SAFETY: the child touches nothing but its own memory, and leaves.
        unsafe {
            let child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as libc::pid_t;
            if child == 0 {
                let knows = is_forked() && NOT_INHERITED.phase.load(Ordering::Relaxed) == 0;
                libc::_exit(if knows { 0 } else { 1 });
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert!(!is_forked());
    }
}
