//! One process of a run, read as a stream of batches.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::PathBuf;

use super::{files, recovery};
use crate::dictionary::Dictionary;
use crate::record::{Argument, Collective, Event, State};
use crate::segment::{
    BlockEnd, DropReason, Dropped, Ending, Footer, Frame, FrameKind, ProcessHeader, ReadError, SegmentReader,
    Totals,
};

/// A block longer than this is given in pieces, in rows: a reader's memory is bounded whatever a file says.
const MAX_BATCH_ROWS: usize = 1 << 18;

/// One process of a run.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name of the machine, as in the names of its files.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Its segments, in order.
    pub segments: Vec<PathBuf>,
    /// Files of its rings that are left. None after a clean end; if it was stopped, those with records that could not
    /// be written.
    pub rings: Vec<PathBuf>,
    /// Where further files of it may appear.
    pub(super) folder: Option<PathBuf>,
}

impl Process {
    /// A reader from the beginning.
    pub fn reader(&self) -> ProcessReader {
        ProcessReader {
            process: self.clone(),
            phase: Phase::Segments,
            next_segment: 0,
            segment: None,
            is_past: false,
            following: false,
            header: None,
            dictionary: Dictionary::default(),
            ending: None,
            torn: Torn::default(),
            block: Batch::default(),
            progress: Progress::default(),
            counted: Totals::default(),
            undamaged: true,
            waiting: VecDeque::new(),
            bytes_before: 0,
        }
    }

    /// Size of its segments, in bytes. One that has vanished counts nothing.
    pub fn size(&self) -> u64 {
        let metadata = self.segments.iter().filter_map(|path| fs::metadata(path).ok());
        metadata.map(|metadata| metadata.len()).sum()
    }

    /// Its last iteration, as the footers of its segments say; none if a segment is not sealed, its footer does not
    /// list all of its frames, or rings hold more. Reads no records.
    pub fn last_iteration(&self) -> Option<u32> {
        if !self.rings.is_empty() {
            return None;
        }
        let mut last = 0;
        let mut ended = false;
        for path in &self.segments {
            let footer = SegmentReader::open(path).ok()?.footer()?;
            if footer.frames.len() as u64 != footer.totals.frames {
                return None;
            }
            let events = footer.frames.iter().filter(|frame| frame.kind == FrameKind::Events as u8);
            last = events.map(|frame| frame.last_iteration).fold(last, u32::max);
            ended = footer.ending.reason != Ending::CONTINUED;
        }
        ended.then_some(last)
    }

    /// What stopped its recording while it went on, as the footer of its last segment says. Reads no records.
    pub fn stopped(&self) -> Option<String> {
        let footer = SegmentReader::open(self.segments.last()?).ok()?.footer()?;
        footer.ending.stopped().map(str::to_owned)
    }

    /// When it ended by itself (`CLOCK_MONOTONIC` of its machine, ns), as the footer of its last segment says. Reads no records.
    pub fn ended(&self) -> Option<u64> {
        let footer = SegmentReader::open(self.segments.last()?).ok()?.footer()?;
        let ending = footer.ending;
        (ending.stopped().is_none() && ending.reason != Ending::CONTINUED).then_some(ending.monotonic_ns)
    }

    /// Looks for files that have appeared since. Once that fails it is not tried again.
    fn refresh(&mut self) -> Result<(), ReadError> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        let processes = match files::processes(&folder) {
            Ok(processes) => processes,
            Err(source) => return Err(ReadError::Io { path: folder, source }),
        };
        self.folder = Some(folder);
        if let Some(now) = processes.into_iter().find(|now| now.host == self.host && now.pid == self.pid) {
            self.rings = now.rings;
            let last = self.segments.last().and_then(|path| files::segment_number(path));
            self.segments.extend(now.segments.into_iter().filter(|path| files::segment_number(path) > last));
        }
        Ok(())
    }
}

