//! The beginning of the header page, which the file that says where a ring is repeats.

use super::{RingInfo, VERSION};

/// Bytes of the fields below; zero behind them.
pub(super) const SIZE: usize = 64;

// Offsets. The positions of the ring are behind these fields, see `super`.
const AT_VERSION: usize = 8;
const AT_PID: usize = 12;
const AT_INDEX: usize = 16;
const AT_IS_DICTIONARY: usize = 18;
const AT_THREAD: usize = 24;
const AT_CAPACITY: usize = 32;
const AT_MADE: usize = 40;
const AT_MEMORY: usize = 48;

/// What stands at the beginning of a ring, and in a pointer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) magic: [u8; 8],
    pub(super) version: (u16, u16),
    pub(super) info: RingInfo,
    /// Length of the data area.
    pub(super) capacity: u64,
    /// Of pointers: the number of the memory, and -1 if it ended with the process. 0 in rings.
    pub(super) memory: i64,
}

impl Header {
    pub(super) fn new(magic: [u8; 8], info: &RingInfo, capacity: u64, memory: i64) -> Header {
        Header { magic, version: VERSION, info: *info, capacity, memory }
    }

    pub(super) fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.magic);
        put(AT_VERSION, &self.version.0.to_le_bytes());
        put(AT_VERSION + 2, &self.version.1.to_le_bytes());
        put(AT_PID, &self.info.pid.to_le_bytes());
        put(AT_INDEX, &self.info.index.to_le_bytes());
        put(AT_IS_DICTIONARY, &u16::from(self.info.dictionary).to_le_bytes());
        put(AT_THREAD, &self.info.thread.to_le_bytes());
        put(AT_CAPACITY, &self.capacity.to_le_bytes());
        put(AT_MADE, &self.info.made_wall_ns.to_le_bytes());
        put(AT_MEMORY, &self.memory.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; SIZE]) -> Header {
        let short = |at: usize| u16::from_le_bytes(field(bytes, at));
        let long = |at: usize| u64::from_le_bytes(field(bytes, at));
        Header {
            magic: field(bytes, 0),
            version: (short(AT_VERSION), short(AT_VERSION + 2)),
            info: RingInfo {
                pid: u32::from_le_bytes(field(bytes, AT_PID)),
                index: short(AT_INDEX),
                thread: long(AT_THREAD),
                dictionary: short(AT_IS_DICTIONARY) & 1 != 0,
                made_wall_ns: long(AT_MADE),
            },
            capacity: long(AT_CAPACITY),
            memory: i64::from_le_bytes(field(bytes, AT_MEMORY)),
        }
    }
}

fn field<const LENGTH: usize>(bytes: &[u8; SIZE], at: usize) -> [u8; LENGTH] {
    std::array::from_fn(|i| bytes[at + i])
}
