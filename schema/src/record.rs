//! The records of a trace: what the agent writes into its rings and what a reader gives back.
//!
//! A trace is four streams that share one clock. [`Event`]s are things that happened: a call was entered or
//! left, an iteration began. [`State`]s are what a look at a variable found. [`Argument`]s are what calls were given
//! and what they gave back. [`Collective`]s are what became of what processes do together. Names, places and objects are numbers into the dictionary of the process ([`DictEntry`]);
//! id 0 is always "none".

/// A number from a trace that is no known case of an enum: written by a newer minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCase(pub u16);

macro_rules! from_number {
    ($enum:ident: $number:ty { $($case:ident),+ $(,)? }) => {
        impl $enum {
            /// All of them, in the order of their numbers, which begin with that of the first.
            pub const ALL: &[$enum] = &[$($enum::$case),+];
        }

        impl TryFrom<$number> for $enum {
            type Error = UnknownCase;
            fn try_from(number: $number) -> Result<Self, UnknownCase> {
                $(if number == $enum::$case as $number { return Ok($enum::$case); })+
                Err(UnknownCase(number as u16))
            }
        }
    };
}

mod argument;
mod collectives;

pub use argument::{Argument, ArgumentKind, Direction, tensor};
pub use collectives::{
    Collective, CollectiveEvent, CollectiveKind, NO_ELEMENT_TYPE, ReduceKind, collective, element_type_name,
};

/// Bits of [`Event::flags`].
pub mod flags {
    /// Gradients were enabled in the thread (`torch.is_grad_enabled()`).
    pub const GRAD: u16 = 1 << 0;
    /// The module that is called is known to be in training mode.
    pub const MODULE_TRAIN: u16 = 1 << 1;
    /// The module that is called is known to be in evaluation mode. Neither bit: not a module call.
    pub const MODULE_EVAL: u16 = 1 << 2;
    /// An autocast region was active.
    pub const AUTOCAST: u16 = 1 << 3;
    /// `torch.inference_mode` was active.
    pub const INFERENCE: u16 = 1 << 4;
    /// On an [`super::EventKind::Exit`]: the call was left by an exception.
    pub const RAISED: u16 = 1 << 5;
    /// A module call with no other module call around it.
    pub const OUTERMOST: u16 = 1 << 6;
    /// The iteration is one of those in which every op is recorded.
    pub const ALL_OPS: u16 = 1 << 7;
    /// The call runs inside the construction of an object (`__init__`); it says nothing about cadence.
    pub const IN_INIT: u16 = 1 << 8;
}

/// What part of the job an event belongs to. Derived by the agent from grad mode, module calls, mode changes
/// and saves; never from the script's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Before the first iteration.
    #[default]
    Init = 0,
    /// In an iteration.
    Training = 1,
    /// After `Module.eval()`, or from a call without gradients of a model that the iteration has trained.
    Evaluation = 2,
    /// In `torch.save`, and what calls it in libraries.
    Checkpointing = 3,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// A Python call was entered. `name`: the function; `site`: the line of the user's code it came from.
    Enter = 1,
    /// The call `call` was left; the other fields repeat those of its [`EventKind::Enter`].
    Exit = 2,
    /// An op, autograd node or user scope of libtorch began. `name`: an op.
    OpEnter = 3,
    /// It ended.
    OpExit = 4,
    /// Iteration `iteration` begins here: the next event is the module call that began it. `value`: its micro-step,
    /// that is how many iterations in a row have had no step before it.
    Iteration = 5,
    /// The stage changed to `stage`.
    Stage = 6,
    /// The object `object` was constructed (optimizer, scheduler, loader, scaler, root module); `value`: for an
    /// optimizer or scheduler with an optimizer, that optimizer's object id, else 0.
    Created = 7,
    /// Variables were looked at; [`State`] records of it carry the same `call` and time. `value`: [`look`] bits. States
    /// of kinds of variables from [`VariableKind::OptimizerState`] on belong to none.
    /// `name`: the function at whose entry or return it was (0: the end of an iteration).
    Look = 8,
    /// The function `name` is called too often and is no longer recorded from here on; `value`: calls so far.
    Thinned = 9,
    /// A hook was switched off or could not be installed; `name`: a note that says which and why. `value`: 1 if calls that
    /// it has seen before go unseen from here on.
    HookOff = 10,
    /// The call `call`, a generator's or a coroutine's, is suspended: it is on no stack until it is resumed, and never
    /// left if it is not. Repeats the fields of its [`EventKind::Enter`]; `parent`: the call that is around it now.
    Suspend = 11,
    /// It goes on, perhaps in another thread. `parent`: the call that resumed it.
    Resume = 12,
    /// The recording pauses, of all calls or of some, see [`pause`]; `value`: why. What happens from here to the
    /// [`EventKind::Resumed`] that ends it was not seen, and what is open is cut. Several can be in force at a time.
    Paused = 20,
    /// It goes on. `value`: the iterations that are known to have gone unseen, counted by announced optimizer steps.
    Resumed = 21,
    /// For the sake of the budget variables are looked at in one of `value` iterations from here on.
    LooksSpaced = 22,
    /// Before the first iteration, the parameter `value` (the dictionary id of a variable) was filled in place by `name`,
    /// a function of `torch.nn.init` or an op, in the call `call`; `site`: where that came from. Said when the parameter
    /// is first looked at, in the order in which it was filled.
    Filled = 23,
}

