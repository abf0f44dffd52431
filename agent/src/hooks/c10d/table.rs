//! The functions of c10d whose names this library exports, and what each of them is.
//!
//! A name that a version of libtorch does not have stays unused: nobody can call it there.

use traincheck_schema::record::CollectiveKind;

/// What a collective is given, by the order of its arguments. In registers come first a hidden pointer to the result and the
/// group, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Tensors that are read and written, and options.
    InPlace,
    /// Lists of tensors that are written, tensors that are read, and options.
    FromLists,
    /// Tensors that are written, lists of tensors that are read, and options.
    ToLists,
    /// Tensors that are written, tensors that are read, and options.
    Tensors,
    /// A tensor that is written, one that is read, and options.
    Single,
    /// The same, with how to split each of them before the options, which come in memory.
    Split,
    /// Tensors that are read, the destination, and a tag.
    Send,
    /// Tensors that are written, the source, and a tag.
    Receive,
    /// Tensors that are written, and a tag.
    ReceiveFromAny,
    /// Options.
    Nothing,
    /// No hidden pointer; options.
    NoResult,
}

/// Which of c10d's structs of options a collective is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Options {
    /// None of them.
    None,
    /// `AllreduceOptions`.
    AllReduce,
    /// `AllreduceCoalescedOptions`.
    AllReduceCoalesced,
    /// `ReduceOptions`.
    Reduce,
    /// `ReduceScatterOptions`.
    ReduceScatter,
    /// `BroadcastOptions`.
    Broadcast,
    /// `GatherOptions`.
    Gather,
    /// `ScatterOptions`.
    Scatter,
    /// `AllgatherOptions`.
    AllGather,
    /// `AllToAllOptions`.
    AllToAll,
    /// `BarrierOptions`.
    Barrier,
}

impl Options {
    /// All structs, in the order in which the proof makes them.
    pub const STRUCTS: [Options; 10] = [
        Options::AllReduce,
        Options::AllReduceCoalesced,
        Options::Reduce,
        Options::ReduceScatter,
        Options::Broadcast,
        Options::Gather,
        Options::Scatter,
        Options::AllGather,
        Options::AllToAll,
        Options::Barrier,
    ];
}

/// A collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// What it does.
    pub kind: CollectiveKind,
    /// What it is given.
    pub shape: Shape,
    /// Its options.
    pub options: Options,
    /// It reduces.
    pub reduces: bool,
}

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// A collective of `ProcessGroupGloo`, which is a virtual method.
    Method(Method),
    /// The constructor of `ProcessGroupGloo`.
    GroupMade,
    /// `ProcessGroup::setGroupName`.
    GroupNamed,
    /// `ProcessGroup::setGroupDesc`, which comes after that.
    GroupDescribed,
    /// A constructor of `Work`, the handle of a collective.
    WorkMade,
    /// What gloo's kind of `Work` calls when all is done, before its future and its handle end.
    WorkDone,
    /// `Work::finish` and `finishAndThrow`.
    WorkEnded,
    /// `wait` of a kind of `Work`.
    WorkWaited,
    /// `getFuture` of gloo's kind of `Work`, with a hidden pointer to the result.
    FutureTaken,
}

use CollectiveKind as Kind;
use Function::{
    FutureTaken, GroupDescribed, GroupMade, GroupNamed, WorkDone, WorkEnded, WorkMade, WorkWaited,
};

const fn method(kind: Kind, shape: Shape, options: Options) -> Function {
    Function::Method(Method { kind, shape, options, reduces: false })
}

const fn reduction(kind: Kind, shape: Shape, options: Options) -> Function {
    Function::Method(Method { kind, shape, options, reduces: true })
}

/// One of them.
pub struct Interposed {
    /// Its name, as the linker knows it.
    pub symbol: &'static std::ffi::CStr,
    /// What it is.
    pub function: Function,
    /// What takes its place.
    pub stub: unsafe extern "C-unwind" fn(),
}

