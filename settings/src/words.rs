//! What can be said of the calls of a function, with the words that say it: what the function table of the agent says
//! of functions that it knows, and rules of the settings file of those that it does not.

use traincheck_schema::record::{ObjectKind, Role};

use crate::Profile;
use crate::problem::{did_you_mean, quoted};

/// A choice that has a word for each of its cases.
pub trait Word: Copy + PartialEq + 'static {
    /// What one case is called in messages.
    const NOUN: &'static str;
    /// The words, what they stand for, and what that means, for the guide.
    const ALL: &'static [(&'static str, Self, &'static str)];

    /// The word for this case; empty where there is none.
    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, known, _)| *known == self).map_or("", |(word, ..)| word)
    }

    /// The case that a word stands for.
    ///
    /// # Errors
    /// What is wrong, with all words that are allowed.
    fn read(text: &str) -> Result<Self, String> {
        Self::ALL.iter().find(|(word, ..)| *word == text).map(|(_, found, _)| *found).ok_or_else(|| {
            let words = || Self::ALL.iter().map(|(word, ..)| *word);
            let list = words().collect::<Vec<_>>().join(", ");
            format!(
                "{} is not a valid {}{}; allowed are {list}",
                quoted(text),
                Self::NOUN,
                did_you_mean(text, words())
            )
        })
    }
}

impl Word for Role {
    const NOUN: &'static str = "role";
    const ALL: &'static [(&'static str, Role, &'static str)] = &[
        ("module_call", Role::ModuleCall, "calls a module, as `Module.__call__` does"),
        (
            "mode_change",
            Role::ModeChange,
            "switches modules to training or evaluation, as `Module.train` does",
        ),
        ("module_move", Role::ModuleMove, "changes the device or type of a module, as `Module.to` does"),
        (
            "requires_grad",
            Role::RequiresGrad,
            "freezes or unfreezes parameters, as `Module.requires_grad_` does",
        ),
        ("backward", Role::Backward, "runs the backward pass, as `Tensor.backward` does"),
        (
            "autograd_grad",
            Role::AutogradGrad,
            "computes gradients and returns them, as `torch.autograd.grad`",
        ),
        ("optimizer_init", Role::OptimizerInit, "constructs an optimizer, as `Optimizer.__init__` does"),
        ("optimizer_step", Role::OptimizerStep, "changes parameters, as `Optimizer.step` does"),
        ("zero_grad", Role::ZeroGrad, "clears gradients"),
        ("clip_grad", Role::ClipGrad, "clips gradients"),
        ("scheduler_init", Role::SchedulerInit, "constructs a scheduler, as `LRScheduler.__init__` does"),
        ("scheduler_step", Role::SchedulerStep, "changes hyperparameters, as `LRScheduler.step` does"),
        ("scaler_scale", Role::ScalerScale, "scales the loss, as `GradScaler.scale` does"),
        ("scaler_unscale", Role::ScalerUnscale, "unscales gradients"),
        ("scaler_step", Role::ScalerStep, "steps the optimizer, as `GradScaler.step` does"),
        ("scaler_update", Role::ScalerUpdate, "updates the scale"),
        ("loader_init", Role::LoaderInit, "constructs a loader, as `DataLoader.__init__` does"),
        ("loader_iter", Role::LoaderIter, "begins a pass over a loader: returns its iterator"),
        ("loader_next", Role::LoaderNext, "gives the next batch: `__next__` of a loader's iterator"),
        ("autocast", Role::Autocast, "enters or leaves mixed precision"),
        ("grad_mode", Role::GradMode, "switches gradients on or off"),
        ("distributed", Role::Distributed, "communicates with other ranks"),
        (
            "no_sync",
            Role::NoSync,
            "a generator: while it is suspended, gradients are not reduced over the ranks",
        ),
        ("save", Role::Save, "writes a checkpoint: the stage is checkpointing meanwhile"),
        ("load", Role::Load, "reads a checkpoint"),
        ("load_state", Role::LoadState, "takes over state, as `load_state_dict` does"),
        ("state_dict", Role::StateDict, "gives state, as `state_dict` does"),
        ("seed", Role::Seed, "seeds random numbers"),
        ("user", Role::User, "is the user's own function"),
        ("other", Role::Other, "anything else: it is recorded, no more"),
    ];
}

/// What the first argument of a function, `self`, is, where that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A module.
    Module,
    /// An optimizer.
    Optimizer,
    /// A scheduler.
    Scheduler,
    /// A loader.
    Loader,
    /// An iterator of a loader.
    LoaderIterator,
    /// A gradient scaler.
    Scaler,
}

impl Receiver {
    /// What it is to the trace; an iterator stands for its loader.
    pub const fn kind(self) -> ObjectKind {
        match self {
            Receiver::Module => ObjectKind::Module,
            Receiver::Optimizer => ObjectKind::Optimizer,
            Receiver::Scheduler => ObjectKind::Scheduler,
            Receiver::Loader | Receiver::LoaderIterator => ObjectKind::Loader,
            Receiver::Scaler => ObjectKind::Scaler,
        }
    }
}

