//! Which recorded calls each thread is in.

use super::call::{Entered, Open};
use crate::interpreter::api::Object;
use crate::interpreter::frame::Frame;
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};
use traincheck_schema::record::Event;
use traincheck_settings::{COUNTERS, Counter};

/// Deeper recorded calls are not recorded.
const MAX_DEPTH: usize = 512;

/// The calls of one thread. Everything is changed through a shared reference: a step of a hook may be inside another
/// one of the same thread (a callback of libtorch in a look, say), and both have one.
#[derive(Default)]
pub struct Calls {
    depth: Cell<usize>,
    open: OpenCalls,
    /// The agent's own code runs: what it calls is not recorded.
    pub busy: Cell<bool>,
    /// How many calls are open, by [`Counter`].
    counts: [Cell<u32>; COUNTERS],
    /// An iteration has begun in the open optimizer step (a closure).
    pub iteration_in_step: Cell<bool>,
    /// The function that fills parameters, dictionary id; 0: none is open.
    pub filled_by: Cell<u32>,
    /// Resumptions of generators that are being closed, which are told if anything happens in them.
    pub unsaid: RefCell<Vec<Event>>,
    /// Recorded calls that have not returned, and their frames: where each return is told of for itself.
    pub held: RefCell<Vec<(*const Frame, Entered)>>,
    /// Objects of the script to which the agent gives its references back when the step of the hook is over.
    given_back: RefCell<Vec<Object>>,
    /// Calls that are nested in the innermost one are not seen.
    pub has_unseen: Cell<bool>,
    /// Address below which too little of the thread's stack is left; 0: not looked up.
    pub stack_floor: Cell<usize>,
}

struct OpenCalls([Cell<Open>; MAX_DEPTH]);

impl Default for OpenCalls {
    fn default() -> OpenCalls {
        OpenCalls([const { Cell::new(Open { call: 0, code: 0, site: 0 }) }; MAX_DEPTH])
    }
}

thread_local! {
    // Without a destructor on purpose: see `boot`.
    static CURRENT: Cell<*mut Calls> = const { Cell::new(std::ptr::null_mut()) };
}

static KEY: AtomicI64 = AtomicI64::new(-1);

/// Registers what frees a thread's calls at its end. Thread-local destructors of Rust are not used: registering one
/// takes a lock of glibc that a fork in another thread leaves locked in the child.
pub fn boot() {
    let mut key = 0;
    // SAFETY: `key` is valid for writes; `free` has the signature of a key destructor.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(free)) } == 0 {
        KEY.store(i64::from(key), Ordering::Relaxed);
    }
}

unsafe extern "C" fn free(calls: *mut c_void) {
    CURRENT.with(|current| current.set(std::ptr::null_mut()));
    // SAFETY: the value of the key is the box that `current` leaked, and this is the thread's last use of it.
    drop(unsafe { Box::from_raw(calls.cast::<Calls>()) });
}

/// The calls of this thread.
#[inline]
pub fn current<'a>() -> &'a Calls {
    let calls = CURRENT.with(Cell::get);
    let calls = if calls.is_null() { make() } else { calls };
    // SAFETY: the box lives as long as the thread, and `Calls` is not `Sync`: the reference stays in this thread. The
    // hooks, which are the only callers, do not keep it from one of their steps to the next.
    unsafe { &*calls }
}

#[cold]
fn make() -> *mut Calls {
    let calls = Box::into_raw(Box::<Calls>::default());
    CURRENT.with(|current| current.set(calls));
    if let Ok(key) = libc::pthread_key_t::try_from(KEY.load(Ordering::Relaxed)) {
        // SAFETY: the key was created by `boot`; the value is what `free` expects.
        unsafe { libc::pthread_setspecific(key, calls.cast()) };
    }
    calls
}

impl Calls {
    /// The innermost open call; all zero at the top of the thread.
    #[inline]
    pub fn innermost(&self) -> Open {
        self.open().next_back().unwrap_or_default()
    }

    /// Enters a call; false if it is too deep to be recorded.
    #[inline]
    pub fn enter(&self, open: Open) -> bool {
        let depth = self.depth.get();
        match self.open.0.get(depth) {
            Some(slot) => {
                slot.set(open);
                self.depth.set(depth + 1);
                true
            }
            None => false,
        }
    }

    /// Whether a further call would be too deep.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.depth.get() == MAX_DEPTH
    }

    /// Leaves the innermost call.
    #[inline]
    pub fn leave(&self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }

    /// How many calls of this counter are open.
    #[inline]
    pub fn open_calls(&self, counter: Counter) -> u32 {
        self.counts[counter as usize].get()
    }

    /// A call of this counter is entered, or left. Gives back how many are open now.
    #[inline]
    pub fn count(&self, counter: Counter, enters: bool) -> u32 {
        let count = &self.counts[counter as usize];
        count.set(if enters { count.get() + 1 } else { count.get().saturating_sub(1) });
        count.get()
    }

    /// Whether no other call of this counter is around one that is about to be entered.
    #[inline]
    pub fn is_outermost(&self, counter: Option<Counter>) -> bool {
        counter.is_none_or(|counter| self.open_calls(counter) == 0)
    }

    /// A reference of the agent's is needed no more.
    pub fn give_back(&self, object: Option<Object>) {
        if let Some(object) = object {
            self.given_back.borrow_mut().push(object);
        }
    }

    /// One of those that were given back. Whoever drops it may run the script's code.
    #[inline]
    pub fn take_given_back(&self) -> Option<Object> {
        self.given_back.borrow_mut().pop()
    }

    /// How many calls are open.
    #[inline]
    pub fn depth(&self) -> usize {
        self.depth.get()
    }

    /// The open calls, outermost first.
    #[inline]
    pub fn open(&self) -> impl DoubleEndedIterator<Item = Open> + '_ {
        self.open.0.get(..self.depth.get()).unwrap_or_default().iter().map(Cell::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(call: u64) -> Open {
        Open { call, ..Open::default() }
    }

    #[test]
    fn calls_nest_and_no_more_than_there_is_room_for() {
        let calls = Calls::default();
        assert_eq!(calls.innermost().call, 0);
        calls.leave();
        for number in 1..=MAX_DEPTH as u64 {
            assert!(calls.enter(open(number)));
        }
        assert!(calls.is_full() && !calls.enter(open(1000)));
        assert_eq!((calls.depth(), calls.innermost().call), (MAX_DEPTH, MAX_DEPTH as u64));
        calls.leave();
        assert!(calls.open().map(|open| open.call).eq(1..MAX_DEPTH as u64));
    }

    #[test]
    fn a_step_inside_another_sees_and_changes_the_same_calls() {
        boot();
        std::thread::spawn(|| {
            // As a callback of libtorch does while a look is being made.
            let outer = current();
            outer.busy.set(true);
            assert!(outer.enter(open(1)));
            let inner = current();
            assert!(inner.busy.get() && inner.enter(open(2)));
            inner.leave();
            outer.count(Counter::ModuleCalls, true);
            assert_eq!((inner.open_calls(Counter::ModuleCalls), outer.innermost().call), (1, 1));
        })
        .join()
        .expect("a thread that ends well");
    }
}
