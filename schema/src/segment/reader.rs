//! Reading a segment.

use std::fs::File;
use std::path::{Path, PathBuf};

use capnp::message::{Reader, ReaderOptions};
use capnp::serialize::{BufferSegments, read_message_from_flat_slice};
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Decompressor;

use super::block::{BlockEnd, read_arguments, read_collectives, read_events, read_states};
use super::column::PayloadError;
use super::error::ReadError;
use super::frame::{
    BadFileHeader, FILE_HEADER_SIZE, FRAME_HEADER_SIZE, FrameHeader, FrameKind, MAGIC, SYNC,
    decode_file_header,
};
use super::prose::{Footer, read_dictionary, read_footer, read_process_header};
use super::source::Source;
use super::types::ProcessHeader;
use crate::record::{Argument, Collective, DictEntry, Event, State};
use crate::regular;

/// How much is read at once when looking for the next frame behind damage, in bytes.
const SCAN_SIZE: usize = 8 << 10;

/// What one frame held.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Who wrote the segment.
    Header(Box<ProcessHeader>),
    /// New names.
    Dictionary(Vec<DictEntry>),
    /// Events.
    Events(Vec<Event>, BlockEnd),
    /// States.
    States(Vec<State>, BlockEnd),
    /// Arguments and results.
    Arguments(Vec<Argument>, BlockEnd),
    /// What became of collectives.
    Collectives(Vec<Collective>, BlockEnd),
    /// The end of a sealed segment.
    Footer(Box<Footer>),
    /// A frame of a newer minor version; its kind.
    Unknown(u8),
}

/// Where reading stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    FileHeader,
    Frames,
    /// Behind the footer.
    Footer,
    /// Reading on makes no sense.
    GivenUp,
}

/// Reads the frames of a segment in order.
///
/// At the end of what is there it gives none, and goes on if more is there at a later call, so that it can
/// follow a segment that is still being written.
pub struct SegmentReader<S = File> {
    source: S,
    path: PathBuf,
    at: At,
    sealed: bool,
    /// Where the next frame should begin.
    offset: u64,
    /// Number that the next frame should have; none behind damage.
    sequence: Option<u32>,
    /// Beginning of the last frame that was whole and right.
    last: u64,
    /// Its end.
    sound: u64,
    decompressor: Decompressor<'static>,
    compressed: Vec<u8>,
    /// Words, for a message must be aligned.
    message: Vec<u64>,
}

impl SegmentReader<File> {
    /// Opens the segment at `path`. Nothing is read yet.
    ///
    /// # Errors
    /// If the file cannot be opened, or is no regular one.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = regular::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Self::new(file, path)
    }
}

