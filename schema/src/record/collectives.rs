//! What processes of a job do together: collectives, and what they send each other.

use super::{COLLECTIVE_KIND, COLLECTIVE_SIZE, UnknownCase};
#[cfg(doc)]
use super::{DictKind, Event};

/// What happened to a collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CollectiveEvent {
    /// The process began to take part in it.
    Issued = 1,
    /// It has ended in this process. Where one consists of several that the backend makes of it, after each time that all
    /// of those so far have ended: the last record counts.
    Completed = 2,
    /// It has ended with an error.
    Failed = 3,
    /// The process waits for it from here on, or makes sure that it has ended.
    Waited = 4,
    /// Somebody takes the future of its handle: that this is waited for is not seen.
    FutureTaken = 5,
}

/// What a collective does, in the words of `torch.distributed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum CollectiveKind {
    /// None of those below.
    #[default]
    Other = 0,
    /// `all_reduce`.
    AllReduce = 1,
    /// `all_reduce_coalesced`.
    AllReduceCoalesced = 2,
    /// `all_reduce` of sparse tensors.
    AllReduceSparse = 3,
    /// `broadcast`.
    Broadcast = 4,
    /// `reduce`.
    Reduce = 5,
    /// `all_gather`.
    AllGather = 6,
    /// `all_gather_into_tensor`.
    AllGatherIntoTensor = 7,
    /// `all_gather_coalesced`.
    AllGatherCoalesced = 8,
    /// `all_gather_into_tensor_coalesced`.
    AllGatherIntoTensorCoalesced = 9,
    /// `reduce_scatter`.
    ReduceScatter = 10,
    /// `reduce_scatter_tensor`.
    ReduceScatterTensor = 11,
    /// `reduce_scatter_tensor_coalesced`.
    ReduceScatterTensorCoalesced = 12,
    /// `all_to_all`.
    AllToAll = 13,
    /// `all_to_all_single`.
    AllToAllSingle = 14,
    /// `gather`.
    Gather = 15,
    /// `scatter`.
    Scatter = 16,
    /// `send`, `isend`.
    Send = 17,
    /// `recv`, `irecv`.
    Recv = 18,
    /// `recv` from whoever sends.
    RecvAnySource = 19,
    /// `barrier`.
    Barrier = 20,
    /// `monitored_barrier`.
    MonitoredBarrier = 21,
}

impl CollectiveKind {
    /// The name of the function that does it.
    pub fn word(self) -> &'static str {
        match self {
            CollectiveKind::Other => "other",
            CollectiveKind::AllReduce => "all_reduce",
            CollectiveKind::AllReduceCoalesced => "all_reduce_coalesced",
            CollectiveKind::AllReduceSparse => "all_reduce_sparse",
            CollectiveKind::Broadcast => "broadcast",
            CollectiveKind::Reduce => "reduce",
            CollectiveKind::AllGather => "all_gather",
            CollectiveKind::AllGatherIntoTensor => "all_gather_into_tensor",
            CollectiveKind::AllGatherCoalesced => "all_gather_coalesced",
            CollectiveKind::AllGatherIntoTensorCoalesced => "all_gather_into_tensor_coalesced",
            CollectiveKind::ReduceScatter => "reduce_scatter",
            CollectiveKind::ReduceScatterTensor => "reduce_scatter_tensor",
            CollectiveKind::ReduceScatterTensorCoalesced => "reduce_scatter_tensor_coalesced",
            CollectiveKind::AllToAll => "all_to_all",
            CollectiveKind::AllToAllSingle => "all_to_all_single",
            CollectiveKind::Gather => "gather",
            CollectiveKind::Scatter => "scatter",
            CollectiveKind::Send => "send",
            CollectiveKind::Recv => "recv",
            CollectiveKind::RecvAnySource => "recv_any_source",
            CollectiveKind::Barrier => "barrier",
            CollectiveKind::MonitoredBarrier => "monitored_barrier",
        }
    }

    /// Whether it is between two processes, and not of all of a group. Those are counted apart.
    pub fn is_point_to_point(self) -> bool {
        matches!(self, CollectiveKind::Send | CollectiveKind::Recv | CollectiveKind::RecvAnySource)
    }
}

