//! Ops that have begun and not ended: a stack for each thread, and a table for those that may end in another.
//!
//! Almost every op ends where it began, in the order of a stack. User scopes need not: a collective ends where its
//! work completes, and a scope of Python can be ended by a future.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// Ops nested deeper are not recorded.
const MAX_DEPTH: usize = 128;

/// An op that has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Op {
    /// The address of its `at::RecordFunction`, which no other op has until it ends.
    pub function: usize,
    /// Its call id.
    pub call: u64,
    /// The call around it.
    pub parent: u64,
    /// Dictionary id of its name.
    pub name: u32,
}

/// Where an op may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In the thread that it began in, after everything that began after it.
    Here,
    /// Likely there; but it may be passed on.
    HereOrElsewhere,
    /// At any time, in any thread: what begins after it is not inside it.
    Anywhere,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    op: Op,
    /// It is in the table too; once it is no more there, it has ended.
    shared: bool,
}

struct Stack {
    depth: usize,
    entries: [Entry; MAX_DEPTH],
}

thread_local! {
    // Without a destructor on purpose: registering one takes a lock of glibc that a fork in another thread leaves
    // locked in the child. `free` is called through the key instead.
    static STACK: Cell<*mut Stack> = const { Cell::new(ptr::null_mut()) };
}

static KEY: AtomicI64 = AtomicI64::new(-1);

/// Registers what frees the stacks of threads. Further calls do nothing.
pub fn boot() -> Result<(), String> {
    let mut key = 0;
    if KEY.load(Ordering::Relaxed) >= 0 {
        return Ok(());
    }
    // SAFETY: `key` is a local; `free` is what the stacks have to be freed with.
    match unsafe { libc::pthread_key_create(&raw mut key, Some(free)) } {
        0 => {
            KEY.store(i64::from(key), Ordering::Relaxed);
            Ok(())
        }
        error => Err(format!("no key for thread-specific data is left (error {error})")),
    }
}

unsafe extern "C" fn free(stack: *mut c_void) {
    STACK.set(ptr::null_mut());
    // SAFETY: the key's value is the box that `make` leaked; this thread's pointer to it was just cleared.
    drop(unsafe { Box::from_raw(stack.cast::<Stack>()) });
}

#[cold]
fn make() -> *mut Stack {
    let Ok(key) = libc::pthread_key_t::try_from(KEY.load(Ordering::Relaxed)) else { return ptr::null_mut() };
    let stack = Box::into_raw(Box::new(Stack { depth: 0, entries: [Entry::default(); MAX_DEPTH] }));
    // SAFETY: the key exists, and its destructor takes such a box.
    if unsafe { libc::pthread_setspecific(key, stack.cast()) } != 0 {
        // SAFETY: the box was just made and is known to nobody else.
        drop(unsafe { Box::from_raw(stack) });
        return ptr::null_mut();
    }
    STACK.set(stack);
    stack
}

#[inline]
fn with_stack<Result>(work: impl FnOnce(&mut Stack) -> Result) -> Option<Result> {
    let stack = STACK.get();
    let stack = if stack.is_null() { make() } else { stack };
    // SAFETY: null or the box of this thread, which lives as long as the thread; `work` is one of the few lines
    // below, which do not come back here.
    unsafe { stack.as_mut() }.map(work)
}

/// The innermost open op of this thread; 0 where there is none.
#[inline]
pub fn innermost() -> u64 {
    with_stack(|stack| {
        while let Some(entry) = stack.depth.checked_sub(1).and_then(|top| stack.entries.get(top)) {
            if !entry.shared || TABLE.holds(&entry.op) {
                return entry.op.call;
            }
            stack.depth -= 1;
        }
        0
    })
    .unwrap_or(0)
}

/// An op has begun in this thread. False: it is not kept, and its end will not be found.
#[inline]
pub fn enter(op: Op, ending: Ending) -> bool {
    let shared = ending != Ending::Here && TABLE.put(&op);
    if ending == Ending::Anywhere {
        return shared;
    }
    let kept = with_stack(|stack| match stack.entries.get_mut(stack.depth) {
        Some(entry) => {
            *entry = Entry { op, shared };
            stack.depth += 1;
            true
        }
        None => false,
    });
    kept == Some(true) || shared
}

/// The op with this `function` has ended, in this thread. `None` where its beginning was not kept.
#[inline]
pub fn leave(function: usize) -> Option<Op> {
    let here = with_stack(|stack| {
        for index in (0..stack.depth).rev() {
            let Entry { op, shared } = stack.entries[index];
            // One that is no more in the table ended elsewhere, and its address was given to another.
            if op.function == function && (!shared || TABLE.take(function, Some(op.call)).is_some()) {
                stack.depth = index;
                return Some(op);
            }
        }
        None
    });
    here.flatten().or_else(|| TABLE.take(function, None))
}

/// Slots of the table: a power of two, several times as many as scopes are open at a time.
const SLOTS: usize = 256;
/// How far from its own place an op is put.
const PROBES: usize = 16;
/// Instead of an address: the slot is being written.
const WRITING: usize = 1;

struct Slot {
    function: AtomicUsize,
    call: AtomicU64,
    parent: AtomicU64,
    name: AtomicU32,
}

