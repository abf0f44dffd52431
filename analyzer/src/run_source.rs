//! The trace of one process on disk as a source, decoded ahead by a thread of its own where a core is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use traincheck_schema::dictionary::Dictionary;
use traincheck_schema::record::DictEntry;
use traincheck_schema::run::{self as schema, Process, ProcessReader};
use traincheck_schema::segment::{DropReason, Frame, SegmentReader};

use crate::source::{Batch, End, Source};

/// A reader that finds damage so many times in a row is given up.
const MOST_DAMAGE: u32 = 10_000;
/// So many batches are decoded ahead of the one that is looked at.
const AHEAD: usize = 4;

/// How much there is to read, and how much was read, in bytes of segments.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<(AtomicU64, AtomicU64)>);

impl Progress {
    /// There is so much more to read.
    pub fn expect(&self, bytes: u64) {
        self.0.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much more was read.
    pub fn advance(&self, bytes: u64) {
        self.0.1.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What there is to read.
    pub fn total(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// What of it was read.
    pub fn read(&self) -> u64 {
        self.0.1.load(Ordering::Relaxed)
    }
}

/// The trace of one process on disk.
pub struct RunSource {
    place: Place,
    world_size: u32,
}

enum Place {
    Here(Box<Decoder>),
    Ahead(Ahead),
}

impl RunSource {
    /// From the beginning.
    pub fn new(process: &Process, progress: &Progress) -> RunSource {
        RunSource {
            place: Place::Here(Box::new(Decoder::new(process, progress))),
            world_size: world_size(process),
        }
    }

    /// The same for so many readers at a time, decoded once, in a thread of its own, a few batches ahead of the slowest.
    /// Each of them has to be read in a thread of its own, too.
    pub fn shared(process: &Process, progress: &Progress, readers: usize) -> Vec<RunSource> {
        let decoder = Decoder::new(process, progress);
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..readers).map(|_| sync_channel(AHEAD)).unzip();
        match thread::Builder::new().name("decode".into()).spawn(move || decoder.send(senders)) {
            Ok(thread) => {
                // One of them is told if it fails; to the others it is the end.
                let mut thread = Some(thread);
                let ahead = receivers.into_iter().map(|receiver| Ahead {
                    receiver,
                    thread: thread.take(),
                    dictionary: Dictionary::default(),
                    end: End::default(),
                });
                let world_size = world_size(process);
                ahead.map(|ahead| RunSource { place: Place::Ahead(ahead), world_size }).collect()
            }
            // Where there are no more threads to be had each does it all.
            Err(_) => (0..readers).map(|_| RunSource::new(process, progress)).collect(),
        }
    }
}

impl Source for RunSource {
    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>> {
        match &mut self.place {
            Place::Here(decoder) => decoder.next_batch(),
            Place::Ahead(ahead) => ahead.next_batch(),
        }
    }

    fn entry(&self, id: u32) -> Option<&DictEntry> {
        match &self.place {
            Place::Here(decoder) => decoder.reader.dictionary().get(id),
            Place::Ahead(ahead) => ahead.dictionary.get(id),
        }
    }

    fn end(&self) -> End {
        match &self.place {
            Place::Here(decoder) => decoder.end(),
            Place::Ahead(ahead) => ahead.end.clone(),
        }
    }

    fn world_size(&self) -> u32 {
        self.world_size
    }
}

/// How many ranks the launcher of a process has said that there are; 1 where it was none, or cannot be read.
fn world_size(process: &Process) -> u32 {
    let header = process.segments.first().and_then(|first| SegmentReader::open(first).ok()?.next_frame());
    match header {
        Some(Ok(Frame::Header(header))) => header.world_size.unwrap_or(1).max(1),
        _ => 1,
    }
}

struct Decoder {
    reader: ProcessReader,
    damage_in_a_row: u32,
    progress: Progress,
    told: u64,
}

impl Decoder {
    fn new(process: &Process, progress: &Progress) -> Decoder {
        Decoder { reader: process.reader(), damage_in_a_row: 0, progress: progress.clone(), told: 0 }
    }

    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>> {
        if self.damage_in_a_row >= MOST_DAMAGE {
            return None;
        }
        let next = self.reader.next_batch();
        let read = self.reader.bytes_read();
        self.progress.advance(read.saturating_sub(self.told));
        self.told = read;
        match next? {
            Ok(batch) => {
                self.damage_in_a_row = 0;
                let count = |which: fn(DropReason) -> bool| {
                    let dropped = batch.dropped.iter().filter(|dropped| which(dropped.reason));
                    dropped.map(|dropped| dropped.count).fold(0, u64::saturating_add)
                };
                let before = count(|reason| reason == DropReason::BeforeStart);
                let lost = count(|reason| reason != DropReason::BeforeStart);
                let schema::Batch { events, states, arguments, collectives, .. } = batch;
                Some(Ok(Arc::new(Batch { events, states, arguments, collectives, lost, before })))
            }
            Err(damage) => {
                self.damage_in_a_row += 1;
                Some(Err(damage.to_string()))
            }
        }
    }

    fn end(&self) -> End {
        let torn = self.reader.torn().map(|torn| {
            let mut text = "it was not sealed, as after a kill".to_owned();
            if torn.bytes_after_last_frame > 0 {
                text += &format!("; {} bytes after the last whole frame", torn.bytes_after_last_frame);
            }
            let recovered = torn.events_recovered
                + torn.states_recovered
                + torn.arguments_recovered
                + torn.collectives_recovered;
            if recovered > 0 {
                text += &format!("; {recovered} records recovered from its rings");
            }
            if torn.rings_elsewhere > 0 {
                text += "; up to a second before the end is missing: it was in the memory of its machine, where it \
                         may still be read";
            }
            text
        });
        let stopped = self.reader.ending().and_then(|ending| ending.stopped()).map(str::to_owned);
        End { torn, stopped }
    }

    /// Sends everything there is to all, in order, as long as somebody listens.
    fn send(mut self, mut to: Vec<SyncSender<Message>>) {
        let mut names_told = 0;
        while let Some(batch) = self.next_batch() {
            let names: Arc<[DictEntry]> = self.reader.dictionary().iter().skip(names_told).cloned().collect();
            names_told += names.len();
            to.retain(|one| one.send(Message::Batch(names.clone(), batch.clone())).is_ok());
            if to.is_empty() {
                return;
            }
        }
        let end = self.end();
        // Who does not listen any more has no need to know.
        to.retain(|one| one.send(Message::End(end.clone())).is_ok());
    }
}

enum Message {
    /// The names since the message before, and what uses them.
    Batch(Arc<[DictEntry]>, Result<Arc<Batch>, String>),
    /// There is no more.
    End(End),
}

struct Ahead {
    receiver: Receiver<Message>,
    thread: Option<JoinHandle<()>>,
    dictionary: Dictionary,
    end: End,
}

impl Ahead {
    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>> {
        match self.receiver.recv() {
            Ok(Message::Batch(names, batch)) => {
                for entry in names.iter() {
                    self.dictionary.insert(entry.clone());
                }
                return Some(batch);
            }
            Ok(Message::End(end)) => self.end = end,
            // All was given before, or the thread failed.
            Err(_) => {}
        }
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}
