//! Traces of made-up trainings: as long as one likes, the same bytes for the same seed, and like those of a real one.
//!
//! What is made up is tests/pipelines/digits.py under the profile `training`: a network of blocks of a convolution and
//! a normalisation and a head, AdamW, a schedule over epochs, an evaluation and a checkpoint after each. Ops and the
//! state of the optimizer are there in sampled iterations, contents of variables after each backward and step.
mod recorder;
mod training;

use std::fs;
use std::io;
use std::path::Path;

use traincheck_analyzer::source::{self, MemoryTrace};
use traincheck_schema::record::DictEntry;
use traincheck_schema::run::Batch;
use traincheck_schema::segment::{Ending, ProcessHeader, Records, SegmentWriter, Totals};

use training::Training;

/// Events in a block, as the agent writes them.
const BLOCK: usize = 4096;

/// An error that is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Gradients are never cleared.
    NoZeroGrad,
    /// The model stays in evaluation mode after the first evaluation.
    LeftInEvaluation,
    /// The scheduler never steps.
    NoSchedulerStep,
    /// The parameters of the first block require no gradient.
    Frozen,
}

/// What is made up.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    /// Of everything that is random: contents, times, lengths of epochs.
    pub seed: u64,
    /// So many events of each rank at least: it ends with the iteration that reaches them.
    pub events: u64,
    /// Blocks of the network, each with four parameters and three buffers.
    pub blocks: u32,
    /// Ranks of the job, which average their gradients in every iteration; 1: a process that knows no others.
    pub ranks: u32,
    /// What is wrong with it.
    pub error: Option<Error>,
}

impl Default for Synthetic {
    fn default() -> Self {
        Synthetic { seed: 1, events: 10_000, blocks: 2, ranks: 1, error: None }
    }
}

/// Some consecutive records, and the names that they are the first to use.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Names, in order of id.
    pub names: Vec<DictEntry>,
    /// Records.
    pub records: Batch,
}

/// The blocks of a trace, made as they are asked for.
pub struct Blocks {
    training: Training,
    events: u64,
    ended: bool,
}

impl Iterator for Blocks {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        while !self.ended && self.training.record.waiting() < BLOCK {
            if self.training.record.events_made() < self.events {
                self.training.iterate();
            } else {
                self.training.finish();
                self.ended = true;
            }
        }
        self.training.record.take(BLOCK)
    }
}

impl Synthetic {
    /// The trace of one rank, block by block, in memory that does not grow with its length.
    pub fn blocks(&self, rank: u32) -> Blocks {
        Blocks { training: Training::new(self, rank), events: self.events, ended: false }
    }

    /// Writes it as a run into `folder`, which is made. Sealed, or as after a kill. What all ranks have together.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn write(&self, folder: &Path, sealed: bool) -> io::Result<Totals> {
        fs::create_dir_all(folder)?;
        let mut all = Totals::default();
        for rank in 0..self.ranks {
            let totals = self.write_rank(rank, folder, sealed)?;
            all.events += totals.events;
            all.states += totals.states;
            all.arguments += totals.arguments;
            all.collectives += totals.collectives;
        }
        Ok(all)
    }

    fn write_rank(&self, rank: u32, folder: &Path, sealed: bool) -> io::Result<Totals> {
        let is_job = self.ranks > 1;
        let header = ProcessHeader {
            host: "synthetic".into(),
            pid: rank + 1,
            rank: is_job.then_some(rank),
            world_size: is_job.then_some(self.ranks),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            profile: "training".into(),
            script: "train.py".into(),
            ..ProcessHeader::default()
        };
        let path = folder.join(format!("synthetic-{}-0.tcs", rank + 1));
        let mut writer = SegmentWriter::create(&path, &header).map_err(io::Error::other)?;
        for Block { names, records } in self.blocks(rank) {
            writer.write_dictionary(&names).map_err(io::Error::other)?;
            let Batch { events, states, arguments, collectives, .. } = &records;
            let records = Records { events, states, arguments, collectives };
            writer.write_records(records, &[], &[]).map_err(io::Error::other)?;
        }
        let totals = writer.totals();
        if sealed {
            let ending = Ending { reason: "exit".into(), ..Ending::default() };
            writer.seal(&ending).map_err(io::Error::other)?;
        }
        Ok(totals)
    }

    /// The whole of its first rank in memory.
    pub fn memory(&self) -> MemoryTrace {
        let mut trace = MemoryTrace::default();
        for Block { names, records } in self.blocks(0) {
            trace.dictionary.extend(names);
            let Batch { events, states, arguments, collectives, .. } = records;
            let batch = source::Batch { events, states, arguments, collectives, ..source::Batch::default() };
            trace.batches.push(batch);
        }
        trace
    }
}
