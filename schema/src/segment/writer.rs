//! Writing a segment.

use std::io;
use std::path::{Path, PathBuf};

use capnp::message::{Builder, HeapAllocator};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Compressor;

use super::block::{BlockEnd, MAX_RINGS, MAX_ROWS, put_arguments, put_collectives, put_events, put_states};
use super::frame::{
    FRAME_HEADER_SIZE, FormatVersion, FrameHeader, FrameKind, MAX_PAYLOAD, encode_file_header,
};
use super::prose::{
    Footer, FrameEntry, MAX_ENTRIES, MAX_INDEXED_FRAMES, Totals, put_dictionary, put_footer,
    put_process_header,
};
use super::{Dropped, Ending, ProcessHeader, RingPosition};
use crate::own_file::OwnFile;
use crate::record::{Argument, Collective, DictEntry, Event, State};
use crate::ring::cut;

/// Fast enough to be invisible beside a training step; higher levels gain little on columns.
const COMPRESSION_LEVEL: i32 = 3;
/// A dictionary frame is closed when its texts are this long, in bytes.
const DICTIONARY_FRAME_TEXT: usize = 1 << 20;

/// Room that is kept behind every frame, in bytes: for a footer that says why there are no more.
const FOR_THE_FOOTER: u64 = 4096;

/// Why a segment could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file could not be made.
    #[error("cannot create segment {path}: {source}")]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A frame could not be written. The segment ends with the frame before.
    #[error("cannot write to segment {path} at offset {offset}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Where the frame was to begin, in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}

/// The records of a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Records<'a> {
    /// Events.
    pub events: &'a [Event],
    /// States.
    pub states: &'a [State],
    /// Arguments and results.
    pub arguments: &'a [Argument],
    /// What became of collectives.
    pub collectives: &'a [Collective],
}

impl Records<'_> {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.states.is_empty()
            && self.arguments.is_empty()
            && self.collectives.is_empty()
    }
}

/// Writes one segment, frame by frame, each with one `write(2)`.
///
/// Nothing is written when it is dropped: without [`SegmentWriter::seal`] the segment has no footer and is
/// read as torn.
pub struct SegmentWriter {
    file: OwnFile,
    path: PathBuf,
    offset: u64,
    /// A write failed half-way and its beginning could not be taken back: writing on would be damage.
    broken: bool,
    compressor: Compressor<'static>,
    /// The frame that is being made. Kept, to allocate only once.
    frame: Vec<u8>,
    index: Vec<FrameEntry>,
    totals: Totals,
}

