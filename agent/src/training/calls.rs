//! Which recorded calls each thread is in.

use crate::hooks::capture::call::Entered;
use crate::interpreter::frame::Frame;
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicI64, Ordering};
use traincheck_schema::record::Event;

/// Deeper recorded calls are not recorded.
const MAX_DEPTH: usize = 512;

/// A recorded call that has not returned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    /// Its id.
    pub call: u64,
    /// Identity of the code that runs, to tell recursion.
    pub code: usize,
    /// The place of the user's code it came from.
    pub site: u32,
}

/// The calls of one thread.
pub struct Calls {
    depth: usize,
    open: [Open; MAX_DEPTH],
    /// The agent's own code runs: what it calls is not recorded.
    pub busy: bool,
    /// Open module calls.
    pub modules: u32,
    /// Open constructions of followed objects.
    pub constructions: u32,
    /// Open optimizer steps.
    pub optimizer_steps: u32,
    /// Open calls of backward.
    pub backwards: u32,
    /// Open mode changes.
    pub mode_changes: u32,
    /// An iteration has begun in the open optimizer step (a closure).
    pub iteration_in_step: bool,
    /// Resumptions of generators that are being closed, which are told if anything happens in them.
    pub unsaid: Vec<Event>,
    /// Recorded calls that have not returned, and their frames: where each return is told of for itself.
    pub held: Vec<(*const Frame, Entered)>,
    /// Address below which too little of the thread's stack is left; 0: not looked up.
    pub stack_floor: usize,
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
pub fn current<'a>() -> &'a mut Calls {
    let calls = CURRENT.with(Cell::get);
    let calls = if calls.is_null() { make() } else { calls };
    // SAFETY: the box lives as long as the thread. References to it are used by this thread only, for the few lines
    // between two steps of a hook; no two are used in turn.
    unsafe { &mut *calls }
}

#[cold]
fn make() -> *mut Calls {
    let calls = Box::into_raw(Box::new(Calls {
        depth: 0,
        open: [Open::default(); MAX_DEPTH],
        busy: false,
        modules: 0,
        constructions: 0,
        optimizer_steps: 0,
        backwards: 0,
        mode_changes: 0,
        iteration_in_step: false,
        unsaid: Vec::new(),
        held: Vec::new(),
        stack_floor: 0,
    }));
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
        self.depth.checked_sub(1).and_then(|index| self.open.get(index)).copied().unwrap_or_default()
    }

    /// Enters a call; false if it is too deep to be recorded.
    #[inline]
    pub fn enter(&mut self, open: Open) -> bool {
        match self.open.get_mut(self.depth) {
            Some(slot) => {
                *slot = open;
                self.depth += 1;
                true
            }
            None => false,
        }
    }

    /// Leaves the innermost call.
    #[inline]
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// How many calls are open.
    #[inline]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The open calls, outermost first.
    #[inline]
    pub fn open(&self) -> &[Open] {
        self.open.get(..self.depth).unwrap_or_default()
    }
}