/// What [`Event::value`] of a [`EventKind::Paused`] says.
pub mod pause {
    /// For the sake of the budget: no call is seen.
    pub const BUDGET: u64 = 0;
    /// The calls of this thread are nested deeper than the agent follows them: deeper ones are not seen.
    pub const NESTED: u64 = 1;
    /// A thread has nearly used up its stack: no call is seen.
    pub const STACK: u64 = 2;
}

/// Bits of [`Event::value`] of a [`EventKind::Look`]: which attributes were looked at, on every known variable.
pub mod look {
    /// Contents of parameters.
    pub const PARAMETERS: u64 = 1 << 0;
    /// Contents of buffers.
    pub const BUFFERS: u64 = 1 << 1;
    /// Contents of gradients.
    pub const GRADIENTS: u64 = 1 << 2;
    /// Hyperparameters of optimizers.
    pub const HYPERPARAMETERS: u64 = 1 << 3;
    /// The look was at the entry of the call `name`, not at its return.
    pub const AT_ENTRY: u64 = 1 << 4;
}

/// One thing that happened. 64 bytes, one cache line, the same in memory, in a ring and to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Size of the record in the ring, in bytes: [`EVENT_SIZE`].
    pub size: u16,
    /// An [`EventKind`].
    pub kind: u8,
    /// A [`Stage`].
    pub stage: u8,
    /// Of [`flags`].
    pub flags: u16,
    /// Which thread, by order of its first event in the process. Filled in by the reader of the ring.
    pub thread: u16,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The iteration, from 1; 0 before the first.
    pub iteration: u32,
    /// How many iterations had seen an optimizer step when this happened.
    pub step: u32,
    /// The call this event is, or, where it is none, the enclosing one. From 1, unique in the process.
    pub call: u64,
    /// The enclosing recorded call in the same thread; 0 at the top.
    pub parent: u64,
    /// Dictionary id; what it names depends on `kind`.
    pub name: u32,
    /// Dictionary id of a [`DictKind::Site`], or 0.
    pub site: u32,
    /// Dictionary id of a [`DictKind::Object`] (an optimizer's, scheduler's, loader's or module's method call), or 0.
    pub object: u32,
    /// Dictionary id of a [`DictKind::Context`]: what else was set differently from PyTorch's defaults; 0: nothing,
    /// or it is not known. Of calls and ops only.
    pub context: u32,
    /// Depends on `kind`.
    pub value: u64,
}

/// Which attribute of a variable a [`State`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Attribute {
    /// The contents of the tensor.
    Data = 1,
    /// The contents of its gradient; [`ValueKind::None`] where it has none.
    Grad = 2,
    /// Whether it requires a gradient: [`ValueKind::Bool`].
    RequiresGrad = 3,
    /// Identity of its storage, [`ValueKind::Int`]: a small number, equal for tensors that share one storage.
    Storage = 4,
    /// Which optimizers hold it, [`ValueKind::Text`]: their object ids in ascending order, comma-separated; empty: none.
    HeldBy = 5,
    /// Which root modules reach it, [`ValueKind::Text`]: object ids as above; empty: none (an optimizer holds it).
    ReachedFrom = 6,
    /// What a variable that is no tensor is: a number, a flag, a text. A tensor without dimensions counts as a number.
    Value = 7,
    /// Its shape and dtype as text, `[64, 3, 3, 3] float32`.
    Shape = 8,
    /// `training` flag of a root module (the variable is of [`VariableKind::Mode`]): [`ValueKind::Bool`].
    Training = 9,
}