super::stubs::interpose! {
    0 all_reduce "_ZN4c10d16ProcessGroupGloo9allreduceERSt6vectorIN2at6TensorESaIS3_EERKNS_16AllreduceOptionsE"
        = reduction(Kind::AllReduce, Shape::InPlace, Options::AllReduce);
    1 all_reduce_coalesced "_ZN4c10d16ProcessGroupGloo19allreduce_coalescedERSt6vectorIN2at6TensorESaIS3_EERKNS_25AllreduceCoalescedOptionsE"
        = reduction(Kind::AllReduceCoalesced, Shape::InPlace, Options::AllReduceCoalesced);
    2 all_reduce_sparse "_ZN4c10d16ProcessGroupGloo16allreduce_sparseERSt6vectorIN2at6TensorESaIS3_EERKNS_16AllreduceOptionsE"
        = reduction(Kind::AllReduceSparse, Shape::InPlace, Options::AllReduce);
    3 broadcast "_ZN4c10d16ProcessGroupGloo9broadcastERSt6vectorIN2at6TensorESaIS3_EERKNS_16BroadcastOptionsE"
        = method(Kind::Broadcast, Shape::InPlace, Options::Broadcast);
    4 reduce "_ZN4c10d16ProcessGroupGloo6reduceERSt6vectorIN2at6TensorESaIS3_EERKNS_13ReduceOptionsE"
        = reduction(Kind::Reduce, Shape::InPlace, Options::Reduce);
    5 all_gather "_ZN4c10d16ProcessGroupGloo9allgatherERSt6vectorIS1_IN2at6TensorESaIS3_EESaIS5_EERS5_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGather, Shape::FromLists, Options::AllGather);
    6 all_gather_base "_ZN4c10d16ProcessGroupGloo15_allgather_baseERN2at6TensorES3_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGatherIntoTensor, Shape::Single, Options::AllGather);
    // The names from torch 2.15 on of what had other ones before.
    7 all_gather_single "_ZN4c10d16ProcessGroupGloo17all_gather_singleERN2at6TensorES3_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGatherIntoTensor, Shape::Single, Options::AllGather);
    8 all_gather_coalesced "_ZN4c10d16ProcessGroupGloo19allgather_coalescedERSt6vectorIS1_IN2at6TensorESaIS3_EESaIS5_EERS5_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGatherCoalesced, Shape::FromLists, Options::AllGather);
    9 all_gather_into_tensor_coalesced "_ZN4c10d16ProcessGroupGloo31allgather_into_tensor_coalescedERSt6vectorIN2at6TensorESaIS3_EES6_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGatherIntoTensorCoalesced, Shape::Tensors, Options::AllGather);
    10 all_gather_single_coalesced "_ZN4c10d16ProcessGroupGloo27all_gather_single_coalescedERSt6vectorIN2at6TensorESaIS3_EES6_RKNS_16AllgatherOptionsE"
        = method(Kind::AllGatherIntoTensorCoalesced, Shape::Tensors, Options::AllGather);
    11 reduce_scatter "_ZN4c10d16ProcessGroupGloo14reduce_scatterERSt6vectorIN2at6TensorESaIS3_EERS1_IS5_SaIS5_EERKNS_20ReduceScatterOptionsE"
        = reduction(Kind::ReduceScatter, Shape::ToLists, Options::ReduceScatter);
    12 reduce_scatter_base "_ZN4c10d16ProcessGroupGloo20_reduce_scatter_baseERN2at6TensorES3_RKNS_20ReduceScatterOptionsE"
        = reduction(Kind::ReduceScatterTensor, Shape::Single, Options::ReduceScatter);
    13 reduce_scatter_single "_ZN4c10d16ProcessGroupGloo21reduce_scatter_singleERN2at6TensorES3_RKNS_20ReduceScatterOptionsE"
        = reduction(Kind::ReduceScatterTensor, Shape::Single, Options::ReduceScatter);
    14 reduce_scatter_tensor_coalesced "_ZN4c10d16ProcessGroupGloo31reduce_scatter_tensor_coalescedERSt6vectorIN2at6TensorESaIS3_EES6_RKNS_20ReduceScatterOptionsE"
        = reduction(Kind::ReduceScatterTensorCoalesced, Shape::Tensors, Options::ReduceScatter);
    15 reduce_scatter_single_coalesced "_ZN4c10d16ProcessGroupGloo31reduce_scatter_single_coalescedERSt6vectorIN2at6TensorESaIS3_EES6_RKNS_20ReduceScatterOptionsE"
        = reduction(Kind::ReduceScatterTensorCoalesced, Shape::Tensors, Options::ReduceScatter);
    16 all_to_all "_ZN4c10d16ProcessGroupGloo8alltoallERSt6vectorIN2at6TensorESaIS3_EES6_RKNS_15AllToAllOptionsE"
        = method(Kind::AllToAll, Shape::Tensors, Options::AllToAll);
    17 all_to_all_base "_ZN4c10d16ProcessGroupGloo13alltoall_baseERN2at6TensorES3_RSt6vectorIlSaIlEES7_RKNS_15AllToAllOptionsE"
        = method(Kind::AllToAllSingle, Shape::Split, Options::AllToAll);
    18 all_to_all_single "_ZN4c10d16ProcessGroupGloo17all_to_all_singleERN2at6TensorES3_RSt6vectorIlSaIlEES7_RKNS_15AllToAllOptionsE"
        = method(Kind::AllToAllSingle, Shape::Split, Options::AllToAll);
    19 gather "_ZN4c10d16ProcessGroupGloo6gatherERSt6vectorIS1_IN2at6TensorESaIS3_EESaIS5_EERS5_RKNS_13GatherOptionsE"
        = method(Kind::Gather, Shape::FromLists, Options::Gather);
    20 scatter "_ZN4c10d16ProcessGroupGloo7scatterERSt6vectorIN2at6TensorESaIS3_EERS1_IS5_SaIS5_EERKNS_14ScatterOptionsE"
        = method(Kind::Scatter, Shape::ToLists, Options::Scatter);
    21 send "_ZN4c10d16ProcessGroupGloo4sendERSt6vectorIN2at6TensorESaIS3_EEii"
        = method(Kind::Send, Shape::Send, Options::None);
    22 receive "_ZN4c10d16ProcessGroupGloo4recvERSt6vectorIN2at6TensorESaIS3_EEii"
        = method(Kind::Recv, Shape::Receive, Options::None);
    23 receive_from_any "_ZN4c10d16ProcessGroupGloo13recvAnysourceERSt6vectorIN2at6TensorESaIS3_EEi"
        = method(Kind::RecvAnySource, Shape::ReceiveFromAny, Options::None);
    24 barrier "_ZN4c10d16ProcessGroupGloo7barrierERKNS_14BarrierOptionsE"
        = method(Kind::Barrier, Shape::Nothing, Options::Barrier);
    25 monitored_barrier "_ZN4c10d16ProcessGroupGloo16monitoredBarrierERKNS_14BarrierOptionsEb"
        = method(Kind::MonitoredBarrier, Shape::NoResult, Options::Barrier);
    26 group_made "_ZN4c10d16ProcessGroupGlooC1ERKN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_typeIS3_EEEEiiNS2_INS0_7OptionsENS5_ISA_EEEE"
        = GroupMade;
    27 group_named "_ZN4c10d12ProcessGroup12setGroupNameERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
        = GroupNamed;
    // Of builds with the strings of libstdc++ before GCC 5: PyPI's wheels up to torch 2.6.
    28 group_named_before "_ZN4c10d12ProcessGroup12setGroupNameERKSs"
        = GroupNamed;
    29 work_made "_ZN4c10d4WorkC2EiNS_6OpTypeEPKcRKSt8optionalISt6vectorIN2at6TensorESaIS7_EEE"
        = WorkMade;
    30 work_ended "_ZN4c10d4Work6finishENSt15__exception_ptr13exception_ptrE"
        = WorkEnded;
    31 work_ended_and_told "_ZN4c10d4Work14finishAndThrowENSt15__exception_ptr13exception_ptrE"
        = WorkEnded;
    32 work_waited "_ZN4c10d4Work4waitENSt6chrono8durationIlSt5ratioILl1ELl1000EEEE"
        = WorkWaited;
    33 send_waited "_ZN4c10d16ProcessGroupGloo8SendWork4waitENSt6chrono8durationIlSt5ratioILl1ELl1000EEEE"
        = WorkWaited;
    34 receive_waited "_ZN4c10d16ProcessGroupGloo8RecvWork4waitENSt6chrono8durationIlSt5ratioILl1ELl1000EEEE"
        = WorkWaited;
    35 future_taken "_ZN4c10d16ProcessGroupGloo9AsyncWork9getFutureEv"
        = FutureTaken;
    36 group_described "_ZN4c10d12ProcessGroup12setGroupDescERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
        = GroupDescribed;
    37 group_described_before "_ZN4c10d12ProcessGroup12setGroupDescERKSs"
        = GroupDescribed;
    38 work_done "_ZN4c10d16ProcessGroupGloo9AsyncWork14finishWorkGlooEv"
        = WorkDone;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_interposed_is_in_the_order_of_its_numbers_and_named_once() {
        for (number, one) in INTERPOSED.iter().enumerate() {
            assert!(INTERPOSED.iter().take(number).all(|other| other.symbol != one.symbol));
            assert!(INTERPOSED.iter().take(number).all(|other| other.stub as usize != one.stub as usize));
        }
    }
}