/// Records of one block, each list in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Events.
    pub events: Vec<Event>,
    /// States.
    pub states: Vec<State>,
    /// Arguments and results of calls.
    pub arguments: Vec<Argument>,
    /// What became of collectives.
    pub collectives: Vec<Collective>,
    /// What is missing since the batch before.
    pub dropped: Vec<Dropped>,
    /// These were never written to a segment: they were found in the rings of a process that was killed or stopped.
    pub recovered: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0 && self.dropped.is_empty()
    }

    fn rows(&self) -> usize {
        self.events.len() + self.states.len() + self.arguments.len() + self.collectives.len()
    }

    /// Sorted by time. Usually it is already.
    pub(super) fn sorted(mut self) -> Batch {
        if !self.events.is_sorted_by_key(|event| event.time) {
            self.events.sort_by_key(|event| event.time);
        }
        if !self.states.is_sorted_by_key(|state| state.time) {
            self.states.sort_by_key(|state| state.time);
        }
        if !self.arguments.is_sorted_by_key(|argument| argument.time) {
            self.arguments.sort_by_key(|argument| argument.time);
        }
        if !self.collectives.is_sorted_by_key(|collective| collective.time) {
            self.collectives.sort_by_key(|collective| collective.time);
        }
        self
    }
}

/// What is known of the end of a process whose last segment was not sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Torn {
    /// Bytes behind the last whole frame: a frame that was being written.
    pub bytes_after_last_frame: u64,
    /// Events found in the rings.
    pub events_recovered: u64,
    /// States found in the rings.
    pub states_recovered: u64,
    /// Arguments and results found in the rings.
    pub arguments_recovered: u64,
    /// Records of collectives found in the rings.
    pub collectives_recovered: u64,
    /// Rings that cannot be read here, for they were in the memory of the machine of the process: up to a second of
    /// what it recorded last is missing.
    pub rings_elsewhere: u64,
}

/// How far the segments say that each ring was written.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Position, by ring.
    pub(super) positions: HashMap<u16, u64>,
    /// Records that the ring had no room for, as far as blocks have said, by ring.
    pub(super) dropped: HashMap<u16, u64>,
}

impl Progress {
    fn take(&mut self, end: &BlockEnd) {
        for position in &end.positions {
            self.positions.insert(position.ring, position.position);
        }
        for dropped in end.dropped.iter().filter(|dropped| dropped.reason == DropReason::RingFull) {
            let sum = self.dropped.entry(dropped.ring).or_default();
            *sum = sum.saturating_add(dropped.count);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reading segments.
    Segments,
    /// Giving what is left in `waiting`.
    Rest,
}

/// Reads the trace of one process, block by block, in bounded memory.
pub struct ProcessReader {
    process: Process,
    phase: Phase,
    /// Place in `process.segments` of the segment after the one that is open.
    next_segment: usize,
    segment: Option<SegmentReader>,
    /// There is a segment after the one that is open.
    is_past: bool,
    following: bool,
    header: Option<ProcessHeader>,
    dictionary: Dictionary,
    /// Of the last segment that was read to its end.
    ending: Option<Ending>,
    torn: Torn,
    /// The block of which the last frame has not been read.
    block: Batch,
    progress: Progress,
    /// What was read of the open segment.
    counted: Totals,
    /// No damage was found in the open segment.
    undamaged: bool,
    /// Read, but not given yet.
    waiting: VecDeque<Result<Batch, ReadError>>,
    /// Size of the segments before the one that is open.
    bytes_before: u64,
}

impl ProcessReader {
    /// The next block; none at the end. After an error the next call goes on behind the damage.
    ///
    /// When following, none says that there is no further whole block yet; [`ProcessReader::finished`] tells.
    pub fn next_batch(&mut self) -> Option<Result<Batch, ReadError>> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                return Some(next);
            }
            if self.phase == Phase::Rest {
                return None;
            }
            match self.step() {
                Ok(Step::Batch(batch)) => return Some(Ok(batch)),
                Ok(Step::On) => {}
                Ok(Step::NothingYet) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// From now on the end of what is written is not taken for the end of the process.
    pub fn follow(&mut self) {
        self.following = true;
    }

    /// The process is known to have ended: what was written is all there is. The next call of
    /// [`ProcessReader::next_batch`] goes on to the end, and to what the rings still hold.
    pub fn stop_following(&mut self) {
        self.following = false;
    }

    /// Whether all was read and given.
    pub fn finished(&self) -> bool {
        self.phase == Phase::Rest && self.waiting.is_empty()
    }

    /// How much of the segments was read, in bytes.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_before + self.segment.as_ref().map_or(0, SegmentReader::bytes_read)
    }

    /// Who wrote it; none before the first batch, or if it was lost.
    pub fn header(&self) -> Option<&ProcessHeader> {
        self.header.as_ref()
    }

    /// The names read so far: all that the batches given so far use.
    pub fn dictionary(&self) -> &Dictionary {
        &self.dictionary
    }

    /// How the process ended, once all was read and if its last segment was sealed.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref().filter(|ending| self.finished() && ending.reason != Ending::CONTINUED)
    }

