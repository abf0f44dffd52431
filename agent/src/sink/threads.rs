//! The threads of the process and their rings.
//!
//! A thread gets its number at its first record and its ring at its first record after the start. When it ends, a
//! later one goes on under its number and in its ring: a program that starts a thread for every batch has two. There
//! are [`MOST_THREADS`] numbers, and later rings are smaller, for where there are many threads each records little;
//! together the rings are bounded ([`ring_size`]). What threads beyond that record is lost, and counted.
//!
//! On the way of every record but the first there is one thread-local word, the pointer to the producer; it has no
//! destructor, for registering one takes a lock that is not reset in a forked child. That a thread ended is learned
//! from a pthread key, which is made in the constructor.

use super::names::content_hash;
use super::own_ring::OwnRing;
use super::{folder, place, writer};
use crate::base::fork;
use std::cell::{Cell, UnsafeCell};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use traincheck_schema::ring::{Ring, RingInfo};

/// The number of no thread: of losses that belong to none, and of the ring of the dictionary.
pub const NO_THREAD: u16 = u16::MAX;

thread_local! {
    static PRODUCER: Cell<*const Producer> = const { Cell::new(ptr::null()) };
}

/// In the place of a pointer to a producer: this thread has none and will have none.
const NO_PRODUCER: *const Producer = ptr::without_provenance(1);

/// The pthread key whose value is the [`Thread`] of the thread; [`NO_KEY`] before [`boot`].
static KEY: AtomicU32 = AtomicU32::new(NO_KEY);
const NO_KEY: u32 = u32::MAX;

/// How many threads can record at a time.
pub const MOST_THREADS: u16 = 128;

/// The length of the ring with this number, in bytes: 4 MiB, room for 65,000 events, for the first four; those of
/// all [`MOST_THREADS`] are 56 MiB.
pub const fn ring_size(index: u16) -> usize {
    match index {
        0..4 => 4 << 20,
        4..16 => 1 << 20,
        _ => 256 << 10,
    }
}

/// The numbers that were given.
struct Numbers {
    /// All, by number. The writer looks after them.
    all: Vec<&'static Thread>,
    /// Those whose thread has ended.
    free: Vec<&'static Thread>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { all: Vec::new(), free: Vec::new() });

/// Stands for all threads that found no number free.
static WITHOUT_NUMBER: Thread = Thread::new(NO_THREAD);

/// A number, and the thread of the process that has it now. Never freed.
pub struct Thread {
    /// By order of first records.
    pub index: u16,
    producer: OnceLock<Producer>,
    /// Records that were given while the thread could have no ring.
    lost: AtomicU64,
    /// Used by the thread itself only.
    ops: UnsafeCell<Option<Box<OpCache>>>,
}

// SAFETY: everything but `ops` is shareable; `ops` is touched by the thread that has the number only, and not at all
// of `WITHOUT_NUMBER`.
unsafe impl Sync for Thread {}

/// The ring of a thread and when to wake the writer for it.
pub struct Producer {
    own: OwnRing,
    /// Position of the ring from which on it is worth looking whether it is half full.
    wake_at: AtomicU64,
}

impl Thread {
    const fn new(index: u16) -> Thread {
        Thread { index, producer: OnceLock::new(), lost: AtomicU64::new(0), ops: UnsafeCell::new(None) }
    }

    /// Its ring, if it has one.
    pub fn ring(&self) -> Option<&OwnRing> {
        self.producer.get().map(|producer| &producer.own)
    }

    /// How many of its records were lost because it has no ring.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Makes the pthread key. Called once, before any other thread can exist.
pub fn boot() {
    let mut key = 0;
    // SAFETY: `key` is a local; `thread_ended` is a function of this library, which is never unloaded.
    if unsafe { libc::pthread_key_create(&mut key, Some(thread_ended)) } == 0 {
        KEY.store(key, Ordering::Release);
    }
}

/// The destructor of the key.
unsafe extern "C" fn thread_ended(thread: *mut libc::c_void) {
    if fork::is_forked() {
        return;
    }
    PRODUCER.set(NO_PRODUCER);
    // SAFETY: the values of the key are pointers to `Thread`s that live for ever, set by `introduce`.
    let thread: &'static Thread = unsafe { &*thread.cast::<Thread>() };
    if thread.index != NO_THREAD {
        // SAFETY: this runs on the thread itself, which is in no other function of this module.
        unsafe { *thread.ops.get() = None };
        // Whoever takes it from the list sees all that this thread did to the ring: both hold the lock.
        lock().free.push(thread);
    }
}

/// The calling thread; none where it cannot be had (too early, or the thread is about to end).
fn current() -> Option<&'static Thread> {
    let key = KEY.load(Ordering::Relaxed);
    if key == NO_KEY {
        return None;
    }
    // SAFETY: `key` is a key; its values are null or pointers to `Thread`s that live for ever.
    let known = unsafe { libc::pthread_getspecific(key).cast::<Thread>().as_ref() };
    known.or_else(|| introduce(key))
}

#[cold]
fn introduce(key: u32) -> Option<&'static Thread> {
    if PRODUCER.get() == NO_PRODUCER {
        return None;
    }
    let thread = lock().take().unwrap_or(&WITHOUT_NUMBER);
    // SAFETY: `key` is a key.
    let set = unsafe { libc::pthread_setspecific(key, ptr::from_ref(thread).cast()) };
    // Where the end of the thread will not be learned the number stays with it.
    (set == 0).then_some(thread)
}