/// How a collective that reduces makes one value of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ReduceKind {
    /// It does not reduce.
    #[default]
    None = 0,
    /// `SUM`.
    Sum = 1,
    /// `AVG`.
    Avg = 2,
    /// `PRODUCT`.
    Product = 3,
    /// `MIN`.
    Min = 4,
    /// `MAX`.
    Max = 5,
    /// `BAND`.
    Band = 6,
    /// `BOR`.
    Bor = 7,
    /// `BXOR`.
    Bxor = 8,
    /// `PREMUL_SUM`.
    PremulSum = 9,
    /// It reduces, and how could not be read.
    Unknown = 255,
}

impl ReduceKind {
    /// As `torch.distributed.ReduceOp` names it, in small letters.
    pub fn word(self) -> &'static str {
        match self {
            ReduceKind::None => "none",
            ReduceKind::Sum => "sum",
            ReduceKind::Avg => "avg",
            ReduceKind::Product => "product",
            ReduceKind::Min => "min",
            ReduceKind::Max => "max",
            ReduceKind::Band => "band",
            ReduceKind::Bor => "bor",
            ReduceKind::Bxor => "bxor",
            ReduceKind::PremulSum => "premul_sum",
            ReduceKind::Unknown => "unknown",
        }
    }
}

/// [`Collective::element_type`] of one that has no tensors, or of whose tensors nothing is known.
pub const NO_ELEMENT_TYPE: u8 = u8::MAX;

/// Bits of [`Collective::flags`].
pub mod collective {
    /// It was asked for without waiting for its end.
    pub const ASYNC: u16 = 1 << 0;
    /// Whoever asked for it waits for its end at once. Neither bit: not known.
    pub const BLOCKING: u16 = 1 << 1;
    /// Its tensors have elements of several types; that of the first is recorded.
    pub const MIXED_TYPES: u16 = 1 << 2;
    /// What it is given could not be read in full: the numbers of elements are those of what could.
    pub const PARTLY_READ: u16 = 1 << 3;
    /// `hash_low`, `hash_high` and `l2` are those of its contents.
    pub const CONTENTS: u16 = 1 << 4;
    /// `sum` is, too: the elements are real numbers, and all of them finite.
    pub const SUM: u16 = 1 << 5;
}

