//! The writer: one thread that carries records from the rings into the segment.
//!
//! It looks at the rings ten times a second, or when one is half full, and closes a block at 4,096 events or
//! after a second. What it takes from a ring stays there until the frame has been written, so that nothing is
//! only in the memory of this process when it is killed.
//!
//! The thread is made with the C library, has all signals blocked and ends in a `catch_unwind`. It uses nothing
//! that registers a thread-local destructor: see [`super::threads`]. The writer can leave it for a while: see
//! [`super::absence`].

use super::early::Early;
use super::hand_over::{HandOver, Order};
use super::merge::{Merge, Records};
use super::own_ring::OwnRing;
use super::phase::stop;
use super::threads::{self, NO_THREAD, Thread};
use super::{absence, account, folder, names, place, reserve};
use crate::base::clock::{self, now};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use traincheck_schema::record::{DictEntry, EVENT_SIZE};
use traincheck_schema::ring::{self, RingError};
use traincheck_schema::segment::{
    DropReason, Dropped, Ending, Records as Rows, RingPosition, SegmentWriter, WriteError,
};

/// How many events make a block.
const BLOCK_EVENTS: usize = 4096;
/// The bytes that they have in a ring.
const BLOCK_BYTES: u64 = (BLOCK_EVENTS * EVENT_SIZE) as u64;
/// How long a record waits for its block at most, in nanoseconds.
const BLOCK_TIME: u64 = 1_000_000_000;
/// How often the rings are looked at, if nothing else happens.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an exit waits for the writer. What is not in the segment by then is in the rings.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a ring of a process that was killed waits for somebody to read it, before another run frees its memory.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Of the thread, in bytes.
const STACK: usize = 4 << 20;

/// Somebody has something for the writer; it sleeps on this.
static CALL: AtomicU32 = AtomicU32::new(0);
/// Who has the writer.
pub static HANDS: HandOver<Writer> = HandOver::new();
static REASON: OnceLock<String> = OnceLock::new();
/// When the run began to be closed; 0 before.
static CLOSING_SINCE: AtomicU64 = AtomicU64::new(0);
static SPAWNED: AtomicBool = AtomicBool::new(false);
/// The clock of the CPU time of the writer.
static CPU_CLOCK: AtomicI32 = AtomicI32::new(NO_CLOCK);
const NO_CLOCK: libc::clockid_t = libc::CLOCK_REALTIME;
/// CPU time of the threads that it has left, nanoseconds.
static CPU_BEFORE: AtomicU64 = AtomicU64::new(0);
/// The rings that killed processes left have been looked through.
static FREED: AtomicBool = AtomicBool::new(false);

/// Why the writer has nothing more to do on its thread.
enum Work {
    /// The run is to be closed.
    Finished,
    /// The thread is to end, and the work to go on later on another.
    Interrupted,
}

/// Why writing stopped before the end.
enum Stop {
    /// The segment could not be written.
    Write(String),
    /// The folder is not there any more.
    FolderGone,
    /// The process has none left.
    NoMemory,
    /// A ring held what nobody can have pushed.
    Damaged(String),
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Stop {
        Stop::Write(error.to_string())
    }
}

impl From<RingError> for Stop {
    fn from(error: RingError) -> Stop {
        Stop::Damaged(error.to_string())
    }
}

impl Stop {
    fn text(self) -> String {
        match self {
            Stop::Write(error) => error,
            Stop::FolderGone => "the run folder was removed".into(),
            Stop::NoMemory => "the process had no memory left".into(),
            Stop::Damaged(error) => format!("a ring is damaged: {error}"),
        }
    }
}

/// What the writer knows about one thread.
struct Source {
    thread: &'static Thread,
    /// Everything before it is in the segment.
    position: u64,
    /// Losses that are in the segment: for want of room, for want of a ring.
    dropped: u64,
    lost: u64,
}

/// The state of the writer.
pub struct Writer {
    segment: SegmentWriter,
    path: PathBuf,
    names_ring: &'static OwnRing,
    names_lost: u64,
    /// Losses that are in the segment of threads without a number.
    others_lost: u64,
    sources: Vec<Source>,
    last_block: u64,
}

