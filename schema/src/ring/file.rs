//! Reading a ring from its file, or from where that says it is: what a killed process had not written to its segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{
    AT_HEAD, AT_TAIL, GRAIN, HEADER_SIZE, Ring, RingError, RingInfo, RingRecord, SharedMemory, pointer,
};
use crate::regular;

/// A longer file is no ring, in bytes.
pub const MAX_RING_FILE: u64 = 256 << 20;

/// What a ring file still held.
#[derive(Debug)]
pub struct RecoveredRing {
    /// Whose ring it was.
    pub info: RingInfo,
    /// Position of the first record in `records`. Later than asked for if space had been released meanwhile.
    pub from: u64,
    /// Position behind the last record.
    pub to: u64,
    /// How many records had found no room since the ring was made.
    pub dropped: u64,
    /// The records, in the order in which they were pushed.
    pub records: Vec<RingRecord>,
    /// If a record was damaged: the error; `records` are those before it.
    pub damage: Option<RingError>,
}

/// Where a ring is.
enum Source {
    File(File),
    Memory(SharedMemory),
}

impl Source {
    fn open(path: &Path) -> Result<Source, RingError> {
        let failed = |source| RingError::Io { path: path.to_owned(), source };
        // What the memory held may be in the file by now, or the file be gone, with all of it in the segment.
        for _ in 0..2 {
            let file = regular::open(path).map_err(failed)?;
            let Some(found) = pointer::read(&file) else { return Ok(Source::File(file)) };
            if let Some(memory) = pointer::follow(&found) {
                return Ok(Source::Memory(memory));
            }
        }
        Err(RingError::Elsewhere)
    }

    fn length(&self) -> io::Result<u64> {
        match self {
            Source::File(file) => file.metadata().map(|metadata| metadata.len()),
            Source::Memory(memory) => Ok(memory.size() as u64),
        }
    }

    fn read_at(&self, bytes: &mut [u8], offset: usize) -> io::Result<usize> {
        match self {
            Source::File(file) => file.read_at(bytes, offset as u64),
            Source::Memory(memory) => Ok(memory.read_at(bytes, offset)),
        }
    }
}

/// Reads the records from position `from` on from the ring file at `path`, whose process may be dead or alive.
///
/// The ring is copied and the copy judged, so neither its sizes nor a writer that is still at work can harm.
///
/// # Errors
/// If the file cannot be read, is no ring, or has positions that cannot be; if the ring is not in it, and the memory in
/// which it was is not there.
pub fn read_ring_file(path: impl AsRef<Path>, from: u64) -> Result<RecoveredRing, RingError> {
    recover(path.as_ref(), |_| from)
}

/// As [`read_ring_file`], where the position to read from depends on whose ring it is.
pub(crate) fn recover(path: &Path, from: impl FnOnce(&RingInfo) -> u64) -> Result<RecoveredRing, RingError> {
    let failed = |source| RingError::Io { path: path.to_owned(), source };
    let ring = Source::open(path)?;
    let length = ring.length().map_err(failed)?;
    if length > MAX_RING_FILE {
        return Err(RingError::NotARing("the file is longer than any ring"));
    }
    recover_from(&ring, length, from, failed)
}

fn recover_from(
    source: &Source,
    length: u64,
    from: impl FnOnce(&RingInfo) -> u64,
    failed: impl Fn(io::Error) -> RingError,
) -> Result<RecoveredRing, RingError> {
    let mut copy = vec![0_u64; length as usize / 8];
    let mut filled = 0;
    // SAFETY: the words are initialised, any bytes make words, and the borrow ends with the loop.
    let bytes = unsafe { std::slice::from_raw_parts_mut(copy.as_mut_ptr().cast::<u8>(), copy.len() * 8) };
    // The header is read in the first piece: records that appear later lie behind the head found in it.
    while filled < bytes.len() {
        let end = bytes.len().min(if filled == 0 { HEADER_SIZE } else { usize::MAX });
        match source.read_at(&mut bytes[filled..end], filled).map_err(&failed)? {
            0 => break,
            read => filled += read,
        }
    }
    // SAFETY: `copy` outlives the handle, and its words are aligned.
    let ring = unsafe { Ring::attach(copy.as_ptr().cast(), filled) }?;

    let from = from(&ring.info());

    // What was released while we read may have been written over; it is in the segment by now.
    let mut tail = [0_u8; 8];
    if source.read_at(&mut tail, AT_TAIL).map_err(failed)? < tail.len() {
        return Err(RingError::NotARing("it was cut while it was read"));
    }
    let tail = u64::from_ne_bytes(tail);
    let (head, capacity) = (copy[AT_HEAD / 8], ring.capacity() as u64);
    if [head, tail, from].iter().any(|position| !position.is_multiple_of(GRAIN as u64))
        || head.saturating_sub(tail) > capacity
    {
        return Err(RingError::Positions { from: tail, to: head, capacity });
    }
    if from > head {
        return Err(RingError::Positions { from, to: head, capacity });
    }
    let from = from.max(tail).min(head);
    let mut records = Vec::new();
    let damage = ring.read(from, head, |record| records.push(record)).err();
    Ok(RecoveredRing { info: ring.info(), from, to: head, dropped: ring.dropped(), records, damage })
}
