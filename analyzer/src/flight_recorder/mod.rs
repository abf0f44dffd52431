//! Dumps of PyTorch's flight recorder: what a process remembers of its last collectives.
//!
//! PyTorch keeps them in a ring (`TORCH_FR_BUFFER_SIZE`) and writes them as a pickle, as NCCL's watchdog does when a collective
//! takes too long, or as JSON. Both say the same, but for the lines of the program, which only the pickle has. What a dump does
//! not say: how a collective reduces, from whom it comes, in which iteration it was entered, and which rank the process is; that is
//! the number at the end of the file's name.
mod document;
mod files;
pub mod names;
mod pickle;
pub mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

pub use files::read;

/// What one process remembers.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// The rank of the process in the job.
    pub rank: u32,
    /// Where it was read.
    pub file: PathBuf,
    /// Of the format: `2.10`.
    pub version: String,
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// The ranks of groups, by the name of the group: of those of which the dump tells.
    pub members: BTreeMap<String, Vec<u32>>,
    /// The groups in which something was entered, whether or not the dump lists it: by number.
    pub used: Vec<u64>,
}

/// A collective or a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place among all that the process entered, from 0.
    pub record: u64,
    /// The number of its group in the process.
    pub group_number: Option<u64>,
    /// The name of its group: `0`.
    pub group: String,
    /// What the group is called: `default_pg`.
    pub description: String,
    /// `gloo`, `nccl`, ...
    pub backend: String,
    /// `all_reduce`, `send`, ...
    pub operation: String,
    /// Of a message: from which rank in the group, and to which; `None`: it is not known.
    pub between: [Option<u32>; 2],
    /// PyTorch's number of it in its group; messages are counted apart, and parts of one collective have the same.
    pub sequence: u64,
    /// Whether it is a message.
    pub is_message: bool,
    /// When it was entered, ns since 1970; 0: it is not known.
    pub created_ns: u64,
    /// Of all tensors that go in and come out.
    pub tensors: [Tensors; 2],
    /// How far it has come.
    pub state: State,
    /// Whether it is over, whatever the state: a backend that does not tell when it begins leaves that as it was.
    pub has_ended: bool,
    /// The lines of the program that entered it, innermost first.
    pub frames: Vec<Frame>,
}

/// Tensors that go into a collective or come out of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    /// How many.
    pub count: u32,
    /// The elements of all of them.
    pub elements: u64,
    /// The type of those of the first: `Float`.
    pub element_type: Option<String>,
}

/// How far a collective has come, by the clock of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The process has entered it.
    Scheduled,
    /// It has begun.
    Started,
    /// It has ended.
    Completed,
}

impl State {
    /// As PyTorch calls it.
    pub fn word(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Started => "started",
            State::Completed => "completed",
        }
    }
}

/// A line of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function that it is in.
    pub function: String,
    /// Its file.
    pub file: String,
    /// Its number, from 1.
    pub line: u32,
}

/// Why dumps cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadDumpsError {
    /// The system does not let it.
    #[error("cannot read the flight recorder's dump {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without any.
    #[error(
        "{}: no file in this folder has a name that ends with the number of a rank, as nccl_trace_rank_0 or rank_0.json; name the \
         dumps themselves",
        path.display()
    )]
    NoneInFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Whose it is cannot be told.
    #[error(
        "{}: the name does not end with the number of a rank, as nccl_trace_rank_0 or rank_0.json; rename it",
        path.display()
    )]
    NoRank {
        /// The file.
        path: PathBuf,
    },
    /// It is too large to be one.
    #[error("{}: with {size} bytes it is too large for a dump of the flight recorder", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// Neither form begins so.
    #[error("{}: this is no dump of the flight recorder: it is neither JSON nor a pickle", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// It is cut off or damaged.
    #[error("{}: {source}; take the dump anew, or leave this file out", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Damage,
    },
    /// It is of another time.
    #[error(
        "{}: version {version} of the flight recorder's format is not known here, which is 2; PyTorch 2.4 and later write it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version.
        version: String,
    },
    /// Two say different things of the same.
    #[error(
        "{} and {} are both of rank {rank} and group `{group}`; leave one of them out",
        one.display(),
        other.display()
    )]
    Twice {
        /// The rank.
        rank: u32,
        /// The name of the group.
        group: String,
        /// One file.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
}

/// What is wrong within a dump.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Of one in JSON.
    #[error("the JSON is damaged: {0}")]
    Json(String),
    /// Of a pickle.
    #[error("the pickle is damaged at byte {at}: {what}")]
    Pickle {
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// It is whole, and not what the flight recorder writes.
    #[error("`{name}` of {of} is missing or not {expected}")]
    Field {
        /// Of what it is a part: `the dump`, `entry 3`.
        of: String,
        /// Its name.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}
