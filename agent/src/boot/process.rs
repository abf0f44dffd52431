//! What happens to the process as a whole: it starts, it forks, it ends.
//!
//! Everything is registered from the constructor, before any thread can exist: registering takes a lock of the
//! C library that is not reset in a forked child.

use crate::base::fork;
use crate::hooks::table;
use crate::sink;
use crate::sink::cost::Costs;

/// Registers the handlers for fork, exit and the end of threads. Called first of all, in every process that the
/// agent is preloaded into: it allocates nothing and writes nothing. Later calls do nothing.
pub fn boot() {
    if !fork::boot() {
        return;
    }
    sink::boot();
    // SAFETY: plain registrations; the handlers are functions of this library, which is never unloaded.
    unsafe {
        libc::pthread_atfork(Some(before_fork), None, Some(in_child));
        libc::atexit(at_exit);
    }
}

/// Runs in the parent before the fork, in whichever of its threads forks.
extern "C" fn before_fork() {
    if !fork::is_forked() {
        sink::before_fork();
    }
}

/// Runs in the child between `fork` and its return: only stores to memory of its own, for the handlers of other
/// libraries, an allocator's among them, may come later. The locks of this library may be held by threads that do not
/// exist here, so from now on every way in ends before it takes one.
extern "C" fn in_child() {
    fork::in_child();
    table::leave_child();
}

/// Seals the run at the end of the process, or of its interpreter, whichever comes first. The second time nothing is
/// left to do.
pub extern "C" fn at_exit() {
    Costs::now().account();
    sink::seal("exit");
    sink::report::finish();
}