impl Numbers {
    /// A number for the calling thread, if one is left. The lowest first: its ring is the largest.
    fn take(&mut self) -> Option<&'static Thread> {
        let lowest = self.free.iter().enumerate().min_by_key(|(_, thread)| thread.index).map(|(at, _)| at);
        if let Some(at) = lowest {
            return Some(self.free.swap_remove(at));
        }
        let index = u16::try_from(self.all.len()).ok().filter(|index| *index < MOST_THREADS)?;
        let thread: &'static Thread = Box::leak(Box::new(Thread::new(index)));
        self.all.push(thread);
        Some(thread)
    }
}

/// The number of the calling thread.
pub fn current_index() -> u16 {
    current().map_or(NO_THREAD, |thread| thread.index)
}

/// Gives the ring of the calling thread to `push`. The thread gets a ring if it has none yet.
#[inline]
pub fn push(push: impl FnOnce(&Ring) -> bool) {
    let producer = PRODUCER.get();
    if producer > NO_PRODUCER {
        // SAFETY: any other value was set by this thread from a `Thread`, which lives for ever, as does its memory.
        let producer = unsafe { &*producer };
        push(&producer.own.ring);
        let head = producer.own.ring.head();
        if head >= producer.wake_at.load(Ordering::Relaxed) {
            producer.wake_writer(head);
        }
    } else {
        first_push(push);
    }
}

impl Producer {
    /// The ring has been filled up to `head`; wakes the writer if that makes it more than half full.
    #[cold]
    fn wake_writer(&self, head: u64) {
        let half = self.own.ring.capacity() as u64 / 2;
        let tail = self.own.ring.tail();
        if head.saturating_sub(tail) >= half {
            writer::wake();
            // Again a quarter later, should the writer not have come round by then.
            self.wake_at.store(head + half / 2, Ordering::Relaxed);
        } else {
            self.wake_at.store(tail + half, Ordering::Relaxed);
        }
    }
}

#[cold]
fn first_push(push: impl FnOnce(&Ring) -> bool) {
    let Some(thread) = current() else { return };
    if PRODUCER.get() == NO_PRODUCER {
        thread.lost.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Some(producer) = thread.producer.get().or_else(|| thread.make_producer()) else {
        PRODUCER.set(NO_PRODUCER);
        thread.lost.fetch_add(1, Ordering::Relaxed);
        return;
    };
    PRODUCER.set(producer);
    push(&producer.own.ring);
}

impl Thread {
    /// A ring for this number, which has none; none where it cannot be made.
    fn make_producer(&'static self) -> Option<&'static Producer> {
        if self.index == NO_THREAD {
            return None;
        }
        let path = place::ring_path(&format!("r{}", self.index))?;
        // SAFETY: no arguments, cannot fail.
        let id = unsafe { libc::gettid() };
        let info = RingInfo {
            pid: std::process::id(),
            index: self.index,
            thread: u64::from(id.cast_unsigned()),
            dictionary: false,
            made_wall_ns: folder::wall_ns(),
        };
        let own = OwnRing::create(path, ring_size(self.index), &info).ok()?;
        let half = own.ring.capacity() as u64 / 2;
        Some(self.producer.get_or_init(|| Producer { own, wake_at: AtomicU64::new(half) }))
    }
}

fn lock() -> MutexGuard<'static, Numbers> {
    NUMBERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the threads to look after that are new since `known` of them were, to the writer.
pub fn since(known: usize, mut each: impl FnMut(&'static Thread)) {
    lock().all.iter().skip(known).for_each(|thread| each(thread));
}

/// How many records were lost of threads that found no number free.
pub fn lost_without_number() -> u64 {
    WITHOUT_NUMBER.lost()
}

const CACHED_OPS: usize = 256;

/// The ops that a thread used last, by content. An entry is found by its hash and compared as a whole.
struct OpCache([CachedOp; CACHED_OPS]);

#[derive(Clone, Copy)]
struct CachedOp {
    name: &'static [u8],
    scope: u8,
    id: u32,
}

/// The id of an op from the cache of the thread, else from `define`, which also gives a lasting copy of the name.
pub fn cached_op(name: &[u8], scope: u8, define: impl FnOnce() -> (u32, &'static [u8])) -> u32 {
    let Some(thread) = current().filter(|thread| thread.index != NO_THREAD) else { return define().0 };
    // SAFETY: `thread` is the calling thread's, and no reference to its cache outlives this function, which does
    // not call itself (`define` only takes the lock of the names).
    let cache = unsafe { &mut *thread.ops.get() };
    let cache =
        cache.get_or_insert_with(|| Box::new(OpCache([CachedOp { name: &[], scope: 0, id: 0 }; CACHED_OPS])));
    let place = content_hash(u64::from(scope), name) as usize % CACHED_OPS;
    let Some(entry) = cache.0.get_mut(place) else { return define().0 };
    if entry.id != 0 && entry.scope == scope && entry.name == name {
        return entry.id;
    }
    let (id, kept) = define();
    if kept == name {
        *entry = CachedOp { name: kept, scope, id };
    }
    id
}