/// How to read the value of a [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ValueKind {
    /// No value: `None`, an undefined tensor.
    None = 0,
    /// `int` is 0 or 1.
    Bool = 1,
    /// `int`.
    Int = 2,
    /// `float`.
    Float = 3,
    /// `text`, a dictionary id of [`DictKind::Text`].
    Text = 4,
    /// The fields of the fingerprint.
    Tensor = 5,
    /// A tensor that cannot be read here (device, layout, subclass): no claim about its contents.
    Unreadable = 6,
}

/// What a look at one attribute of one variable found. 128 bytes.
///
/// "Changed" means: two successive looks at the same attribute found different values. A look is a full one
/// (whole tensor) or there is no record; so two records prove a change as well as its absence.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct State {
    /// Size of the record in the ring, in bytes: [`STATE_SIZE`].
    pub size: u16,
    /// Always [`STATE_KIND`]: tells it from an [`Event`] in a ring.
    pub kind: u8,
    /// A [`Stage`].
    pub stage: u8,
    /// An [`Attribute`].
    pub attribute: u8,
    /// A [`ValueKind`].
    pub value_kind: u8,
    /// As in [`Event::thread`].
    pub thread: u16,
    /// Nanoseconds, as in [`Event::time`]: that of the look.
    pub time: u64,
    /// As in [`Event::iteration`].
    pub iteration: u32,
    /// As in [`Event::step`].
    pub step: u32,
    /// The call at whose entry or return the look was (that of the [`EventKind::Look`] event).
    pub call: u64,
    /// When this attribute was last looked at before, ns; 0: never. The change, if any, lies between.
    pub since: u64,
    /// Dictionary id of a [`DictKind::Variable`].
    pub variable: u32,
    /// Dictionary id of a [`DictKind::Text`] for [`ValueKind::Text`], else 0.
    pub text: u32,
    /// Value of [`ValueKind::Bool`] and [`ValueKind::Int`].
    pub int: i64,
    /// Value of [`ValueKind::Float`].
    pub float: f64,
    /// 128-bit content hash of a tensor, low half. Equal contents give equal bits whatever strides or path.
    pub hash_low: u64,
    /// High half.
    pub hash_high: u64,
    /// How many elements are NaN.
    pub nan: u32,
    /// How many are infinite.
    pub inf: u32,
    /// How many are zero.
    pub zeros: u64,
    /// How many there are.
    pub elements: u64,
    /// The smallest finite element.
    pub min: f32,
    /// The largest finite element.
    pub max: f32,
    /// Square root of the sum of squares of the finite elements.
    pub l2: f32,
    /// The function at whose entry or return the look was, as [`Event::name`] of the [`EventKind::Look`]; 0: the
    /// end of an iteration.
    pub point: u32,
    /// Reserved, zero.
    pub reserved: u64,
}

/// `size_of::<Event>()`.
pub const EVENT_SIZE: usize = 64;
/// `size_of::<State>()`.
pub const STATE_SIZE: usize = 128;
/// `size_of::<Argument>()`.
pub const ARGUMENT_SIZE: usize = 64;
/// `size_of::<Collective>()`.
pub const COLLECTIVE_SIZE: usize = 128;
/// The `kind` byte of a [`State`] in a ring.
pub const STATE_KIND: u8 = 200;
/// The `kind` byte of a [`DictEntry`] in the ring of the dictionary.
pub const DICT_KIND: u8 = 201;
/// The `kind` byte of a record that only fills the space to the end of the ring.
pub const PAD_KIND: u8 = 202;
/// The `kind` byte of an [`Argument`] in a ring.
pub const ARGUMENT_KIND: u8 = 203;
/// The `kind` byte of a [`Collective`] in a ring.
pub const COLLECTIVE_KIND: u8 = 204;

const _: () = assert!(
    size_of::<Event>() == EVENT_SIZE
        && size_of::<State>() == STATE_SIZE
        && size_of::<Argument>() == ARGUMENT_SIZE
        && size_of::<Collective>() == COLLECTIVE_SIZE
);

impl Event {
    /// Nothing happened: what a record begins as.
    pub const EMPTY: Event = Event {
        size: EVENT_SIZE as u16,
        kind: 0,
        stage: 0,
        flags: 0,
        thread: 0,
        time: 0,
        iteration: 0,
        step: 0,
        call: 0,
        parent: 0,
        name: 0,
        site: 0,
        object: 0,
        context: 0,
        value: 0,
    };
}