impl Writer {
    /// A writer to `segment`, which is the file `path`.
    pub fn new(segment: SegmentWriter, path: &Path, names_ring: &'static OwnRing) -> Writer {
        let path = path.into();
        Writer {
            segment,
            path,
            names_ring,
            names_lost: 0,
            others_lost: 0,
            sources: Vec::new(),
            last_block: now(),
        }
    }

    /// Writes `names`, which were defined before the ring of the dictionary was in use.
    pub fn write_early_names(&mut self, names: &[DictEntry]) -> Result<(), WriteError> {
        self.segment.write_dictionary(names)
    }

    /// Writes what happened before the start.
    pub fn write_early(&mut self, early: &Early) -> Result<(), WriteError> {
        let names_position = self.write_names()?;
        let mut dropped = Vec::new();
        note(&mut dropped, NO_THREAD, early.lost, &mut 0, DropReason::BeforeStart);
        let Early { events, states, arguments, collectives, .. } = early;
        if events.is_empty()
            && states.is_empty()
            && arguments.is_empty()
            && collectives.is_empty()
            && dropped.is_empty()
        {
            return Ok(());
        }
        let rows = Rows { events, states, arguments, collectives };
        self.segment.write_records(rows, &dropped, &[names_position])
    }

    /// Starts the thread. If there can be none, the writer comes back with the reason.
    pub fn spawn(self: Box<Self>) -> Result<(), (Box<Writer>, io::Error)> {
        let argument = Box::into_raw(self);
        // SAFETY: the sets and the attributes are initialised before they are used; the pointers are to locals.
        let error = unsafe {
            let mut attributes = MaybeUninit::uninit();
            let mut all = MaybeUninit::uninit();
            let mut before = MaybeUninit::uninit();
            let mut thread = MaybeUninit::uninit();
            libc::pthread_attr_init(attributes.as_mut_ptr());
            libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
            // The thread-local storage of all libraries comes out of it, and PyTorch has much of it.
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
            libc::sigfillset(all.as_mut_ptr());
            libc::sigemptyset(before.as_mut_ptr());
            // The thread inherits the mask: no signal of the job is ever handled on it.
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, argument.cast());
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            error
        };
        if error != 0 {
            // SAFETY: it came from a box above, and there is no thread that took it.
            let writer = unsafe { Box::from_raw(argument) };
            return Err((writer, io::Error::from_raw_os_error(error)));
        }
        SPAWNED.store(true, Ordering::Release);
        Ok(())
    }

    /// Until the run is closed or the thread is to end.
    fn work(&mut self) -> Result<Work, Stop> {
        loop {
            // First: what was pushed before the run was closed is found below.
            let order = HANDS.order();
            let closing = order == Order::Close;
            if order == Order::Leave && (absence::is_urgent() || self.pending() < BLOCK_BYTES) {
                return Ok(Work::Interrupted);
            }
            let is_old = now().saturating_sub(self.last_block) >= BLOCK_TIME;
            if closing || is_old || self.pending() >= BLOCK_BYTES {
                self.write()?;
                self.last_block = now();
            }
            if reserve::is_touched() {
                return Err(Stop::NoMemory);
            }
            if closing {
                return Ok(Work::Finished);
            }
            if self.pending() < BLOCK_BYTES {
                sleep_on(&CALL, 0, PAUSE);
                // Sees why it was called.
                CALL.swap(0, Ordering::AcqRel);
            }
        }
    }

    /// How many bytes are in the rings.
    fn pending(&mut self) -> u64 {
        let sources = &mut self.sources;
        threads::since(sources.len(), |thread| {
            sources.push(Source { thread, position: 0, dropped: 0, lost: 0 });
        });
        let pending =
            |source: &Source| source.thread.ring().map_or(0, |own| own.ring.head() - source.position);
        sources.iter().map(pending).sum()
    }

    /// Writes what is there, as far as there is time: no more blocks once the thread has to end, or nobody waits for the
    /// end of the run any more.
    fn write(&mut self) -> Result<(), Stop> {
        self.pending();
        let mut dropped = Vec::new();
        let mut rings = Vec::new();
        for source in &mut self.sources {
            // In this order: what is seen of losses came before the last record that is seen.
            let index = source.thread.index;
            note(&mut dropped, index, source.thread.lost(), &mut source.lost, DropReason::DiskFull);
            let Some(own) = source.thread.ring() else { continue };
            note(&mut dropped, index, own.ring.dropped(), &mut source.dropped, DropReason::RingFull);
            let head = own.ring.head();
            if head > source.position {
                rings.push(Records::read(&own.ring, source.position, head)?);
            }
        }
        // After the records, for whatever they name was defined before they were pushed.
        let names_position = self.write_names()?;
        note(&mut dropped, NO_THREAD, names::lost(), &mut self.names_lost, DropReason::DictionaryFull);

        let others = threads::lost_without_number();
        note(&mut dropped, NO_THREAD, others, &mut self.others_lost, DropReason::RingFull);

        // Records are missing somewhere between these, so these are one block.
        let limit = if dropped.is_empty() { BLOCK_EVENTS } else { usize::MAX };
        let mut merge = Merge::new(rings);
        loop {
            let mut block = merge.next_block(limit);
            if block.is_empty() && dropped.is_empty() {
                break;
            }
            block.positions.push(names_position);
            let rows = Rows {
                events: &block.events,
                states: &block.states,
                arguments: &block.arguments,
                collectives: &block.collectives,
            };
            self.segment.write_records(rows, &dropped, &block.positions)?;
            dropped.clear();
            self.release(&block.positions);
            // The rest is read again.
            if if HANDS.is_closing() { is_too_late() } else { absence::is_urgent() } {
                break;
            }
        }
        // A removed file can still be written to, on a disk that fills up for nobody.
        if self.path.exists() { Ok(()) } else { Err(Stop::FolderGone) }
    }

    /// Writes the names that are new. Gives back up to where the ring of the dictionary has been written.
    fn write_names(&mut self) -> Result<RingPosition, WriteError> {
        let (entries, position) = names::take();
        if !entries.is_empty() {
            self.segment.write_dictionary(&entries)?;
        }
        self.names_ring.ring.release(position);
        Ok(RingPosition { ring: NO_THREAD, position })
    }

    /// Gives the space before `positions` back to the rings.
    fn release(&mut self, positions: &[RingPosition]) {
        for written in positions {
            let of_ring = |source: &&mut Source| source.thread.index == written.ring;
            let Some(source) = self.sources.iter_mut().find(of_ring) else { continue };
            source.position = written.position;
            if let Some(own) = source.thread.ring() {
                own.ring.release(written.position);
            }
        }
    }

    /// Ends a run whose writer has no thread, with what there is. Nothing is pushed any more.
    pub fn give_up(mut self, reason: &str) -> Result<(), WriteError> {
        // A ring that is damaged leaves less to write.
        let _ = self.write();
        self.close(reason)
    }

    /// Writes the footer and removes the rings, but for those with records that could not be written: a reader finds
    /// them there.
    fn close(self, reason: &str) -> Result<(), WriteError> {
        let mut figures = account::figures();
        figures.push(("writer_cpu_ns".into(), cpu_ns()));
        figures.push(("written_bytes".into(), self.segment.bytes_written()));
        if place::FIRST.load(Ordering::Relaxed)
            && let Some(folder) = self.path.parent()
        {
            // The footer has it, too: this is for those who read no traces.
            let _ = folder::complete_info(folder, &figures, account::hooks());
        }
        let ending = Ending { reason: reason.into(), monotonic_ns: now(), account: figures };
        self.segment.seal(&ending)?;
        // Only now: without a footer they are what is left to read.
        let of_threads = self.sources.iter().filter_map(|source| source.thread.ring());
        for own in of_threads.chain([self.names_ring]) {
            if own.ring.tail() == own.ring.head() {
                own.remove();
            }
        }
        Ok(())
    }
}

