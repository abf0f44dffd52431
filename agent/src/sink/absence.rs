//! The writer has no thread while the process forks.
//!
//! From 3.12 on CPython counts the threads of the process when `fork` has returned in the parent, and warns the job if
//! there are several. So before a fork the writer leaves its thread, and itself here. What it has not written is in the
//! rings, which outlive the process; only if that is more than a block it writes first, for a moment, or it would never
//! get to it in a job that forks all the time. It gets another thread where the next iteration begins, where a ring is half
//! full, or where the run is sealed, and not before: at the end of `fork` would be too early.

use super::phase::is_inert;
use super::place::is_ours;
use super::quiet::quietly;
use super::writer::{self, Writer};
use crate::base::clock::now;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// How long a fork waits for the writer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much of that the writer may use up for what is in the rings.
const RESPITE: Duration = Duration::from_millis(30);
/// A writer that has not come so many times in a row is waited for no more: somebody holds what it needs across the fork.
const MOST_FAILURES: u32 = 3;
/// Between looks whether a thread is gone. Its last steps, in the kernel, are announced by nobody.
const MOMENT: Duration = Duration::from_micros(20);

/// Whether forks are waited for at all.
static ON: AtomicBool = AtomicBool::new(false);
/// How many threads are about to fork and wait for the writer to leave.
static WAITING: AtomicU32 = AtomicU32::new(0);
/// When the last of them began to.
static SINCE: AtomicU64 = AtomicU64::new(0);
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// The writer, as long as it has no thread. Who takes it from here owns it.
static LEFT: AtomicPtr<Writer> = AtomicPtr::new(ptr::null_mut());
/// Counts the times that it has come here or ended, for those who wait for that.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// The number of its last thread; 0: that is gone, or there was none.
static THREAD: AtomicI32 = AtomicI32::new(0);

/// From now on no fork finds the thread of the writer, where that can be had.
pub fn switch_on() {
    ON.store(true, Ordering::Relaxed);
}

/// The calling thread is the writer's.
pub fn thread_begins() {
    // SAFETY: no arguments, cannot fail.
    THREAD.store(unsafe { libc::gettid() }, Ordering::Release);
}

/// The thread of the writer is to end.
pub fn is_wanted() -> bool {
    WAITING.load(Ordering::Acquire) > 0
}

/// It is to end whatever is in the rings.
pub fn is_urgent() -> bool {
    is_wanted() && now().saturating_sub(SINCE.load(Ordering::Relaxed)) > RESPITE.as_nanos() as u64
}

/// Takes in the writer, whose thread does nothing more than end.
pub fn begin(writer: Box<Writer>) {
    LEFT.store(Box::into_raw(writer), Ordering::Release);
    tell();
}

/// The writer has come here, or has ended for good.
pub fn tell() {
    NEWS.fetch_add(1, Ordering::AcqRel);
    writer::rouse(&NEWS);
}

/// The writer, if it is here.
pub fn take() -> Option<Box<Writer>> {
    let writer = LEFT.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: `begin` put the address of a box there, and the swap gives it to one caller only.
    (!writer.is_null()).then(|| unsafe { Box::from_raw(writer) })
}

/// Gives the writer a thread again, if it is here. Not to be called on the way of a fork.
#[inline]
pub fn end() {
    if !LEFT.load(Ordering::Relaxed).is_null() {
        end_it();
    }
}

#[cold]
fn end_it() {
    // In a child made without the C library the writer is a copy.
    if is_wanted() || is_inert() || !is_ours() {
        return;
    }
    if let Some(writer) = take()
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
        SINCE.store(now(), Ordering::Relaxed);
        WAITING.fetch_add(1, Ordering::AcqRel);
        writer::call();
        if is_gone_in(PATIENCE) {
            FAILURES.store(0, Ordering::Relaxed);
        } else {
            FAILURES.fetch_add(1, Ordering::Relaxed);
        }
        WAITING.fetch_sub(1, Ordering::AcqRel);
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
}

/// Waits until the writer is here, or has ended, and its thread has gone.
fn is_gone_in(patience: Duration) -> bool {
    let last = now() + patience.as_nanos() as u64;
    let left = || Duration::from_nanos(last.saturating_sub(now()));
    loop {
        let news = NEWS.load(Ordering::Acquire);
        if !LEFT.load(Ordering::Acquire).is_null() || writer::has_ended() {
            break;
        }
        if left().is_zero() {
            return false;
        }
        writer::sleep_on(&NEWS, news, left());
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