impl Word for Receiver {
    const NOUN: &'static str = "kind of object";
    const ALL: &'static [(&'static str, Receiver, &'static str)] = &[
        ("module", Receiver::Module, "a module of PyTorch; it is known once it or one around it was called"),
        (
            "optimizer",
            Receiver::Optimizer,
            "has its parameters and their hyperparameters in `param_groups`, and what it keeps for them in `state`, \
             both laid out as those of `torch.optim.Optimizer`, whose subclass it need not be",
        ),
        ("scheduler", Receiver::Scheduler, "keeps its optimizer as `optimizer`"),
        ("loader", Receiver::Loader, "gives batches"),
        ("loader_iterator", Receiver::LoaderIterator, "what a call with the role `loader_iter` returned"),
        ("scaler", Receiver::Scaler, "scales losses"),
    ];
}

/// A count of open calls: what is around a call is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Module calls.
    ModuleCalls,
    /// Constructions of objects that are followed.
    Constructions,
    /// Steps of optimizers.
    OptimizerSteps,
    /// Backward passes.
    Backwards,
    /// Changes of modules' modes.
    ModeChanges,
}

/// How many counters there are.
pub const COUNTERS: usize = Counter::ALL.len();

impl Word for Counter {
    const NOUN: &'static str = "counter";
    const ALL: &'static [(&'static str, Counter, &'static str)] = &[
        ("module_calls", Counter::ModuleCalls, "calls of modules"),
        (
            "constructions",
            Counter::Constructions,
            "constructions: what runs inside says nothing about cadence",
        ),
        ("optimizer_steps", Counter::OptimizerSteps, "steps of optimizers"),
        ("backwards", Counter::Backwards, "backward passes"),
        ("mode_changes", Counter::ModeChanges, "changes of the mode of modules"),
    ];
}

/// A point at which something is looked at; the table of the agent says what, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObservationPoint {
    /// Entry of an optimizer step.
    BeforeStep = 0,
    /// Its return.
    AfterStep,
    /// Return of a backward pass.
    AfterBackward,
    /// Return of what clears gradients.
    AfterZeroGrad,
    /// Return of what clips gradients.
    AfterClipping,
    /// Return of what changes hyperparameters.
    AfterSchedulerStep,
    /// Return of what changes the attributes of a scheduler or scaler.
    Attributes,
    /// Return of what switches modules between training and evaluation.
    AfterModeChange,
    /// Return of what loads the state of something.
    AfterLoad,
    /// Return of what loads the state of an optimizer.
    AfterOptimizerLoad,
    /// Return of a function that iterations began in.
    AfterLoop,
    /// Entry of a backward pass.
    Loss,
    /// Return of what gives a batch.
    Batch,
    /// Entry of what begins a pass over a loader.
    PassBegins,
    /// Return of what seeds random numbers.
    AfterSeeding,
    /// Entry and return of a module that may draw random numbers.
    Draws,
}

impl Word for ObservationPoint {
    const NOUN: &'static str = "observation point";
    const ALL: &'static [(&'static str, ObservationPoint, &'static str)] = &[
        (
            "before_step",
            ObservationPoint::BeforeStep,
            "parameters, at the entry of the outermost step; in sampled iterations, and always of small models. Gradients, \
             of the first steps and of those in sampled iterations",
        ),
        (
            "after_step",
            ObservationPoint::AfterStep,
            "parameters, buffers and hyperparameters, at the return of the outermost step; the first time and in \
             sampled iterations also what the optimizer keeps in `state`",
        ),
        (
            "after_backward",
            ObservationPoint::AfterBackward,
            "gradients, at the return of the outermost backward pass",
        ),
        (
            "after_zero_grad",
            ObservationPoint::AfterZeroGrad,
            "gradients, at the return; outside of optimizer steps, in sampled iterations",
        ),
        (
            "after_clipping",
            ObservationPoint::AfterClipping,
            "gradients, at the return; in sampled iterations",
        ),
        (
            "after_scheduler_step",
            ObservationPoint::AfterSchedulerStep,
            "hyperparameters, at the return; not inside the construction of something",
        ),
        (
            "attributes",
            ObservationPoint::Attributes,
            "numbers, flags and texts that a scheduler or scaler has as attributes, at the return: all of them in \
             sampled iterations, else those that changed",
        ),
        (
            "after_mode_change",
            ObservationPoint::AfterModeChange,
            "parameters and buffers, at the return of the outermost change of a mode",
        ),
        ("after_load", ObservationPoint::AfterLoad, "parameters and buffers, at the return"),
        (
            "after_optimizer_load",
            ObservationPoint::AfterOptimizerLoad,
            "parameters, buffers, hyperparameters and what the optimizer keeps in `state`, at the return",
        ),
        (
            "after_loop",
            ObservationPoint::AfterLoop,
            "parameters and buffers, at the return of a call in which at least two iterations began",
        ),
        (
            "loss",
            ObservationPoint::Loss,
            "the first argument, which the backward pass begins at, at the entry of the outermost backward pass; after \
             the first steps and those in sampled iterations also gradients, and those of small models where no \
             call has cleared any since the last step",
        ),
        ("batch", ObservationPoint::Batch, "tensors and arrays of what is returned"),
        ("pass_begins", ObservationPoint::PassBegins, "the streams of random numbers, at the entry"),
        ("after_seeding", ObservationPoint::AfterSeeding, "the streams of random numbers, at the return"),
        (
            "draws",
            ObservationPoint::Draws,
            "PyTorch's stream of random numbers, of calls of modules whose arguments or results are recorded: in \
             training mode at the entry, of outermost ones in evaluation mode without gradients at both ends",
        ),
    ];
}