/// The thread.
extern "C" fn run(argument: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: `spawn` made it from a box and gave it to this thread only.
    let mut writer = unsafe { Box::from_raw(argument.cast::<Writer>()) };
    absence::thread_begins();
    // SAFETY: the name is short enough; a failure changes nothing.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), c"traincheck".as_ptr()) };
    let mut clock = NO_CLOCK;
    // SAFETY: `clock` is a local; a thread may ask for its own clock.
    if unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) } == 0 {
        CPU_CLOCK.store(clock, Ordering::Relaxed);
    }
    let worked = catch_unwind(AssertUnwindSafe(move || {
        if !FREED.swap(true, Ordering::Relaxed) {
            ring::free_strays(KEPT);
        }
        let stopped = match writer.work() {
            Ok(Work::Interrupted) => return Some(writer),
            Ok(Work::Finished) => None,
            Err(stop) => Some(stop.text()),
        };
        if let Some(what) = &stopped {
            stop(what.clone());
        }
        let reason = match stopped {
            Some(what) => Ending::STOPPED.to_owned() + &what,
            None => REASON.get().cloned().unwrap_or_default(),
        };
        if let Err(error) = writer.close(&reason) {
            stop(error.to_string());
        }
        None
    }));
    match worked {
        Ok(Some(writer)) => {
            // The clock goes with the thread.
            CPU_CLOCK.store(NO_CLOCK, Ordering::Relaxed);
            CPU_BEFORE.fetch_add(clock::read(libc::CLOCK_THREAD_CPUTIME_ID), Ordering::Relaxed);
            absence::begin(writer);
        }
        Ok(None) => ended(),
        Err(_) => {
            stop("the writer has failed".into());
            ended();
        }
    }
    std::ptr::null_mut()
}

