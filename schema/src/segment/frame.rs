//! The bytes around a payload: the header of the file and the headers of its frames.
//!
//! Both carry a checksum of themselves, so that a length read from disk is believed only if it is the one that
//! was written, and both bound it nevertheless.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

/// The first bytes of a segment.
pub const MAGIC: [u8; 8] = *b"TCSEG\r\n\x1a";
/// Length of the header of the file in bytes.
pub const FILE_HEADER_SIZE: usize = 16;
/// The first bytes of a frame. No text has them, and they are what a reader looks for behind damage.
pub const SYNC: [u8; 8] = *b"\xf5TCFR\x9c\xe1\x0a";
/// Length of the header of a frame in bytes.
pub const FRAME_HEADER_SIZE: usize = 40;
/// No payload is longer than this, in bytes, compressed or not.
pub const MAX_PAYLOAD: u32 = 8 << 20;

/// A version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Changes when an older reader would misread what is written.
    pub major: u16,
    /// Changes when something is added that an older reader can do without.
    pub minor: u16,
}

impl FormatVersion {
    /// The version that this crate writes. It reads this major version, older and newer minor ones included.
    pub const CURRENT: FormatVersion = FormatVersion { major: 1, minor: 6 };
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Who wrote the segment.
    ProcessHeader = 1,
    /// New names.
    Dictionary = 2,
    /// Events of a block.
    Events = 3,
    /// States of a block.
    States = 4,
    /// The end.
    Footer = 5,
    /// Arguments and results of a block. Since version 1.1.
    Arguments = 6,
    /// What became of collectives, in a block. Since version 1.4.
    Collectives = 7,
}

impl FrameKind {
    pub(super) fn of(number: u8) -> Option<FrameKind> {
        use FrameKind::{Arguments, Collectives, Dictionary, Events, Footer, ProcessHeader, States};
        [ProcessHeader, Dictionary, Events, States, Footer, Arguments, Collectives]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// Why the first bytes of a file are not the header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFileHeader {
    /// They are another file's.
    NoMagic,
    /// They were a segment's, and are damaged.
    Checksum,
    /// A newer version.
    Newer(FormatVersion),
}

pub(super) fn encode_file_header(version: FormatVersion) -> [u8; FILE_HEADER_SIZE] {
    let mut bytes = [0; FILE_HEADER_SIZE];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&version.major.to_le_bytes());
    bytes[10..12].copy_from_slice(&version.minor.to_le_bytes());
    let checksum = xxh3_64(&bytes[..12]) as u32;
    bytes[12..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(crate) fn decode_file_header(bytes: &[u8; FILE_HEADER_SIZE]) -> Result<FormatVersion, BadFileHeader> {
    if bytes[..8] != MAGIC {
        return Err(BadFileHeader::NoMagic);
    }
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    if bytes[12..] != (xxh3_64(&bytes[..12]) as u32).to_le_bytes() {
        return Err(BadFileHeader::Checksum);
    }
    let version = FormatVersion { major: short(8), minor: short(10) };
    match version.major {
        0 => Err(BadFileHeader::Checksum),
        major if major > FormatVersion::CURRENT.major => Err(BadFileHeader::Newer(version)),
        _ => Ok(version),
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// A [`FrameKind`], or one of a newer minor version.
    pub(super) kind: u8,
    /// Bytes that follow the header.
    pub(super) compressed: u32,
    /// Bytes that they decompress to.
    pub(super) uncompressed: u32,
    /// Number of the frame in the segment, from 0.
    pub(super) sequence: u32,
    /// Of the compressed payload.
    pub(super) checksum: u64,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> [u8; FRAME_HEADER_SIZE] {
        let mut bytes = [0; FRAME_HEADER_SIZE];
        bytes[..8].copy_from_slice(&SYNC);
        bytes[8] = self.kind;
        bytes[12..16].copy_from_slice(&self.compressed.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.uncompressed.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = xxh3_64(&bytes[..32]);
        bytes[32..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// None: these bytes are no header of a frame.
    pub(super) fn decode(bytes: &[u8; FRAME_HEADER_SIZE]) -> Option<FrameHeader> {
        let long = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let quad = |at: usize| u64::from(long(at)) | u64::from(long(at + 4)) << 32;
        if bytes[..8] != SYNC || quad(32) != xxh3_64(&bytes[..32]) {
            return None;
        }
        let header = FrameHeader {
            kind: bytes[8],
            compressed: long(12),
            uncompressed: long(16),
            sequence: long(20),
            checksum: quad(24),
        };
        (header.compressed <= MAX_PAYLOAD && header.uncompressed <= MAX_PAYLOAD).then_some(header)
    }

    /// Length of the frame with its header in bytes.
    pub(super) fn frame_size(&self) -> u64 {
        FRAME_HEADER_SIZE as u64 + u64::from(self.compressed)
    }
}
