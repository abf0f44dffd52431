//! Who has the writer: its thread, or nobody for a while, or who closes the run. One of them at any time, and the run is
//! closed once.
//!
//! ```text
//! its thread ──leave──> nobody ──take──> a new thread, or who closes the run
//!      └──────────────────end──────────────────────┘
//! ```
//!
//! Nothing here waits or takes a lock: all of it may happen on the way of a fork. The tests have loom go through the
//! interleavings, see `tests/the_writer_has_one_owner_whoever_forks_or_closes.rs`.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use std::ptr;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

/// What the thread of the writer is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    GoOn,
    /// End, and leave the writer: the process is about to fork.
    Leave,
    /// Write everything, and close the run.
    Close,
}

/// Who has a `Writer`.
pub struct HandOver<Writer> {
    /// How many threads are about to fork and wait for it to leave its thread.
    waiting: AtomicU32,
    closing: AtomicBool,
    /// The writer, as long as nobody has it. Who takes it from here owns it.
    left: AtomicPtr<Writer>,
    /// 1: it has ended for good.
    ended: AtomicU32,
    /// Counts the times that it has left its thread or ended, for those who wait for that.
    news: AtomicU32,
}

impl<Writer> HandOver<Writer> {
    #[cfg(not(all(test, loom)))]
    pub const fn new() -> HandOver<Writer> {
        HandOver {
            waiting: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            left: AtomicPtr::new(ptr::null_mut()),
            ended: AtomicU32::new(0),
            news: AtomicU32::new(0),
        }
    }

    #[cfg(all(test, loom))]
    pub fn new() -> HandOver<Writer> {
        HandOver {
            waiting: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            left: AtomicPtr::new(ptr::null_mut()),
            ended: AtomicU32::new(0),
            news: AtomicU32::new(0),
        }
    }

    /// What the thread of the writer is to do. Once it is to close, it is never again to do anything else; and it finds
    /// whatever was pushed before [`HandOver::close`].
    pub fn order(&self) -> Order {
        if self.closing.load(Ordering::Acquire) {
            Order::Close
        } else if self.is_wanted() {
            Order::Leave
        } else {
            Order::GoOn
        }
    }

    /// Somebody is about to fork and waits.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// The calling thread is about to fork and waits, until [`HandOver::withdraw`].
    pub fn ask(&self) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
    }

    pub fn withdraw(&self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// The thread of the writer ends, and nobody has it from now on.
    pub fn leave(&self, writer: Box<Writer>) {
        self.left.store(Box::into_raw(writer), Ordering::Release);
        self.news.fetch_add(1, Ordering::AcqRel);
    }

    /// The writer, if nobody has it: then the caller has.
    pub fn take(&self) -> Option<Box<Writer>> {
        let writer = self.left.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `leave` put the address of a box there, and the swap gives it to one caller only.
        (!writer.is_null()).then(|| unsafe { Box::from_raw(writer) })
    }

    /// Nobody has the writer.
    #[inline]
    pub fn has_left(&self) -> bool {
        !self.left.load(Ordering::Acquire).is_null()
    }

    /// The run is to be closed by whoever has the writer.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The writer has ended for good.
    pub fn end(&self) {
        self.ended.store(1, Ordering::Release);
        self.news.fetch_add(1, Ordering::AcqRel);
    }

    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// The word that is 0 until the writer has ended, to sleep on.
    pub fn ended(&self) -> &AtomicU32 {
        &self.ended
    }

    /// The word that changes when the writer has left its thread or ended, to sleep on.
    pub fn news(&self) -> &AtomicU32 {
        &self.news
    }
}
