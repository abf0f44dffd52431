//! The writer has no thread while the process forks, if the job would have only one thread there without it.
//!
//! From 3.12 on CPython counts the threads of the process when `fork` has returned in the parent, and warns the job if
//! there are several; from 3.15 on the warning can be an exception, where warnings are errors. A job that has threads of
//! its own has that coming with or without us, and its forks are not held up. In any other the writer leaves its thread
//! before a fork, and itself here. What it has not written is in the rings; only if that is more than a block it writes
//! first, for a moment, or it would never get to it in a job that forks all the time. It gets another thread where the
//! next iteration begins, where a ring is half full, or where the run is sealed, and not before: at the end of `fork`
//! would be too early.

use super::phase::is_inert;
use super::place::is_ours;
use super::quiet::quietly;
use super::writer::{self, HANDS, Writer};
use crate::base::clock::now;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a fork waits for the writer.
const PATIENCE: Duration = Duration::from_millis(50);
/// How much of that the writer may use up for what is in the rings.
const RESPITE: Duration = Duration::from_millis(10);
/// A writer that has not come so many times in a row is waited for no more: somebody holds what it needs across the fork.
const MOST_FAILURES: u32 = 3;
/// Between looks whether a thread is gone. Its last steps, in the kernel, are announced by nobody.
const MOMENT: Duration = Duration::from_micros(20);

/// Whether forks are waited for at all.
static ON: AtomicBool = AtomicBool::new(false);
/// When the last of those who wait began to.
static SINCE: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// The number of the writer's last thread; 0: that is gone, or there was none.
static THREAD: AtomicI32 = AtomicI32::new(0);

/// From now on no fork of a job with one thread finds the thread of the writer, where that can be had.
pub fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// The calling thread is the writer's.
pub fn thread_begins() {
    // SAFETY: no arguments, cannot fail.
    THREAD.store(unsafe { libc::gettid() }, Ordering::Release);
}

/// The thread of the writer is to end whatever is in the rings.
pub fn is_urgent() -> bool {
    HANDS.is_wanted() && now().saturating_sub(SINCE.load(Ordering::Relaxed)) > RESPITE.as_nanos() as u64
}

/// Takes in the writer, whose thread does nothing more than end.
pub fn begin(writer: Box<Writer>) {
    HANDS.leave(writer);
    writer::rouse(HANDS.news());
}

/// Gives the writer a thread again, if it has none. Not to be called on the way of a fork.
#[inline]
pub fn end() {
    if HANDS.has_left() {
        end_it();
    }
}

#[cold]
fn end_it() {
    // In a child made without the C library the writer is a copy.
    if HANDS.is_wanted() || is_inert() || !is_ours() {
        return;
    }
    if let Some(writer) = HANDS.take()
        && let Err((writer, _)) = quietly(|| writer.spawn())
    {
        // No thread to be had now: perhaps the next time, or at the end.
        begin(writer);
    }
}

/// The process is about to fork: has the thread of the writer end, and waits for that, but not for long. Takes no
/// lock, and needs none that another handler of this fork may already hold.
pub fn before_fork() {
    let is_on = ON.load(Ordering::Relaxed) && FAILURES.load(Ordering::Relaxed) < MOST_FAILURES;
    if is_on && writer::may_leave() && is_ours() {
        // SAFETY: `errno` of this thread is always there. The job shall find it as `fork` leaves it.
        let errno = unsafe { *libc::__errno_location() };
        if !has_other_threads() {
            make_way();
        }
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
}

fn make_way() {
    SINCE.store(now(), Ordering::Relaxed);
    HANDS.ask();
    writer::call();
    if is_gone_in(PATIENCE) {
        FAILURES.store(0, Ordering::Relaxed);
    } else {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
    HANDS.withdraw();
}

/// There are threads beside the calling one and the writer's, so the job is warned in any case; or nobody can count
/// them, CPython neither, and it knows nothing of the writer's.
fn has_other_threads() -> bool {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is a C string, and there is room for the answer.
    let found = unsafe { libc::stat(c"/proc/self/task".as_ptr(), status.as_mut_ptr()) } == 0;
    // SAFETY: filled in, as the call succeeded. A folder has two links, and here one for each thread.
    !found || unsafe { status.assume_init() }.st_nlink > 2 + 2
}

/// Waits until the writer is here, or has ended, and its thread has gone.
fn is_gone_in(patience: Duration) -> bool {
    let last = now() + patience.as_nanos() as u64;
    let left = || Duration::from_nanos(last.saturating_sub(now()));
    loop {
        let news = HANDS.news().load(Ordering::Acquire);
        if HANDS.has_left() || HANDS.has_ended() {
            break;
        }
        if left().is_zero() {
            return false;
        }
        writer::sleep_on(HANDS.news(), news, left());
    }
    let thread = THREAD.load(Ordering::Acquire);
    while thread != 0 && exists(thread) {
        if left().is_zero() {
            return false;
        }
        // Nobody changes it: this only sleeps.
        writer::sleep_on(&AtomicU32::new(0), 0, MOMENT);
    }
    // Its number may be given to another thread some day.
    let _ = THREAD.compare_exchange(thread, 0, Ordering::AcqRel, Ordering::Relaxed);
    true
}

/// The kernel still counts this thread of the process.
fn exists(thread: libc::pid_t) -> bool {
    // SAFETY: no pointers; the signal 0 is not sent.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) == 0 }
}
