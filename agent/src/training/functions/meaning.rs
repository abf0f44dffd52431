//! What the calls of a function mean, by its role ([`BY_ROLE`]).

use traincheck_schema::record::Role;
use traincheck_settings::ObservationPoint as Point;
use traincheck_settings::{
    CapturePolicy, Counter, FunctionRule, ObservationPoints, Profile, Receiver, RecordedArguments,
};

/// What iterations and stages, and the objects that are followed, make of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// An iteration or evaluation may begin.
    ModuleCall,
    /// Training or evaluation begins.
    ModeChange,
    /// It is a backward pass.
    Backward,
    /// It computes gradients, which may be all the backward pass that there is.
    Gradients,
    /// It is the step of an iteration.
    Step,
    /// It clears gradients.
    Clear,
    /// It is checkpointing as long as it runs.
    Save,
    /// The process trains.
    Training,
    /// What it returns passes over the loader.
    Pass,
    /// It fills the tensors that it is given.
    Fill,
    /// What it returns is a new parameter.
    Parameter,
    /// It gives the parameters of the module that it returns other storages.
    Move,
}

/// What the calls of a function mean.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Its role.
    pub role: Role,
    /// What `self` is, where it is an object that is followed.
    pub object: Option<Receiver>,
    /// Calls on objects whose class does not inherit from PyTorch's own are not meant: helpers of the same module have
    /// methods of the same name.
    pub inherits: bool,
    /// `self` is followed once it returns.
    pub constructs: bool,
    /// A module that it is called on becomes a root, unless another one reaches it.
    pub finds_root: bool,
    /// The count of open calls that it moves.
    pub counted: Option<Counter>,
    /// What else follows.
    pub signal: Option<Signal>,
    /// Where something is looked at.
    pub looks: ObservationPoints,
    /// Which arguments and results are recorded.
    pub arguments: RecordedArguments,
    /// Which calls are.
    pub capture: CapturePolicy,
    /// The smallest profile that has it.
    pub profile: Profile,
    /// Iterations, steps and stages are derived from it: it is only excluded by its full name.
    pub essential: bool,
}

const PLAIN: Meaning = Meaning {
    role: Role::Other,
    object: None,
    inherits: true,
    constructs: false,
    finds_root: false,
    counted: None,
    signal: None,
    looks: ObservationPoints::NONE,
    arguments: RecordedArguments::BothInFull,
    capture: CapturePolicy::EveryCall,
    profile: Profile::Training,
    essential: false,
};