impl<S: Source> SegmentReader<S> {
    /// Reads a segment from `source`; errors call it `path`.
    ///
    /// # Errors
    /// If there is no memory for the decompressor.
    pub fn new(source: S, path: &Path) -> Result<Self, ReadError> {
        let decompressor =
            Decompressor::new().map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(SegmentReader {
            source,
            path: path.to_owned(),
            at: At::FileHeader,
            sealed: false,
            offset: 0,
            sequence: Some(0),
            last: 0,
            sound: 0,
            decompressor,
            compressed: Vec::new(),
            message: Vec::new(),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the frame that was given last begins, in bytes.
    pub fn frame_offset(&self) -> u64 {
        self.last
    }

    /// How much of the file was read, in bytes.
    pub fn bytes_read(&self) -> u64 {
        self.offset
    }

    /// The footer, from going over the headers of the frames before it; none if the segment is not sealed, or not as
    /// it was written. To be asked of a reader that has read nothing.
    pub fn footer(mut self) -> Option<Footer> {
        if !self.read_file_header().ok()? {
            return None;
        }
        loop {
            let mut bytes = [0; FRAME_HEADER_SIZE];
            if self.read_at(&mut bytes, self.offset).ok()? < FRAME_HEADER_SIZE {
                return None;
            }
            let header = FrameHeader::decode(&bytes)?;
            if self.sequence.replace(header.sequence.wrapping_add(1)) != Some(header.sequence) {
                return None;
            }
            if header.kind == FrameKind::Footer as u8 {
                self.sequence = Some(header.sequence);
                return match self.read_frame() {
                    Ok(Some(Frame::Footer(footer))) => Some(*footer),
                    _ => None,
                };
            }
            self.offset += header.frame_size();
        }
    }

    /// Whether the footer was read.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// How many bytes lie behind the last frame that was whole and right.
    ///
    /// # Errors
    /// If the file cannot be asked.
    pub fn bytes_after_last_frame(&self) -> Result<u64, ReadError> {
        let size = self.source.size().map_err(|source| self.io(source))?;
        Ok(size.saturating_sub(self.sound))
    }

    /// The next frame; none if there is no further whole one yet. After an error the next call goes on behind
    /// the damage.
    pub fn next_frame(&mut self) -> Option<Result<Frame, ReadError>> {
        self.step().transpose()
    }

    fn io(&self, source: std::io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }

    fn damaged(&self, offset: u64, what: impl Into<String>) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), offset, what: what.into() }
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, ReadError> {
        self.source.read_at(buffer, offset).map_err(|source| {
            self.at = At::GivenUp;
            self.io(source)
        })
    }

    fn step(&mut self) -> Result<Option<Frame>, ReadError> {
        if self.at == At::FileHeader && !self.read_file_header()? {
            return Ok(None);
        }
        match self.at {
            At::FileHeader | At::GivenUp => Ok(None),
            At::Frames => self.read_frame(),
            At::Footer => {
                self.at = At::GivenUp;
                let behind = self.bytes_after_last_frame()?;
                if behind == 0 {
                    self.at = At::Footer;
                    return Ok(None);
                }
                Err(self.damaged(self.sound, format!("{behind} bytes behind the footer")))
            }
        }
    }

    /// False: the file ends within its header.
    fn read_file_header(&mut self) -> Result<bool, ReadError> {
        let mut bytes = [0; FILE_HEADER_SIZE];
        let found = self.read_at(&mut bytes, 0)?;
        if found < FILE_HEADER_SIZE {
            let start = found.min(MAGIC.len());
            if bytes[..start] == MAGIC[..start] {
                return Ok(false);
            }
            self.at = At::GivenUp;
            return Err(ReadError::NotASegment { path: self.path.clone() });
        }
        match decode_file_header(&bytes) {
            Ok(_) => {
                self.at = At::Frames;
                self.offset = FILE_HEADER_SIZE as u64;
                self.sound = self.offset;
                Ok(true)
            }
            Err(BadFileHeader::Newer(found)) => {
                self.at = At::GivenUp;
                Err(ReadError::Newer { path: self.path.clone(), found })
            }
            Err(BadFileHeader::NoMagic | BadFileHeader::Checksum) => {
                // Frames say themselves what they are: if there is one, this is a damaged segment.
                self.at = At::Frames;
                let behind = self.find_frame(0)?;
                if behind.is_none() {
                    self.at = At::GivenUp;
                    return Err(ReadError::NotASegment { path: self.path.clone() });
                }
                Err(self.damaged(0, "the header of the file is not what was written"))
            }
        }
    }

    fn read_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        let begin = self.offset;
        let mut bytes = [0; FRAME_HEADER_SIZE];
        let found = self.read_at(&mut bytes, begin)?;
        if found < FRAME_HEADER_SIZE {
            let start = found.min(SYNC.len());
            if bytes[..start] == SYNC[..start] {
                return Ok(None);
            }
            self.offset += found as u64;
            return Err(self.damaged(begin, "no frame begins here, and none follows"));
        }
        let Some(header) = FrameHeader::decode(&bytes) else {
            let what = match self.find_frame(begin + 1)? {
                Some(next) => format!("no frame begins here; the next one is {} bytes on", next - begin),
                None => "no frame begins here, and none follows".to_owned(),
            };
            return Err(self.damaged(begin, what));
        };
        if let Some(expected) = self.sequence.take_if(|expected| *expected != header.sequence) {
            let what = format!(
                "this is frame number {} where number {expected} should be: frames are missing or out of order",
                header.sequence
            );
            return Err(self.damaged(begin, what));
        }

        self.compressed.resize(header.compressed as usize, 0);
        let mut compressed = std::mem::take(&mut self.compressed);
        let found = self.read_at(&mut compressed, begin + FRAME_HEADER_SIZE as u64);
        self.compressed = compressed;
        if found? < self.compressed.len() {
            return Ok(None);
        }
        self.offset = begin + header.frame_size();
        self.sequence = None;
        if xxh3_64(&self.compressed) != header.checksum {
            return Err(self.damaged(begin, "the contents of this frame are not what was written"));
        }
        let frame = match self.decode(&header) {
            Ok(frame) => frame,
            Err(error) => return Err(self.damaged(begin, format!("this frame cannot be: {error}"))),
        };
        self.sequence = Some(header.sequence.wrapping_add(1));
        (self.last, self.sound) = (begin, self.offset);
        if matches!(frame, Frame::Footer(_)) {
            self.at = At::Footer;
            self.sealed = true;
        }
        Ok(Some(frame))
    }