impl State {
    /// Nothing was found: what a record begins as.
    pub const EMPTY: State = State {
        size: STATE_SIZE as u16,
        kind: STATE_KIND,
        stage: 0,
        attribute: 0,
        value_kind: 0,
        thread: 0,
        time: 0,
        iteration: 0,
        step: 0,
        call: 0,
        since: 0,
        variable: 0,
        text: 0,
        int: 0,
        float: 0.0,
        hash_low: 0,
        hash_high: 0,
        nan: 0,
        inf: 0,
        zeros: 0,
        elements: 0,
        min: 0.0,
        max: 0.0,
        l2: 0.0,
        point: 0,
        reserved: 0,
    };
}

/// What a dictionary entry names. Ids of all kinds come from one counter, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DictKind {
    /// A Python function: `text` its name (`torch.optim.adamw.AdamW.step`), `detail` a [`Role`], `file`, `line`.
    Function = 1,
    /// A place in the user's code: `text` the function's qualified name, `file`, `line`.
    Site = 2,
    /// A variable: `text` its name (`Net.conv1.weight`), `detail` a [`VariableKind`], `owner` the object whose it is.
    Variable = 3,
    /// An object: `text` its name (`AdamW`, `AdamW#2`), `detail` an [`ObjectKind`], `type_name` its full class name.
    Object = 4,
    /// An op, node or user scope of libtorch: `text` its name, `detail` the RecordFunction scope.
    Op = 5,
    /// Any other text.
    Text = 6,
    /// What was set differently from PyTorch's defaults: `autocast(cpu, bfloat16) deterministic`.
    Context = 7,
    /// Processes that do things together: `text` the name of the group, `type_name` its backend (`gloo`), `owner` the rank
    /// of this process in it, `line` how many processes it has, `file` what it was described as (`mesh_tp`). Since version 1.4; `file`
    /// since 1.6.
    ProcessGroup = 8,
}

/// What a recorded function does, as far as the relations care. Assigned by the agent's table of functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Role {
    /// Anything else.
    #[default]
    Other = 0,
    /// A function of the user's own.
    User = 1,
    /// `Module.__call__`.
    ModuleCall = 2,
    /// `Module.train` or `Module.eval`.
    ModeChange = 3,
    /// `Tensor.backward`, `torch.autograd.backward`.
    Backward = 4,
    /// `torch.autograd.grad`.
    AutogradGrad = 5,
    /// `Optimizer.step`.
    OptimizerStep = 6,
    /// `Optimizer.zero_grad`, `Module.zero_grad`.
    ZeroGrad = 7,
    /// `Optimizer.__init__`, `add_param_group`.
    OptimizerInit = 8,
    /// `LRScheduler.step`.
    SchedulerStep = 9,
    /// `LRScheduler.__init__`.
    SchedulerInit = 10,
    /// `clip_grad_norm_`, `clip_grad_value_`.
    ClipGrad = 11,
    /// `GradScaler.scale`.
    ScalerScale = 12,
    /// `GradScaler.unscale_`.
    ScalerUnscale = 13,
    /// `GradScaler.step`.
    ScalerStep = 14,
    /// `GradScaler.update`.
    ScalerUpdate = 15,
    /// `autocast.__enter__`, `__exit__`.
    Autocast = 16,
    /// `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`: enter and exit.
    GradMode = 17,
    /// `DataLoader.__init__`.
    LoaderInit = 18,
    /// `DataLoader.__iter__`: a pass over the loader begins.
    LoaderIter = 19,
    /// `__next__` of a loader's iterator; a pass ends where it raises.
    LoaderNext = 20,
    /// A function of `torch.distributed`.
    Distributed = 21,
    /// `torch.save`.
    Save = 22,
    /// `torch.load`.
    Load = 23,
    /// `load_state_dict` of a module, optimizer or scheduler.
    LoadState = 24,
    /// `state_dict` of one.
    StateDict = 25,
    /// `torch.manual_seed`, `random.seed` and the like.
    Seed = 26,
    /// `Module.requires_grad_`.
    RequiresGrad = 27,
    /// `Module.to`, `cuda`, `half`, ...
    ModuleMove = 28,
    /// `no_sync` of a data-parallel module: while it is suspended, gradients are not reduced over the ranks.
    NoSync = 29,
}