/// Open ops by address, without a lock: no fork can leave it locked.
struct Table([Slot; SLOTS]);

static TABLE: Table = Table(
    [const {
        Slot {
            function: AtomicUsize::new(0),
            call: AtomicU64::new(0),
            parent: AtomicU64::new(0),
            name: AtomicU32::new(0),
        }
    }; SLOTS],
);

impl Table {
    fn places(&self, function: usize) -> impl Iterator<Item = &Slot> {
        // Addresses differ in their middle bits; the multiplication brings them to the top.
        let first = (function as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.ilog2());
        (0..PROBES).map(move |probe| &self.0[(first as usize + probe) % SLOTS])
    }

    /// False where there is no room.
    fn put(&self, op: &Op) -> bool {
        for slot in self.places(op.function) {
            let claimed = slot.function.compare_exchange(0, WRITING, Ordering::Acquire, Ordering::Relaxed);
            if claimed.is_ok() {
                slot.call.store(op.call, Ordering::Relaxed);
                slot.parent.store(op.parent, Ordering::Relaxed);
                slot.name.store(op.name, Ordering::Relaxed);
                slot.function.store(op.function, Ordering::Release);
                return true;
            }
        }
        false
    }

    fn holds(&self, op: &Op) -> bool {
        self.places(op.function).any(|slot| {
            slot.function.load(Ordering::Acquire) == op.function
                && slot.call.load(Ordering::Relaxed) == op.call
        })
    }

    /// Removes an op, the one with this call id if one is given.
    fn take(&self, function: usize, call: Option<u64>) -> Option<Op> {
        self.places(function).find_map(|slot| {
            if slot.function.load(Ordering::Acquire) != function {
                return None;
            }
            let op = Op {
                function,
                call: slot.call.load(Ordering::Relaxed),
                parent: slot.parent.load(Ordering::Relaxed),
                name: slot.name.load(Ordering::Relaxed),
            };
            let wanted = call.is_none_or(|call| call == op.call);
            let freed = || slot.function.compare_exchange(function, 0, Ordering::Release, Ordering::Relaxed);
            (wanted && freed().is_ok()).then_some(op)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Addresses that no other test uses: the table is one for the process.
    fn op(function: usize, call: u64) -> Op {
        Op { function, call, parent: 0, name: 7 }
    }

    fn on_a_fresh_thread(test: impl FnOnce() + Send) {
        boot().expect("a key");
        thread::scope(|scope| {
            scope.spawn(test).join().expect("the test");
        });
    }

    #[test]
    fn ops_nest() {
        on_a_fresh_thread(|| {
            assert_eq!(innermost(), 0);
            enter(op(0x1000, 1), Ending::Here);
            enter(op(0x1010, 2), Ending::HereOrElsewhere);
            enter(op(0x1020, 3), Ending::Here);
            assert_eq!(innermost(), 3);
            assert_eq!(leave(0x1020), Some(op(0x1020, 3)));
            assert_eq!(leave(0x1010), Some(op(0x1010, 2)));
            assert_eq!(leave(0x1010), None);
            assert_eq!(innermost(), 1);
            assert_eq!(leave(0x1000), Some(op(0x1000, 1)));
            assert_eq!(innermost(), 0);
        });
    }

    #[test]
    fn a_scope_that_ended_elsewhere_encloses_nothing() {
        on_a_fresh_thread(|| {
            enter(op(0x2000, 1), Ending::HereOrElsewhere);
            thread::scope(|scope| {
                let ended = scope.spawn(|| leave(0x2000)).join().expect("the other thread");
                assert_eq!(ended, Some(op(0x2000, 1)));
            });
            assert_eq!(innermost(), 0);
            // Its address is used again.
            enter(op(0x2000, 2), Ending::HereOrElsewhere);
            assert_eq!(innermost(), 2);
            assert_eq!(leave(0x2000), Some(op(0x2000, 2)));
        });
    }

    #[test]
    fn a_stale_scope_is_not_taken_for_an_op_at_its_address() {
        on_a_fresh_thread(|| {
            enter(op(0x2800, 1), Ending::HereOrElsewhere);
            thread::scope(|scope| {
                scope.spawn(|| leave(0x2800)).join().expect("the other thread");
            });
            assert_eq!(leave(0x2800), None);
        });
    }

    #[test]
    fn what_ends_anywhere_encloses_nothing() {
        on_a_fresh_thread(|| {
            enter(op(0x3000, 1), Ending::Anywhere);
            assert_eq!(innermost(), 0);
            enter(op(0x3010, 2), Ending::Here);
            assert_eq!(leave(0x3000), Some(op(0x3000, 1)));
            assert_eq!(leave(0x3010), Some(op(0x3010, 2)));
        });
    }

    #[test]
    fn too_deep_is_not_kept_and_harms_nothing() {
        on_a_fresh_thread(|| {
            for number in 0..MAX_DEPTH {
                assert!(enter(op(0x4000 + 16 * number, 1 + number as u64), Ending::Here));
            }
            assert!(!enter(op(0x8000_0000, 1000), Ending::Here));
            assert_eq!(leave(0x8000_0000), None);
            assert_eq!(leave(0x4000), Some(op(0x4000, 1)));
            assert_eq!(innermost(), 0);
        });
    }
}