fn ended() {
    HANDS.end();
    rouse(HANDS.ended());
    rouse(HANDS.news());
}

/// Adds what was lost beyond `known` to the losses of a block.
fn note(dropped: &mut Vec<Dropped>, ring: u16, lost: u64, known: &mut u64, reason: DropReason) {
    if lost > *known {
        dropped.push(Dropped { ring, count: lost - *known, reason });
        *known = lost;
    }
}

/// Wakes the writer before its time.
pub fn wake() {
    absence::end();
    call();
}

/// Has the writer look round, if it has a thread.
pub fn call() {
    if CALL.swap(1, Ordering::AcqRel) == 0 {
        rouse(&CALL);
    }
}

/// There is a writer that has not ended.
pub fn is_running() -> bool {
    SPAWNED.load(Ordering::Acquire) && !HANDS.has_ended()
}

/// There is a writer, and it is not about to close the run.
pub fn may_leave() -> bool {
    SPAWNED.load(Ordering::Acquire) && (HANDS.has_ended() || !HANDS.is_closing())
}

/// Has the writer write everything and end, and waits for it, but not forever: the end of the interpreter and that of the
/// process, which both come here, together no longer than [`PATIENCE`].
pub fn close(reason: &str) {
    let _ = REASON.set(reason.into());
    let _ = CLOSING_SINCE.compare_exchange(0, now(), Ordering::AcqRel, Ordering::Relaxed);
    HANDS.close();
    call();
    while !HANDS.has_ended() {
        // Here, too: it may have left its thread just before it could see that the run is being closed.
        if let Some(writer) = HANDS.take()
            && let Err((writer, _)) = writer.spawn()
        {
            if let Err(error) = writer.give_up(reason) {
                stop(error.to_string());
            }
            return ended();
        }
        if is_too_late() {
            return;
        }
        sleep_on(HANDS.ended(), 0, PAUSE);
    }
}

/// Nobody waits any more for the run to be closed.
fn is_too_late() -> bool {
    let since = CLOSING_SINCE.load(Ordering::Acquire);
    since != 0 && now().saturating_sub(since) >= PATIENCE.as_nanos() as u64
}

/// Sleeps until `word` is not `value` any more and somebody says so, for `time` at most.
pub fn sleep_on(word: &AtomicU32, value: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    };
    // SAFETY: the word outlives the call, the time is a local; it returns early on any error, which is harmless.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            &time,
        )
    };
}

/// Wakes who sleeps on `word`.
pub fn rouse(word: &AtomicU32) {
    // SAFETY: the word outlives the call.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, i32::MAX)
    };
}

/// CPU time of the writer, nanoseconds; 0 where there is none.
pub fn cpu_ns() -> u64 {
    let now = match CPU_CLOCK.load(Ordering::Relaxed) {
        NO_CLOCK => 0,
        clock => clock::read(clock),
    };
    CPU_BEFORE.load(Ordering::Relaxed) + now
}
