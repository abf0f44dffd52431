//! What the frames of a segment say apart from records.

/// Who wrote a segment, under what. The first frame of every segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessHeader {
    /// Name of the machine.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// Id of its parent.
    pub parent_pid: u32,
    /// Number of this segment in the process, from 0.
    pub segment_index: u32,
    /// `CLOCK_MONOTONIC` when the segment was begun, nanoseconds.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME` at the same moment, nanoseconds since 1970.
    pub wall_ns: u64,
    /// Version of the agent.
    pub agent_version: String,
    /// Version of Python, or empty.
    pub python_version: String,
    /// Version of PyTorch, or empty.
    pub torch_version: String,
    /// Name of the profile that chose what was recorded.
    pub profile: String,
    /// Path of the program.
    pub executable: String,
    /// Path of the script, or empty.
    pub script: String,
    /// Rank in the job, where one is known.
    pub rank: Option<u32>,
    /// Number of ranks, where it is known.
    pub world_size: Option<u32>,
    /// The launcher that gave it its rank: `torch`, `openmpi`, `mvapich2`, `hydra`, `slurm`; empty: none, or not known.
    /// Since version 1.5, as what follows.
    pub launcher: String,
    /// Rank among those on its node, where it is known.
    pub local_rank: Option<u32>,
    /// Number of its node, from 0, where it is known.
    pub node: Option<u32>,
    /// How many attempts of the job came before this one, where the launcher counts them.
    pub attempt: Option<u32>,
    /// What the job is called, equal in all of its processes; empty: not known.
    pub job: String,
}

/// Why records were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DropReason {
    /// The thread's ring was full.
    RingFull = 1,
    /// The dictionary was, so that something had no name.
    DictionaryFull = 2,
    /// The disk was, or the file could not be written.
    DiskFull = 3,
    /// It happened before recording had begun.
    BeforeStart = 4,
    /// A reason of a newer minor version.
    Unknown = 255,
}

impl DropReason {
    pub(super) fn of(number: u8) -> DropReason {
        use DropReason::{BeforeStart, DictionaryFull, DiskFull, RingFull, Unknown};
        let known = [RingFull, DictionaryFull, DiskFull, BeforeStart];
        known.into_iter().find(|reason| *reason as u8 == number).unwrap_or(Unknown)
    }
}

/// Records that are missing since the block before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Ring (thread) that they would have been in.
    pub ring: u16,
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: DropReason,
}

/// How far a ring has been written to segments: a reader that finds the ring's file goes on from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition {
    /// Index of the ring.
    pub ring: u16,
    /// Everything before it is in this block or an earlier one.
    pub position: u64,
}

/// How a segment was closed. Only the footer of a sealed segment has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Why, as text: `exit`, ... [`Ending::CONTINUED`] says that the next segment goes on, and with
    /// [`Ending::STOPPED`] begins what ended the recording before the process.
    pub reason: String,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
    /// What the recording cost: nanoseconds by kind of hook, and whatever else was counted.
    pub account: Vec<(String, u64)>,
}

impl Ending {
    /// The `reason` of a segment that was closed because it was long; the process goes on in the next one.
    pub const CONTINUED: &'static str = "continued";
    /// With what the `reason` begins of a recording that was stopped by trouble, while its process went on.
    pub const STOPPED: &'static str = "stopped: ";

    /// What the trouble was, if the recording was stopped and the process went on.
    pub fn stopped(&self) -> Option<&str> {
        self.reason.strip_prefix(Ending::STOPPED)
    }
}