/// What a function means by its role; in the order of the roles' numbers.
const BY_ROLE: [Meaning; Role::ALL.len()] = [
    // An average of a model is seldom called before the training has ended.
    Meaning { role: Role::Other, finds_root: true, ..PLAIN },
    Meaning {
        role: Role::User,
        looks: ObservationPoints::of(&[Point::AfterLoop]),
        arguments: RecordedArguments::Both,
        capture: CapturePolicy::RateLimited,
        ..PLAIN
    },
    Meaning {
        role: Role::ModuleCall,
        counted: Some(Counter::ModuleCalls),
        signal: Some(Signal::ModuleCall),
        looks: ObservationPoints::of(&[Point::Draws]),
        // What types and shapes the modules inside work with; what one is given, another one gave.
        arguments: RecordedArguments::BothOfOutermost,
        profile: Profile::Minimal,
        essential: true,
        ..PLAIN
    },
    Meaning {
        role: Role::ModeChange,
        finds_root: true,
        counted: Some(Counter::ModeChanges),
        signal: Some(Signal::ModeChange),
        looks: ObservationPoints::of(&[Point::AfterModeChange]),
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        essential: true,
        ..PLAIN
    },
    Meaning {
        role: Role::Backward,
        counted: Some(Counter::Backwards),
        signal: Some(Signal::Backward),
        looks: ObservationPoints::of(&[Point::Loss, Point::AfterBackward]),
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        essential: true,
        ..PLAIN
    },
    Meaning {
        role: Role::AutogradGrad,
        signal: Some(Signal::Gradients),
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::OptimizerStep,
        counted: Some(Counter::OptimizerSteps),
        signal: Some(Signal::Step),
        looks: ObservationPoints::of(&[Point::BeforeStep, Point::AfterStep]),
        profile: Profile::Minimal,
        essential: true,
        ..PLAIN
    },
    Meaning {
        role: Role::ZeroGrad,
        signal: Some(Signal::Clear),
        finds_root: true,
        looks: ObservationPoints::of(&[Point::AfterZeroGrad]),
        arguments: RecordedArguments::Given,
        ..PLAIN
    },
    Meaning {
        role: Role::OptimizerInit,
        constructs: true,
        counted: Some(Counter::Constructions),
        signal: Some(Signal::Training),
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        essential: true,
        ..PLAIN
    },
    Meaning {
        role: Role::SchedulerStep,
        looks: ObservationPoints::of(&[Point::AfterSchedulerStep, Point::Attributes]),
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::SchedulerInit,
        constructs: true,
        counted: Some(Counter::Constructions),
        looks: ObservationPoints::of(&[Point::Attributes]),
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::ClipGrad,
        looks: ObservationPoints::of(&[Point::AfterClipping]),
        arguments: RecordedArguments::Both,
        ..PLAIN
    },
    Meaning {
        role: Role::ScalerScale,
        arguments: RecordedArguments::Both,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::ScalerUnscale,
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::ScalerStep,
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::ScalerUpdate,
        looks: ObservationPoints::of(&[Point::Attributes]),
        arguments: RecordedArguments::Given,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning { role: Role::Autocast, arguments: RecordedArguments::AlwaysGiven, ..PLAIN },
    Meaning { role: Role::GradMode, arguments: RecordedArguments::AlwaysGiven, ..PLAIN },
    Meaning {
        role: Role::LoaderInit,
        constructs: true,
        counted: Some(Counter::Constructions),
        arguments: RecordedArguments::AlwaysGiven,
        ..PLAIN
    },
    Meaning {
        role: Role::LoaderIter,
        signal: Some(Signal::Pass),
        looks: ObservationPoints::of(&[Point::PassBegins]),
        ..PLAIN
    },
    Meaning {
        role: Role::LoaderNext,
        object: Some(Receiver::LoaderIterator),
        looks: ObservationPoints::of(&[Point::Batch]),
        arguments: RecordedArguments::Returned,
        ..PLAIN
    },
    Meaning {
        role: Role::Distributed,
        arguments: RecordedArguments::Both,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::Save,
        signal: Some(Signal::Save),
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::Load,
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        ..PLAIN
    },
    Meaning {
        role: Role::LoadState,
        finds_root: true,
        looks: ObservationPoints::of(&[Point::AfterLoad]),
        arguments: RecordedArguments::AlwaysGiven,
        profile: Profile::Minimal,
        ..PLAIN
    },
    // What is copied from was there before what it is copied to.
    Meaning { role: Role::StateDict, finds_root: true, ..PLAIN },
    Meaning {
        role: Role::Seed,
        looks: ObservationPoints::of(&[Point::AfterSeeding]),
        arguments: RecordedArguments::AlwaysGiven,
        ..PLAIN
    },
    Meaning { role: Role::RequiresGrad, arguments: RecordedArguments::AlwaysGiven, ..PLAIN },
    Meaning { role: Role::ModuleMove, arguments: RecordedArguments::AlwaysGiven, ..PLAIN },
    Meaning { role: Role::NoSync, ..PLAIN },
];

impl Meaning {
    /// What a function with this role means, if nothing else is said of it.
    pub const fn of(role: Role) -> Meaning {
        BY_ROLE[role as usize]
    }

    /// What the calls mean of functions that a rule of the settings is about.
    pub(super) fn of_rule(rule: &FunctionRule) -> Meaning {
        let by_role = Meaning::of(rule.role);
        Meaning {
            object: rule.object.or(by_role.object),
            inherits: false,
            constructs: rule.constructs.unwrap_or(by_role.constructs),
            counted: rule.counted.unwrap_or(by_role.counted),
            signal: by_role
                .signal
                .or((rule.capture == Some(CapturePolicy::FillsOnly)).then_some(Signal::Fill)),
            looks: rule.looks.unwrap_or(by_role.looks),
            arguments: rule.arguments.unwrap_or(by_role.arguments),
            capture: rule.capture.unwrap_or(by_role.capture),
            profile: rule.profile.unwrap_or(by_role.profile),
            ..by_role
        }
    }
}
