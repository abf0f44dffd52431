//! A ring of records in shared memory, from one producer to one consumer.
//!
//! Every traced thread owns one: it pushes records in a few nanoseconds and never waits. The writer reads
//! them, puts them into a segment and only then releases their space. The memory is [`SharedMemory`], which outlives
//! the process and which nobody can cut; a small file in the run folder says where it is. So what had not reached a
//! segment of the trace when the process was killed can still be read ([`read_ring_file`]).
//!
//! The memory is a header page and a data area. Positions (`head`, `tail`) count bytes since the ring was
//! made and never go back; a position modulo the capacity is the offset in the data area. Records are
//! multiples of [`GRAIN`] bytes and contiguous; where one does not fit before the end, a pad record fills the
//! rest.
//!
//! The two sides trust the memory differently. The producer keeps its own place in memory of its own, so that
//! somebody who scribbles over the ring cannot make it write elsewhere. The reading side takes nothing for
//! granted: sizes, kinds and positions are checked before they are used.

use std::sync::atomic::{self, Ordering};

use thiserror::Error;

use crate::record::{
    ARGUMENT_KIND, ARGUMENT_SIZE, Argument, COLLECTIVE_KIND, COLLECTIVE_SIZE, Collective, DICT_KIND,
    DictEntry, EVENT_SIZE, Event, PAD_KIND, STATE_KIND, STATE_SIZE, State,
};

#[cfg_attr(loom, path = "ring/area_model.rs")]
mod area;
mod dict;
mod file;
mod header;
mod pointer;
mod shared_memory;

use area::Area;
pub use dict::MAX_TEXT;
pub(crate) use dict::cut;
pub(crate) use file::recover;
pub use file::{MAX_RING_FILE, RecoveredRing, read_ring_file};
pub use pointer::{rescue, write_pointer};
pub use shared_memory::{SharedMemory, free_strays};

/// Bytes before the data area.
pub const HEADER_SIZE: usize = 4096;
/// Every record is a multiple of this many bytes, and every position too.
pub const GRAIN: usize = 64;
/// The first bytes of a ring.
pub const MAGIC: [u8; 8] = *b"TCRING\r\n";
/// Version of the layout that this crate writes; the major one must be the reader's, the minor one may be newer.
pub const VERSION: (u16, u16) = (1, 6);

// Offsets in the header page, behind what `header` has. `head` and `tail` have a cache line (and its prefetched
// neighbour) each.
const AT_HEAD: usize = 128;
const AT_DROPPED: usize = 136;
const AT_TAIL: usize = 256;

/// Whose ring it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingInfo {
    /// Process that writes it.
    pub pid: u32,
    /// Number of the ring in the process; becomes the `thread` of its records.
    pub index: u16,
    /// Kernel thread id of the producer.
    pub thread: u64,
    /// It carries dictionary entries, not events.
    pub dictionary: bool,
    /// When it was made: nanoseconds since 1970. 0 in rings of versions before 1.2.
    pub made_wall_ns: u64,
}

/// One record read from a ring.
#[derive(Clone, Debug, PartialEq)]
pub enum RingRecord {
    /// An event; `thread` is the index of the ring.
    Event(Event),
    /// A state; `thread` is the index of the ring.
    State(State),
    /// An argument or result; `thread` is the index of the ring.
    Argument(Argument),
    /// What became of a collective; `thread` is the index of the ring.
    Collective(Collective),
    /// A dictionary entry.
    Dict(DictEntry),
}