    /// What is known of the end, once all was read and if its last segment was not sealed.
    pub fn torn(&self) -> Option<&Torn> {
        (self.finished() && self.ending().is_none()).then_some(&self.torn)
    }

    fn step(&mut self) -> Result<Step, ReadError> {
        let Some(segment) = &mut self.segment else { return self.open_next() };
        match segment.next_frame() {
            Some(Ok(frame)) => self.take(frame),
            Some(Err(error)) => {
                self.undamaged = false;
                Err(error)
            }
            None => self.leave_segment(),
        }
    }

    fn open_next(&mut self) -> Result<Step, ReadError> {
        if self.next_segment == self.process.segments.len() {
            if !self.ended_well() {
                self.process.refresh()?;
            }
            if self.next_segment == self.process.segments.len() {
                if self.following && !self.ended_well() {
                    return Ok(Step::NothingYet);
                }
                self.finish();
                return Ok(Step::On);
            }
        }
        let path = self.process.segments[self.next_segment].clone();
        let before = self.next_segment.checked_sub(1).and_then(|i| self.process.segments.get(i));
        let expected = match before {
            Some(before) => files::segment_number(before).map(|number| number.saturating_add(1)),
            // One segment that was given by itself may be any.
            None => self.process.folder.is_some().then_some(0),
        };
        self.next_segment += 1;
        (self.ending, self.counted, self.undamaged) = (None, Totals::default(), true);
        self.is_past = false;
        self.segment = Some(SegmentReader::open(&path)?);
        match (expected, files::segment_number(&path)) {
            (Some(expected), Some(number)) if number != expected => Err(ReadError::Damaged {
                path,
                offset: 0,
                what: format!("segment number {expected} is missing before this one"),
            }),
            _ => Ok(Step::On),
        }
    }