impl SegmentWriter {
    /// Makes the file, which must not exist, readable by its owner only, and writes its header.
    ///
    /// # Errors
    /// If the file exists or cannot be made or written.
    pub fn create(path: &Path, header: &ProcessHeader) -> Result<Self, WriteError> {
        let failed = |source| WriteError::Create { path: path.to_owned(), source };
        let compressor = Compressor::new(COMPRESSION_LEVEL).map_err(failed)?;
        let file = OwnFile::create(path).map_err(failed)?;
        let mut writer = SegmentWriter {
            file,
            path: path.to_owned(),
            offset: 0,
            broken: false,
            compressor,
            frame: Vec::new(),
            index: Vec::new(),
            totals: Totals::default(),
        };
        let mut message = builder(0);
        put_process_header(message.init_root(), header);
        if let Err(error) = writer.write_frame(FrameKind::ProcessHeader, &message, FrameEntry::default()) {
            // A segment without its first frame says nothing.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(writer)
    }

    /// Writes dictionary entries; their texts are cut to [`MAX_TEXT`](super::MAX_TEXT) bytes. An entry comes
    /// before the first block that uses it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_dictionary(&mut self, entries: &[DictEntry]) -> Result<(), WriteError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let mut size = 0;
            let fitting = rest.iter().take(MAX_ENTRIES).take_while(|entry| {
                let fits = size < DICTIONARY_FRAME_TEXT;
                size += cut(&entry.text).len() + cut(&entry.file).len() + cut(&entry.type_name).len();
                fits
            });
            let (now, later) = rest.split_at(fitting.count());
            rest = later;
            let mut message = builder(now.len() * 64 + size);
            put_dictionary(message.init_root(), now);
            let entry = FrameEntry { rows: now.len() as u32, ..FrameEntry::default() };
            self.write_frame(FrameKind::Dictionary, &message, entry)?;
            self.totals.entries += now.len() as u64;
        }
        Ok(())
    }

    /// Writes a block: events and states in any order, what is missing since the last block, and how far the
    /// rings have been written with this block. Only afterwards may their space be released.
    ///
    /// # Errors
    /// If the file cannot be written. Nothing of the block is in it then, and it may be written again.
    pub fn write_block(
        &mut self,
        events: &[Event],
        states: &[State],
        dropped: &[Dropped],
        positions: &[RingPosition],
    ) -> Result<(), WriteError> {
        self.write_records(Records { events, states, ..Records::default() }, dropped, positions)
    }

    /// As [`SegmentWriter::write_block`], with records of every kind.
    ///
    /// # Errors
    /// As there.
    pub fn write_records(
        &mut self,
        records: Records<'_>,
        dropped: &[Dropped],
        positions: &[RingPosition],
    ) -> Result<(), WriteError> {
        let (dropped, positions) =
            (&dropped[..dropped.len().min(MAX_RINGS)], &positions[..positions.len().min(MAX_RINGS)]);
        if records.is_empty() && dropped.is_empty() && positions.is_empty() {
            return Ok(());
        }
        let (offset, frames, totals) = (self.offset, self.index.len(), self.totals);
        let end = BlockEnd { more: false, dropped: dropped.to_vec(), positions: positions.to_vec() };
        let written = self.write_rows(records, end);
        if written.is_err() && self.offset > offset {
            // Frames that say there is more to come would be taken for a part of the next block.
            self.broken |= self.file.cut(offset).is_err();
            (self.offset, self.totals) = (offset, totals);
            self.index.truncate(frames);
        }
        written?;
        self.totals.dropped =
            dropped.iter().fold(self.totals.dropped, |sum, one| sum.saturating_add(one.count));
        Ok(())
    }

    /// Writes the frames of a block, `last` on the last of them.
    fn write_rows(&mut self, records: Records<'_>, last: BlockEnd) -> Result<(), WriteError> {
        let Records { events, states, arguments, collectives } = records;
        let mut end = BlockEnd { more: true, ..BlockEnd::default() };
        // Readers of older versions pass over arguments and collectives, so these come first: what they would miss is no
        // end.
        for piece in arguments.chunks(MAX_ROWS) {
            self.write_arguments(piece, &end)?;
        }
        for piece in collectives.chunks(MAX_ROWS) {
            self.write_collectives(piece, &end)?;
        }
        // A block that has neither events nor states ends with a frame of no events.
        let none: &[Event] = &[];
        let no_rows = (events.is_empty() && states.is_empty()).then_some(none);
        let mut pieces = events.chunks(MAX_ROWS).chain(no_rows).peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() && states.is_empty() {
                end = last.clone();
            }
            self.write_events(piece, &end)?;
        }
        let mut pieces = states.chunks(MAX_ROWS).peekable();
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                end = last.clone();
            }
            self.write_states(piece, &end)?;
        }
        Ok(())
    }

    fn write_events(&mut self, events: &[Event], end: &BlockEnd) -> Result<(), WriteError> {
        let mut message = builder(events.len() * 48 + end.dropped.len() * 16 + end.positions.len() * 16);
        put_events(message.init_root(), events, end);
        let entry = entry(events.iter().map(|event| (event.time, event.iteration)));
        self.write_frame(FrameKind::Events, &message, entry)?;
        self.totals.events += events.len() as u64;
        Ok(())
    }

    fn write_states(&mut self, states: &[State], end: &BlockEnd) -> Result<(), WriteError> {
        let mut message = builder(states.len() * 96 + end.dropped.len() * 16 + end.positions.len() * 16);
        put_states(message.init_root(), states, end);
        let entry = entry(states.iter().map(|state| (state.time, state.iteration)));
        self.write_frame(FrameKind::States, &message, entry)?;
        self.totals.states += states.len() as u64;
        Ok(())
    }

    fn write_arguments(&mut self, arguments: &[Argument], end: &BlockEnd) -> Result<(), WriteError> {
        let mut message = builder(arguments.len() * 48);
        put_arguments(message.init_root(), arguments, end);
        let entry = entry(arguments.iter().map(|argument| (argument.time, argument.iteration)));
        self.write_frame(FrameKind::Arguments, &message, entry)?;
        self.totals.arguments += arguments.len() as u64;
        Ok(())
    }

    fn write_collectives(&mut self, collectives: &[Collective], end: &BlockEnd) -> Result<(), WriteError> {
        let mut message = builder(collectives.len() * 64);
        put_collectives(message.init_root(), collectives, end);
        let entry = entry(collectives.iter().map(|collective| (collective.time, collective.iteration)));
        self.write_frame(FrameKind::Collectives, &message, entry)?;
        self.totals.collectives += collectives.len() as u64;
        Ok(())
    }

    /// Length of the file in bytes.
    pub fn bytes_written(&self) -> u64 {
        self.offset
    }

    /// What was written so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Writes the footer. Where there is no room for all of it, one without index and account, for which room was kept.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn seal(mut self, ending: &Ending) -> Result<(), WriteError> {
        let footer =
            Footer { ending: ending.clone(), frames: std::mem::take(&mut self.index), totals: self.totals };
        let short = Ending { account: Vec::new(), ..ending.clone() };
        let short = Footer { ending: short, frames: Vec::new(), totals: self.totals };
        let written = self.write_footer(&footer).or_else(|_| self.write_footer(&short));
        // What was kept behind it is given back.
        let _ = self.file.cut(self.offset);
        written
    }

    fn write_footer(&mut self, footer: &Footer) -> Result<(), WriteError> {
        let mut message = builder(footer.frames.len() * 48);
        put_footer(message.init_root(), footer);
        self.write_frame(FrameKind::Footer, &message, FrameEntry::default())
    }

    fn write_frame(
        &mut self,
        kind: FrameKind,
        message: &Builder<HeapAllocator>,
        entry: FrameEntry,
    ) -> Result<(), WriteError> {
        let begin = self.offset;
        if let Err(source) = self.try_write_frame(kind, message) {
            return Err(WriteError::Write { path: self.path.clone(), offset: begin, source });
        }
        let offset = if begin == 0 { super::frame::FILE_HEADER_SIZE as u64 } else { begin };
        if self.index.len() < MAX_INDEXED_FRAMES {
            self.index.push(FrameEntry { offset, kind: kind as u8, ..entry });
        }
        self.totals.frames += 1;
        Ok(())
    }

    fn try_write_frame(&mut self, kind: FrameKind, message: &Builder<HeapAllocator>) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier frame was written half and could not be taken back"));
        }
        let payload = capnp::serialize::write_message_to_words(message);
        if payload.len() > MAX_PAYLOAD as usize {
            return Err(io::Error::other("the frame is longer than a frame may be"));
        }
        self.frame.clear();
        if self.offset == 0 {
            self.frame.extend_from_slice(&encode_file_header(FormatVersion::CURRENT));
        }
        let header_at = self.frame.len();
        let payload_at = header_at + FRAME_HEADER_SIZE;
        self.frame.resize(payload_at + zstd::zstd_safe::compress_bound(payload.len()), 0);
        let compressed = self.compressor.compress_to_buffer(&payload, &mut self.frame[payload_at..])?;
        self.frame.truncate(payload_at + compressed);
        let header = FrameHeader {
            kind: kind as u8,
            compressed: compressed as u32,
            uncompressed: payload.len() as u32,
            sequence: self.totals.frames as u32,
            checksum: xxh3_64(&self.frame[payload_at..]),
        };
        self.frame[header_at..payload_at].copy_from_slice(&header.encode());
        if kind != FrameKind::Footer {
            self.file.reserve(self.offset, self.frame.len() as u64 + FOR_THE_FOOTER)?;
        }
        if let Err(error) = self.file.append(&self.frame) {
            self.broken = self.file.cut(self.offset).is_err();
            return Err(error);
        }
        self.offset += self.frame.len() as u64;
        Ok(())
    }
}

/// A message that is expected to take `size` bytes, so that it is one segment.
fn builder(size: usize) -> Builder<HeapAllocator> {
    Builder::new(HeapAllocator::new().first_segment_words((size / 8 + 256) as u32))
}

/// Index entry of a frame whose rows have these times and iterations.
fn entry(rows: impl Iterator<Item = (u64, u32)>) -> FrameEntry {
    let mut entry = FrameEntry::default();
    for (time, iteration) in rows {
        if entry.rows == 0 {
            (entry.first_time, entry.first_iteration) = (time, iteration);
        }
        entry.rows += 1;
        entry.first_time = entry.first_time.min(time);
        entry.last_time = entry.last_time.max(time);
        entry.first_iteration = entry.first_iteration.min(iteration);
        entry.last_iteration = entry.last_iteration.max(iteration);
    }
    entry
}
