//! Where records come from: what the engine asks of a trace, whatever it is stored in.

use std::sync::Arc;

use traincheck_schema::record::{Argument, Collective, DictEntry, Event, State};

/// Some consecutive records of one process.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// In order of time.
    pub events: Vec<Event>,
    /// In order of time.
    pub states: Vec<State>,
    /// What calls were given and gave back, in order of time: that of the call's enter or exit.
    pub arguments: Vec<Argument>,
    /// What became of collectives, in order of time.
    pub collectives: Vec<Collective>,
    /// How many records were lost since the batch before.
    pub lost: u64,
    /// How many there were before the recording began that were not kept.
    pub before: u64,
}

/// How the recording of a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Why the trace is not whole, in words; `None`: it was sealed.
    pub torn: Option<String>,
    /// What stopped the recording while the process went on; `None`: nothing, as far as is known.
    pub stopped: Option<String>,
}

impl End {
    /// Whether the process may have gone on when the recording ended.
    pub fn is_broken_off(&self) -> bool {
        self.torn.is_some() || self.stopped.is_some()
    }
}

/// The records of one process, in order of time.
pub trait Source {
    /// The next records; `None` after the last. An `Err` tells of damage; what lies behind it can still be read.
    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>>;
    /// The entry `id` of the dictionary. Every id in a batch that was handed out can be looked up.
    fn entry(&self, id: u32) -> Option<&DictEntry>;
    /// How the recording ended; asked after the last batch.
    fn end(&self) -> End;
    /// How many ranks the job of the process has, as its launcher said.
    fn world_size(&self) -> u32;
}

/// A trace in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryTrace {
    /// The records.
    pub batches: Vec<Batch>,
    /// The dictionary; entry `n` has id `n + 1`.
    pub dictionary: Vec<DictEntry>,
    /// How it ended.
    pub end: End,
    /// How many ranks its job has; 0: it is none.
    pub world_size: u32,
}

impl MemoryTrace {
    /// Reads it from the start.
    pub fn source(&self) -> MemorySource<'_> {
        MemorySource { trace: self, next: 0 }
    }
}

/// A [`Source`] over a [`MemoryTrace`].
#[derive(Debug)]
pub struct MemorySource<'a> {
    trace: &'a MemoryTrace,
    next: usize,
}

impl Source for MemorySource<'_> {
    fn next_batch(&mut self) -> Option<Result<Arc<Batch>, String>> {
        let batch = self.trace.batches.get(self.next)?.clone();
        self.next += 1;
        Some(Ok(Arc::new(batch)))
    }
    fn entry(&self, id: u32) -> Option<&DictEntry> {
        self.trace.dictionary.get((id as usize).checked_sub(1)?)
    }
    fn end(&self) -> End {
        self.trace.end.clone()
    }
    fn world_size(&self) -> u32 {
        self.trace.world_size.max(1)
    }
}