    /// Whether the last segment read says that there is none after it.
    fn ended_well(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.reason != Ending::CONTINUED)
    }

    /// At the end of what is in the open segment.
    fn leave_segment(&mut self) -> Result<Step, ReadError> {
        let Some(segment) = &self.segment else { return Ok(Step::On) };
        if self.following && !segment.is_sealed() && !self.is_past {
            self.process.refresh()?;
            if self.next_segment == self.process.segments.len() {
                return Ok(Step::NothingYet);
            }
            // The next segment is begun only when this one is done with; but that may have been just now, and
            // there may be frames since we looked.
            self.is_past = true;
            return Ok(Step::On);
        }
        let behind = if segment.is_sealed() { Ok(0) } else { segment.bytes_after_last_frame() };
        let goes_on = self.next_segment < self.process.segments.len();
        let no_footer = (!segment.is_sealed() && goes_on).then(|| ReadError::Damaged {
            path: segment.path().to_owned(),
            offset: segment.bytes_read(),
            what: "there is no footer, although there is a segment after this one".to_owned(),
        });
        self.bytes_before += segment.bytes_read();
        self.segment = None;
        self.torn.bytes_after_last_frame = behind?;
        no_footer.map_or(Ok(Step::On), Err)
    }

    fn take(&mut self, frame: Frame) -> Result<Step, ReadError> {
        self.counted.frames += 1;
        let end = match frame {
            Frame::Header(header) => return self.take_header(*header),
            Frame::Dictionary(entries) => {
                self.counted.entries += entries.len() as u64;
                let mut all_taken = true;
                for entry in entries {
                    all_taken &= self.dictionary.insert(entry);
                }
                return if all_taken {
                    Ok(Step::On)
                } else {
                    Err(self.damaged("the dictionary is too large"))
                };
            }
            Frame::Events(events, end) => {
                self.counted.events += events.len() as u64;
                append(&mut self.block.events, events);
                end
            }
            Frame::States(states, end) => {
                self.counted.states += states.len() as u64;
                append(&mut self.block.states, states);
                end
            }
            Frame::Arguments(arguments, end) => {
                self.counted.arguments += arguments.len() as u64;
                append(&mut self.block.arguments, arguments);
                end
            }
            Frame::Collectives(collectives, end) => {
                self.counted.collectives += collectives.len() as u64;
                append(&mut self.block.collectives, collectives);
                end
            }
            Frame::Footer(footer) => return self.take_footer(*footer),
            Frame::Unknown(_) => return Ok(Step::On),
        };
        let more = end.more;
        if !more {
            self.progress.take(&end);
            for dropped in &end.dropped {
                self.counted.dropped = self.counted.dropped.saturating_add(dropped.count);
            }
            self.block.dropped.extend(end.dropped);
        }
        if (more && self.block.rows() < MAX_BATCH_ROWS) || self.block.is_empty() {
            return Ok(Step::On);
        }
        Ok(Step::Batch(std::mem::take(&mut self.block).sorted()))
    }

    fn take_header(&mut self, header: ProcessHeader) -> Result<Step, ReadError> {
        let named = self.segment.as_ref().and_then(|segment| files::segment_number(segment.path()));
        // One that was given by itself may have any name.
        if named.is_some_and(|named| named != header.segment_index) && self.process.folder.is_some() {
            let what = format!(
                "by its name this is another segment than number {}, which it was written as; it is not read",
                header.segment_index
            );
            let error = self.damaged(what);
            self.bytes_before += self.segment.take().map_or(0, |segment| segment.bytes_read());
            return Err(error);
        }
        self.header.get_or_insert(header);
        Ok(Step::On)
    }

    fn take_footer(&mut self, footer: Footer) -> Result<Step, ReadError> {
        self.ending = Some(footer.ending);
        self.counted.frames -= 1;
        if self.undamaged && self.counted != footer.totals {
            return Err(self.damaged(format!(
                "the footer counts {:?}, and there are {:?}",
                footer.totals, self.counted
            )));
        }
        Ok(Step::On)
    }

    fn damaged(&self, what: impl Into<String>) -> ReadError {
        let segment = self.segment.as_ref();
        ReadError::Damaged {
            path: segment.map_or_else(PathBuf::new, |segment| segment.path().to_owned()),
            offset: segment.map_or(0, SegmentReader::frame_offset),
            what: what.into(),
        }
    }

    /// All segments are read: what is left is the block that was cut off, and what the rings hold.
    fn finish(&mut self) {
        self.phase = Phase::Rest;
        let cut_off = std::mem::take(&mut self.block).sorted();
        let recovered = recovery::recover(&self.process, &self.progress, &cut_off, &mut self.dictionary);
        self.torn.events_recovered = recovered.batch.events.len() as u64;
        self.torn.states_recovered = recovered.batch.states.len() as u64;
        self.torn.arguments_recovered = recovered.batch.arguments.len() as u64;
        self.torn.collectives_recovered = recovered.batch.collectives.len() as u64;
        self.torn.rings_elsewhere = recovered.elsewhere;
        for batch in [cut_off, recovered.batch] {
            if !batch.is_empty() {
                self.waiting.push_back(Ok(batch));
            }
        }
        self.waiting.extend(recovered.errors.into_iter().map(Err));
        self.waiting.extend(self.missing_at_the_end().map(Err));
    }

    /// The last segment says that another one goes on, and there is none. Where the process was killed before it began
    /// that one, its rings are there.
    fn missing_at_the_end(&self) -> Option<ReadError> {
        let Process { segments, rings, folder, .. } = &self.process;
        let goes_on = self.ending.as_ref().is_some_and(|ending| ending.reason == Ending::CONTINUED);
        let path = segments.last().filter(|_| goes_on && rings.is_empty() && folder.is_some())?;
        Some(ReadError::Damaged {
            path: path.clone(),
            offset: fs::metadata(path).map_or(0, |metadata| metadata.len()),
            what: "the segment after this one is missing".to_owned(),
        })
    }
}

/// What reading one frame came to.
enum Step {
    Batch(Batch),
    On,
    NothingYet,
}

/// Appends, without copying where there is nothing yet.
fn append<T>(to: &mut Vec<T>, mut rows: Vec<T>) {
    if to.is_empty() { *to = rows } else { to.append(&mut rows) }
}