/// Which arguments and results of a call are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordedArguments {
    /// None.
    #[default]
    Nothing,
    /// What it was given.
    Given,
    /// What it returned, or the exception that left it.
    Returned,
    /// Both.
    Both,
    /// What it returned; of an outermost call both.
    BothOfOutermost,
    /// Both in the profile `full`, else none.
    BothInFull,
    /// What it was given, of every call.
    AlwaysGiven,
    /// Both, of every call.
    AlwaysBoth,
}

impl Word for RecordedArguments {
    const NOUN: &'static str = "choice of arguments";
    const ALL: &'static [(&'static str, RecordedArguments, &'static str)] = &[
        ("none", RecordedArguments::Nothing, "neither arguments nor results"),
        ("given", RecordedArguments::Given, "what it is given"),
        ("returned", RecordedArguments::Returned, "what it returns, or the exception that leaves it"),
        ("both", RecordedArguments::Both, "what it is given and what it returns"),
        (
            "both_of_outermost",
            RecordedArguments::BothOfOutermost,
            "what it returns; of a call that no other of its counter is around also what it is given, and of outermost calls of modules the largest magnitude of the result in every iteration",
        ),
        ("both_in_full", RecordedArguments::BothInFull, "both in the profile `full`, else neither"),
        ("always_given", RecordedArguments::AlwaysGiven, "what it is given, in every iteration"),
        (
            "always_both",
            RecordedArguments::AlwaysBoth,
            "what it is given and what it returns, in every iteration",
        ),
    ];
}

/// Which calls of a function are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapturePolicy {
    /// Every call.
    #[default]
    EveryCall,
    /// A call directly inside a recorded call of the same code is not recorded: recursion over submodules.
    NoRecursion,
    /// Until one iteration calls it too often: it is not known what it does, or how often.
    RateLimited,
    /// Only calls that the user's own code makes: library code uses it all the time.
    FromUserCode,
    /// No call, unless all are asked for; but what it fills before the first iteration is said to be filled by it.
    FillsOnly,
    /// Never recorded, although a later row speaks of it.
    Never,
    /// Never recorded: the process that calls it does not train, and recording ends there.
    StopRecording,
}

impl Word for CapturePolicy {
    const NOUN: &'static str = "capture policy";
    const ALL: &'static [(&'static str, CapturePolicy, &'static str)] = &[
        ("every_call", CapturePolicy::EveryCall, "every call"),
        (
            "no_recursion",
            CapturePolicy::NoRecursion,
            "not calls directly inside a recorded call of the same code",
        ),
        (
            "rate_limited",
            CapturePolicy::RateLimited,
            "until one iteration has more than `max_calls_per_iteration`",
        ),
        ("from_user_code", CapturePolicy::FromUserCode, "calls that your own code makes"),
        (
            "fills_only",
            CapturePolicy::FillsOnly,
            "none, unless `include` or the profile `full` asks for all; but parameters that are filled in it before \
             the first iteration are said to be filled by it",
        ),
        ("never", CapturePolicy::Never, "none"),
        (
            "stop_recording",
            CapturePolicy::StopRecording,
            "none: where it is called, recording ends for the process",
        ),
    ];
}

impl Word for Profile {
    const NOUN: &'static str = "profile";
    const ALL: &'static [(&'static str, Profile, &'static str)] = &[
        ("minimal", Profile::Minimal, "recorded in every profile"),
        ("training", Profile::Training, "recorded in `training` and `full`"),
        ("full", Profile::Full, "recorded in `full`"),
    ];
}

/// A set of observation points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservationPoints(u32);

impl ObservationPoints {
    /// No point.
    pub const NONE: ObservationPoints = ObservationPoints(0);

    /// These points.
    pub const fn of(points: &[ObservationPoint]) -> ObservationPoints {
        let (mut set, mut at) = (0, 0);
        while at < points.len() {
            set |= 1 << points[at] as u32;
            at += 1;
        }
        ObservationPoints(set)
    }

    /// Whether `point` is one of them.
    #[inline]
    pub const fn has(self, point: ObservationPoint) -> bool {
        self.0 & (1 << point as u32) != 0
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        let all = ObservationPoint::ALL.iter().filter(|(_, point, _)| self.has(*point));
        all.map(|(word, ..)| *word).collect()
    }
}