/// What a [`DictKind::Variable`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum VariableKind {
    /// A parameter of a module.
    #[default]
    Parameter = 0,
    /// A buffer of a module.
    Buffer = 1,
    /// A parameter that an optimizer holds and no known module reaches: `AdamW.param_groups[0].params[3]`.
    Unreached = 2,
    /// `lr`, `weight_decay`, ... of one group of an optimizer: `AdamW.param_groups[0].lr`.
    Hyperparameter = 3,
    /// The `training` flag of a root module: `Net.training`.
    Mode = 4,
    /// What an optimizer keeps for a parameter: `AdamW.state[Net.conv1.weight].exp_avg`.
    OptimizerState = 5,
    /// A number, flag or text of a scheduler: `StepLR.last_epoch`, `StepLR.base_lrs[0]`.
    SchedulerState = 6,
    /// The same of a `GradScaler`: `GradScaler._scale`.
    ScalerState = 7,
    /// The state of a stream of random numbers: `torch.default_generator`, `random`, `numpy.random`.
    Rng = 8,
    /// What a backward pass began at: `loss`; from the second place that calls backward on `loss#2`.
    Loss = 9,
    /// A tensor or array of what a loader gave: `DataLoader.batch[0]`, `DataLoader.batch['x']`.
    Batch = 10,
    /// The worker that made a batch, `DataLoader.worker`, its seed, `DataLoader.worker[1].seed`, and the worker whose stream
    /// of random numbers it draws from, `DataLoader.worker[1].numpy.random`.
    Worker = 11,
    /// An attribute that somebody set on a parameter: `Net.conv1.weight.tensor_model_parallel`.
    ParameterAttribute = 12,
}

/// What a [`DictKind::Object`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum ObjectKind {
    /// A module; `type_name` its class. Root modules have a `Created` event, submodules only an entry.
    #[default]
    Module = 0,
    /// An optimizer.
    Optimizer = 1,
    /// A learning-rate scheduler.
    Scheduler = 2,
    /// A `DataLoader`.
    Loader = 3,
    /// A `GradScaler`.
    Scaler = 4,
}

/// One entry of the dictionary of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DictEntry {
    /// From 1; never given twice in a process.
    pub id: u32,
    /// A [`DictKind`] as a number, so that unknown kinds of newer minor versions pass through.
    pub kind: u8,
    /// [`Role`], [`VariableKind`] or [`ObjectKind`], by `kind`.
    pub detail: u16,
    /// First line of a function, or line of a site; 0: unknown. Of a process group, how many processes it has.
    pub line: u32,
    /// Dictionary id of the object it belongs to, or 0. Of a process group, the rank of this process in it.
    pub owner: u32,
    /// The name.
    pub text: String,
    /// Source file, or empty. Of a process group, its description.
    pub file: String,
    /// Class or type, or empty.
    pub type_name: String,
}

from_number!(Stage: u8 { Init, Training, Evaluation, Checkpointing });
from_number!(EventKind: u8 {
    Enter, Exit, OpEnter, OpExit, Iteration, Stage, Created, Look, Thinned, HookOff, Suspend, Resume,
    Paused, Resumed, LooksSpaced, Filled,
});
from_number!(Attribute: u8 { Data, Grad, RequiresGrad, Storage, HeldBy, ReachedFrom, Value, Shape, Training });
from_number!(ValueKind: u8 { None, Bool, Int, Float, Text, Tensor, Unreadable });
from_number!(DictKind: u8 { Function, Site, Variable, Object, Op, Text, Context, ProcessGroup });
from_number!(VariableKind: u16 {
    Parameter, Buffer, Unreached, Hyperparameter, Mode, OptimizerState, SchedulerState, ScalerState, Rng, Loss, Batch,
    Worker, ParameterAttribute,
});
from_number!(ObjectKind: u16 { Module, Optimizer, Scheduler, Loader, Scaler });
from_number!(Role: u16 {
    Other, User, ModuleCall, ModeChange, Backward, AutogradGrad, OptimizerStep, ZeroGrad, OptimizerInit,
    SchedulerStep, SchedulerInit, ClipGrad, ScalerScale, ScalerUnscale, ScalerStep, ScalerUpdate, Autocast,
    GradMode, LoaderInit, LoaderIter, LoaderNext, Distributed, Save, Load, LoadState, StateDict, Seed,
    RequiresGrad, ModuleMove, NoSync,
});