/// One thing that happened to a collective in this process. 128 bytes.
///
/// All records of one collective have the same `number`, and repeat what the first one says of it; time, thread,
/// iteration, step, stage and contents are those of the event itself: at its issue, of what this process puts in; when it has ended, of
/// what it got.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Collective {
    /// Size of the record in the ring, in bytes: [`COLLECTIVE_SIZE`].
    pub size: u16,
    /// Always [`COLLECTIVE_KIND`]: tells it from an [`Event`] in a ring.
    pub kind: u8,
    /// A [`CollectiveEvent`].
    pub event: u8,
    /// A [`super::Stage`].
    pub stage: u8,
    /// A [`CollectiveKind`].
    pub op: u8,
    /// As in [`Event::thread`].
    pub thread: u16,
    /// As in [`Event::time`].
    pub time: u64,
    /// The recorded call that issued it; 0: none.
    pub call: u64,
    /// Unique in the process, from 1: in the order in which the process issued them.
    pub number: u64,
    /// As in [`Event::iteration`].
    pub iteration: u32,
    /// As in [`Event::step`].
    pub step: u32,
    /// Dictionary id of a [`DictKind::ProcessGroup`].
    pub group: u32,
    /// Its place among the collectives of the group in this process, from 1, in the order in which they were issued. What
    /// is sent and received ([`CollectiveKind::is_point_to_point`]) is counted apart from what all take part in.
    pub sequence: u32,
    /// Elements of all tensors that this process puts in.
    pub elements_in: u64,
    /// Elements of all tensors in which it gets something; where these are those that it puts in, the same.
    pub elements_out: u64,
    /// Rank in the group of the root, of the destination or of the source; -1: there is none, or it is not known.
    pub peer: i32,
    /// What tells messages between the same two processes apart; -1: there is none.
    pub tag: i32,
    /// How many tensors this process puts in, or gets something in where it puts in none.
    pub tensors: u32,
    /// Of [`collective`].
    pub flags: u16,
    /// A [`ReduceKind`].
    pub reduce: u8,
    /// The number of the `c10::ScalarType` of the elements, see [`element_type_name`], or [`NO_ELEMENT_TYPE`].
    pub element_type: u8,
    /// Low half of the hash of the contents of all tensors, in order. Equal contents have equal hashes, in every process. 0 where
    /// contents were not looked at, as the three fields behind it.
    pub hash_low: u64,
    /// High half.
    pub hash_high: u64,
    /// Sum of all elements, of floating-point tensors whose elements are all finite.
    pub sum: f64,
    /// Square root of the sum of squares of the finite elements.
    pub l2: f32,
    /// Of what is sent or received: its place, from 1, among what this process has sent to, or received from, the same peer with the
    /// same tag. What is sent as the n-th is received as the n-th. 0: not known.
    pub message: u32,
    /// Reserved, zero.
    pub reserved: [u64; 2],
}

impl Collective {
    /// Nothing happened: what a record begins as.
    pub const EMPTY: Collective = Collective {
        size: COLLECTIVE_SIZE as u16,
        kind: COLLECTIVE_KIND,
        event: 0,
        stage: 0,
        op: 0,
        thread: 0,
        time: 0,
        call: 0,
        number: 0,
        iteration: 0,
        step: 0,
        group: 0,
        sequence: 0,
        elements_in: 0,
        elements_out: 0,
        peer: -1,
        tag: -1,
        tensors: 0,
        flags: 0,
        reduce: 0,
        element_type: NO_ELEMENT_TYPE,
        hash_low: 0,
        hash_high: 0,
        sum: 0.0,
        l2: 0.0,
        message: 0,
        reserved: [0; 2],
    };

    /// Whether all of `bits` of [`collective`] are set.
    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits == bits
    }
}

/// PyTorch's name of a type of elements, without `torch.`; `None` where the number is none that has one here.
pub fn element_type_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "uint8",
        1 => "int8",
        2 => "int16",
        3 => "int32",
        4 => "int64",
        5 => "float16",
        6 => "float32",
        7 => "float64",
        8 => "complex32",
        9 => "complex64",
        10 => "complex128",
        11 => "bool",
        15 => "bfloat16",
        23 => "float8_e5m2",
        24 => "float8_e4m3fn",
        25 => "float8_e5m2fnuz",
        26 => "float8_e4m3fnuz",
        27 => "uint16",
        28 => "uint32",
        29 => "uint64",
        44 => "float8_e8m0fnu",
        _ => return None,
    })
}

from_number!(CollectiveEvent: u8 { Issued, Completed, Failed, Waited, FutureTaken });
from_number!(CollectiveKind: u8 {
    Other, AllReduce, AllReduceCoalesced, AllReduceSparse, Broadcast, Reduce, AllGather, AllGatherIntoTensor,
    AllGatherCoalesced, AllGatherIntoTensorCoalesced, ReduceScatter, ReduceScatterTensor, ReduceScatterTensorCoalesced,
    AllToAll, AllToAllSingle, Gather, Scatter, Send, Recv, RecvAnySource, Barrier, MonitoredBarrier,
});
from_number!(ReduceKind: u8 { None, Sum, Avg, Product, Min, Max, Band, Bor, Bxor, PremulSum, Unknown });