    /// Decompresses the payload into `message`.
    fn decompress(&mut self, header: &FrameHeader) -> Result<(), PayloadError> {
        let size = header.uncompressed as usize;
        self.message.resize(size.div_ceil(8), 0);
        // SAFETY: the words are initialised and any bytes make words; the borrow ends with this function.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.message.as_mut_ptr().cast::<u8>(), self.message.len() * 8)
        };
        let found = self
            .decompressor
            .decompress_to_buffer(&self.compressed, &mut bytes[..size])
            .map_err(|_| PayloadError::Compression)?;
        if found == size { Ok(()) } else { Err(PayloadError::Compression) }
    }

    fn decode(&mut self, header: &FrameHeader) -> Result<Frame, PayloadError> {
        let Some(kind) = FrameKind::of(header.kind) else {
            return Ok(Frame::Unknown(header.kind));
        };
        self.decompress(header)?;
        let message = self.message_of(header.uncompressed as usize)?;
        Ok(match kind {
            FrameKind::ProcessHeader => Frame::Header(Box::new(read_process_header(message.get_root()?)?)),
            FrameKind::Dictionary => Frame::Dictionary(read_dictionary(message.get_root()?)?),
            FrameKind::Events => {
                let (events, end) = read_events(message.get_root()?)?;
                Frame::Events(events, end)
            }
            FrameKind::States => {
                let (states, end) = read_states(message.get_root()?)?;
                Frame::States(states, end)
            }
            FrameKind::Arguments => {
                let (arguments, end) = read_arguments(message.get_root()?)?;
                Frame::Arguments(arguments, end)
            }
            FrameKind::Collectives => {
                let (collectives, end) = read_collectives(message.get_root()?)?;
                Frame::Collectives(collectives, end)
            }
            FrameKind::Footer => Frame::Footer(Box::new(read_footer(message.get_root()?)?)),
        })
    }

    fn message_of(&self, size: usize) -> Result<Reader<BufferSegments<&[u8]>>, PayloadError> {
        // SAFETY: initialised words, seen as bytes; `size` is at most their number.
        let mut bytes = unsafe { std::slice::from_raw_parts(self.message.as_ptr().cast::<u8>(), size) };
        let mut options = ReaderOptions::new();
        // Everything is read once; twice that for what lists count on top. A message that points at the same
        // bytes again and again ends here.
        options.traversal_limit_in_words(Some(size / 8 * 2 + 1024));
        options.nesting_limit(8);
        Ok(read_message_from_flat_slice(&mut bytes, options)?)
    }

    /// Goes to the next header of a frame at or behind `from`; where there is none, to the end. Damage that
    /// looks like one is told by its checksum.
    fn find_frame(&mut self, from: u64) -> Result<Option<u64>, ReadError> {
        self.sequence = None;
        let mut buffer = vec![0; SCAN_SIZE];
        let mut begin = from;
        loop {
            let found = self.read_at(&mut buffer, begin)?;
            let bytes = &buffer[..found];
            for at in 0..found.saturating_sub(FRAME_HEADER_SIZE - 1) {
                let Some(header) = bytes[at..].first_chunk::<FRAME_HEADER_SIZE>() else { break };
                if header[0] == SYNC[0] && FrameHeader::decode(header).is_some() {
                    self.offset = begin + at as u64;
                    return Ok(Some(self.offset));
                }
            }
            if found < SCAN_SIZE {
                self.offset = begin + found as u64;
                return Ok(None);
            }
            // The header may straddle what was read.
            begin += (SCAN_SIZE - FRAME_HEADER_SIZE + 1) as u64;
        }
    }
}