/// Why a ring could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RingError {
    /// The file could not be opened or read.
    #[error("cannot read ring {path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says where the ring is in memory, and it is not there.
    #[error(
        "the ring is in the memory of the machine that it was recorded on, or was until that was restarted"
    )]
    Elsewhere,
    /// It has another beginning, or is too short to have one.
    #[error("no ring: {0}")]
    NotARing(&'static str),
    /// Written by a newer traincheck.
    #[error(
        "ring has format {major}.{minor}, this traincheck reads up to {}.x: install a newer traincheck",
        VERSION.0
    )]
    Newer {
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// Positions that cannot be: not in order, not aligned, or further apart than the ring is long.
    #[error("ring positions {from}..{to} are impossible in a ring of {capacity} bytes")]
    Positions {
        /// Where reading was to begin.
        from: u64,
        /// Where it was to end.
        to: u64,
        /// Length of the data area.
        capacity: u64,
    },
    /// A record that cannot be.
    #[error("damaged record at ring position {position}: {what}")]
    Record {
        /// Where it begins.
        position: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A ring in a shared mapping, seen from the producer, from the consumer, or from outside.
///
/// The handle does not own the mapping. At most one thread pushes and at most one reads and releases; they
/// may share the handle. Pushing is not reentrant: a signal handler must not push into the ring of the thread
/// that it interrupts.
#[repr(C)]
pub struct Ring {
    area: Area,
    /// Length of the data area in bytes, a multiple of [`GRAIN`].
    capacity: u64,
    info: RingInfo,
    /// Whether this handle may write to the mapping.
    writable: bool,
    producer: Producer,
}

/// What only the producer uses, on a cache line of its own. Atomic merely to let the handle be shared.
#[repr(C, align(64))]
struct Producer {
    head: atomic::AtomicU64,
    /// `head` modulo the capacity.
    offset: atomic::AtomicU64,
    /// Pushing up to here is known to be allowed: the last tail seen, plus the capacity.
    limit: atomic::AtomicU64,
}

impl Producer {
    fn new(limit: u64) -> Producer {
        Producer {
            head: atomic::AtomicU64::new(0),
            offset: atomic::AtomicU64::new(0),
            limit: atomic::AtomicU64::new(limit),
        }
    }
}

// SAFETY: the fields other than the mapping are plain or atomic. The mapping's positions are only accessed as
// atomics, and its data area is written by the producer before, and read by the consumer after, the release
// store and acquire load of `head` (and the other way round with `tail`).
unsafe impl Send for Ring {}
// SAFETY: as above; that only one thread pushes and only one consumes is required of the caller.
unsafe impl Sync for Ring {}

impl Ring {
    /// Makes a ring of `mapping`, which is `len` bytes. Less than a page and a record makes a ring that drops
    /// everything; it should hold at least two of the largest records ([`MAX_TEXT`]).
    ///
    /// # Safety
    /// `mapping` is page-aligned, zeroed, valid for reads and writes of `len` bytes as long as the handle is
    /// used, and nothing else in this process writes to it.
    pub unsafe fn format(mapping: *mut u8, len: usize, info: &RingInfo) -> Ring {
        let capacity = (len.saturating_sub(HEADER_SIZE) / GRAIN * GRAIN) as u64;
        // SAFETY: the caller guarantees `len` bytes, and all accesses stay within the header page and `capacity`
        // bytes behind it; nothing is accessed if that is 0.
        let area = unsafe { Area::new(mapping, len) };
        if capacity > 0 {
            area.write_header(info, capacity);
        }
        Ring { area, capacity, info: *info, writable: true, producer: Producer::new(capacity) }
    }

    /// A handle for reading a ring that somebody else writes. Pushing to it or releasing does nothing.
    ///
    /// # Errors
    /// If the mapping does not begin with the header of a ring, or of a newer version, or if the header does
    /// not fit `len`.
    ///
    /// # Safety
    /// `mapping` is aligned to 8 bytes and valid for reads of `len` bytes as long as the handle is used. What it
    /// contains may be anything, and may change.
    pub unsafe fn attach(mapping: *const u8, len: usize) -> Result<Ring, RingError> {
        if len < HEADER_SIZE + GRAIN {
            return Err(RingError::NotARing("too short for a header and a record"));
        }
        // SAFETY: the caller guarantees `len` readable bytes, and all accesses stay within the header page and the
        // capacity behind it, which is compared with `len` below. The handle writes nothing.
        let area = unsafe { Area::new(mapping.cast_mut(), len) };
        let header = area.read_header();
        if header.magic != MAGIC {
            return Err(RingError::NotARing("it begins with other bytes"));
        }
        let (major, minor) = header.version;
        if major > VERSION.0 {
            return Err(RingError::Newer { major, minor });
        }
        if major != VERSION.0 {
            return Err(RingError::NotARing("its format version is 0"));
        }
        let capacity = header.capacity;
        if capacity == 0 || !capacity.is_multiple_of(GRAIN as u64) || capacity > (len - HEADER_SIZE) as u64 {
            return Err(RingError::NotARing("its length does not fit its header"));
        }
        // No push ever fits.
        let producer = Producer::new(0);
        Ok(Ring { area, capacity, info: header.info, writable: false, producer })
    }

    /// Appends an event. False: there was no room, and the loss was counted. `size` is set here.
    #[inline]
    pub fn push_event(&self, event: &Event) -> bool {
        // SAFETY: an `Event` is a grain of numbers.
        unsafe { self.push_grain(Event { size: EVENT_SIZE as u16, ..*event }) }
    }

    /// Appends an argument. False: there was no room, and the loss was counted. `size` and `kind` are set here.
    #[inline]
    pub fn push_argument(&self, argument: &Argument) -> bool {
        let argument = Argument { size: ARGUMENT_SIZE as u16, kind: ARGUMENT_KIND, ..*argument };
        // SAFETY: an `Argument` is a grain of numbers.
        unsafe { self.push_grain(argument) }
    }

    /// Appends a record of one grain.
    ///
    /// # Safety
    /// A `Record` is [`GRAIN`] bytes of numbers that begin with size and kind.
    #[inline]
    unsafe fn push_grain<Record>(&self, record: Record) -> bool {
        const { assert!(size_of::<Record>() == GRAIN && align_of::<Record>() <= 8) };
        let head = self.producer.head.load(Ordering::Relaxed);
        if head + GRAIN as u64 > self.producer.limit.load(Ordering::Relaxed)
            && !self.has_room(head, GRAIN as u64)
        {
            return self.drop_one();
        }
        // One grain always fits before the end of the data area.
        let offset = self.producer.offset.load(Ordering::Relaxed);
        // SAFETY: `has_room` says that the consumer is done with these bytes; `offset` is a multiple of
        // `GRAIN` below the capacity, so a whole grain fits, aligned for numbers.
        unsafe { self.area.fill(offset, GRAIN, |place| place.cast::<Record>().write(record)) };
        self.publish(head, offset, GRAIN as u64);
        true
    }

    /// Appends a state. False: there was no room, and the loss was counted. `size` and `kind` are set here.
    pub fn push_state(&self, state: &State) -> bool {
        let state = State { size: STATE_SIZE as u16, kind: STATE_KIND, ..*state };
        self.push_record(STATE_SIZE, |place| {
            // SAFETY: `push_record` gives `STATE_SIZE` bytes that only the producer uses, aligned to `GRAIN`.
            unsafe { place.cast::<State>().write(state) }
        })
    }

    /// Appends what became of a collective. False: there was no room, and the loss was counted. `size` and `kind` are set
    /// here.
    pub fn push_collective(&self, collective: &Collective) -> bool {
        let collective = Collective { size: COLLECTIVE_SIZE as u16, kind: COLLECTIVE_KIND, ..*collective };
        self.push_record(COLLECTIVE_SIZE, |place| {
            // SAFETY: `push_record` gives `COLLECTIVE_SIZE` bytes that only the producer uses, aligned to `GRAIN`.
            unsafe { place.cast::<Collective>().write(collective) }
        })
    }

    /// Appends a dictionary entry, each of its texts cut to [`MAX_TEXT`] bytes. False: there was no room, and
    /// the loss was counted.
    pub fn push_dict(&self, entry: &DictEntry) -> bool {
        let size = dict::encoded_size(entry);
        self.push_record(size, |place| {
            // SAFETY: `push_record` gives `size` bytes that only the producer uses.
            let bytes = unsafe { std::slice::from_raw_parts_mut(place, size) };
            dict::encode(entry, bytes);
        })
    }

    /// Finds `size` bytes, lets `fill` write them, and makes them visible.
    fn push_record(&self, size: usize, fill: impl FnOnce(*mut u8)) -> bool {
        let size = size as u64;
        let head = self.producer.head.load(Ordering::Relaxed);
        let mut offset = self.producer.offset.load(Ordering::Relaxed);
        let to_end = self.capacity - offset;
        let pad = if to_end < size { to_end } else { 0 };
        if !self.has_room(head, pad + size) {
            return self.drop_one();
        }
        if pad > 0 {
            // SAFETY: `has_room` says that the consumer is done with the bytes up to the end; a pad is at least
            // one grain, of which four bytes are written.
            unsafe {
                self.area.fill(offset, GRAIN, |place| {
                    place.cast::<u16>().write(pad as u16);
                    place.add(2).write(PAD_KIND);
                    place.add(3).write(0);
                });
            }
            offset = 0;
        }
        // SAFETY: `offset + size` is at most the capacity, and these bytes are free, too.
        unsafe { self.area.fill(offset, size as usize, fill) };
        self.publish(head + pad, offset, size);
        true
    }

    /// Whether `size` bytes are free at `head`, looking at the consumer's position only if need be.
    #[inline]
    fn has_room(&self, head: u64, size: u64) -> bool {
        if head + size <= self.producer.limit.load(Ordering::Relaxed) {
            return true;
        }
        if !self.writable || size > self.capacity {
            return false;
        }
        // A tail beyond the head cannot be; take it for an empty ring rather than overflow.
        let limit = self.tail().min(head) + self.capacity;
        self.producer.limit.store(limit, Ordering::Relaxed);
        head + size <= limit
    }

    #[inline]
    fn publish(&self, head: u64, offset: u64, size: u64) {
        let offset = offset + size;
        self.producer.offset.store(if offset == self.capacity { 0 } else { offset }, Ordering::Relaxed);
        self.producer.head.store(head + size, Ordering::Relaxed);
        self.area.word(AT_HEAD).store(head + size, Ordering::Release);
    }

    #[cold]
    fn drop_one(&self) -> bool {
        if self.writable && self.capacity > 0 {
            let dropped = self.area.word(AT_DROPPED);
            // Only the producer writes it, so no read-modify-write is needed.
            dropped.store(dropped.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        false
    }

    /// Position behind the last record. Everything before it can be read.
    pub fn head(&self) -> u64 {
        if self.capacity == 0 { 0 } else { self.area.word(AT_HEAD).load(Ordering::Acquire) }
    }

    /// Position up to which space was released.
    pub fn tail(&self) -> u64 {
        if self.capacity == 0 { 0 } else { self.area.word(AT_TAIL).load(Ordering::Acquire) }
    }

    /// How many records found no room since the ring was made.
    pub fn dropped(&self) -> u64 {
        if self.capacity == 0 { 0 } else { self.area.word(AT_DROPPED).load(Ordering::Relaxed) }
    }

    /// Length of the data area in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Whose ring it is.
    pub fn info(&self) -> RingInfo {
        self.info
    }

    /// Says that what lies before `to` has been dealt with; its space is used again. Release only what a
    /// segment holds, else a crash loses it.
    pub fn release(&self, to: u64) {
        if self.writable && self.capacity > 0 {
            self.area.word(AT_TAIL).store(to, Ordering::Release);
        }
    }

    /// Gives the records from position `from` to position `to`, which must lie between [`Ring::tail`] and
    /// [`Ring::head`].
    ///
    /// # Errors
    /// At positions that cannot be, and at the first record that is damaged; those before it were given.
    pub fn read(&self, from: u64, to: u64, mut each: impl FnMut(RingRecord)) -> Result<(), RingError> {
        let grain = GRAIN as u64;
        if from > to
            || to - from > self.capacity
            || !from.is_multiple_of(grain)
            || !to.is_multiple_of(grain)
            || to > self.head()
        {
            return Err(RingError::Positions { from, to, capacity: self.capacity });
        }
        let mut position = from;
        while position < to {
            let offset = position % self.capacity;
            let room = (to - position).min(self.capacity - offset);
            // SAFETY: `offset` is a multiple of the grain below the capacity, so there is a whole grain at it
            // in the mapping, and `room` bytes lie in the mapping, too.
            let (size, record) = unsafe { self.record_at(offset, room) }
                .map_err(|what| RingError::Record { position, what })?;
            if let Some(record) = record {
                each(record);
            }
            position += size;
        }
        Ok(())
    }

    /// The record at `offset`, which must be whole within `room` bytes; none for a pad. It is copied before it
    /// is judged, for the mapping may change meanwhile.
    ///
    /// # Safety
    /// `offset` is a multiple of [`GRAIN`]; `room`, at least [`GRAIN`], bytes from it lie in the data area.
    unsafe fn record_at(&self, offset: u64, room: u64) -> Result<(u64, Option<RingRecord>), &'static str> {
        let words = |start: u64, into: &mut [u64]| {
            // SAFETY: the callers below stay within `room`.
            unsafe { self.area.copy(start, into) }
        };
        let mut first = [0_u64; GRAIN / 8];
        words(offset, &mut first);
        let [low, high, kind, ..] = first[0].to_ne_bytes();
        let size = u64::from(u16::from_ne_bytes([low, high]));
        if size == 0 || !size.is_multiple_of(GRAIN as u64) {
            return Err("its size is no multiple of 64");
        }
        if size > room {
            return Err("it is longer than what is left");
        }
        let record = match kind {
            PAD_KIND => None,
            STATE_KIND => {
                if size != STATE_SIZE as u64 {
                    return Err("a state has another size");
                }
                let mut all = [0_u64; STATE_SIZE / 8];
                words(offset, &mut all);
                // SAFETY: a `State` is 128 bytes of numbers without padding: any bits make one.
                let mut state = unsafe { std::mem::transmute::<[u64; STATE_SIZE / 8], State>(all) };
                // The copy may differ from what was judged.
                (state.size, state.kind) = (STATE_SIZE as u16, STATE_KIND);
                state.thread = self.info.index;
                Some(RingRecord::State(state))
            }
            ARGUMENT_KIND => {
                if size != ARGUMENT_SIZE as u64 {
                    return Err("an argument has another size");
                }
                // SAFETY: an `Argument` is 64 bytes of numbers without padding: any bits make one.
                let mut argument =
                    unsafe { std::mem::transmute::<[u64; ARGUMENT_SIZE / 8], Argument>(first) };
                argument.thread = self.info.index;
                Some(RingRecord::Argument(argument))
            }
            COLLECTIVE_KIND => {
                if size != COLLECTIVE_SIZE as u64 {
                    return Err("a collective has another size");
                }
                let mut all = [0_u64; COLLECTIVE_SIZE / 8];
                words(offset, &mut all);
                // SAFETY: a `Collective` is 128 bytes of numbers without padding: any bits make one.
                let mut collective =
                    unsafe { std::mem::transmute::<[u64; COLLECTIVE_SIZE / 8], Collective>(all) };
                // As of a state.
                (collective.size, collective.kind) = (COLLECTIVE_SIZE as u16, COLLECTIVE_KIND);
                collective.thread = self.info.index;
                Some(RingRecord::Collective(collective))
            }
            DICT_KIND => {
                let mut all = vec![0_u64; size as usize / 8];
                words(offset, &mut all);
                let bytes: Vec<u8> = all.iter().flat_map(|word| word.to_ne_bytes()).collect();
                Some(RingRecord::Dict(dict::decode(&bytes)?))
            }
            0 => return Err("it has no kind"),
            _ => {
                if size != EVENT_SIZE as u64 {
                    return Err("an event has another size");
                }
                // SAFETY: an `Event` is 64 bytes of numbers without padding: any bits make one.
                let mut event = unsafe { std::mem::transmute::<[u64; EVENT_SIZE / 8], Event>(first) };
                event.thread = self.info.index;
                Some(RingRecord::Event(event))
            }
        };
        Ok((size, record))
    }
}
