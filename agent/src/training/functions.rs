//! Which Python functions are recorded, and what their calls mean: one table with a row for a function or a family of
//! them, whose values come from its role where it says nothing else ([`Meaning::of`]).
//!
//! The qualified name is that of the code that runs, not of what the user typed: decorators that replace a function
//! leave the code of the original under its own name, which is what is matched here.

mod meaning;

use traincheck_schema::record::Role;
use traincheck_settings::ObservationPoint as Point;
use traincheck_settings::{CapturePolicy, ObservationPoints, Profile, Receiver, RecordedArguments, Settings};

pub use meaning::{Meaning, Signal};

/// A function, or a family of them.
struct Row {
    /// Module name; a trailing `*` stands for any rest.
    module: &'static str,
    /// Qualified name; a leading `*` stands for any beginning.
    function: &'static str,
    /// What its calls mean.
    means: Meaning,
}

const fn function(module: &'static str, function: &'static str, role: Role) -> Row {
    Row { module, function, means: Meaning::of(role) }
}

const fn method(module: &'static str, function: &'static str, role: Role, object: Receiver) -> Row {
    let capture = CapturePolicy::NoRecursion;
    Row { module, function, means: Meaning { object: Some(object), capture, ..Meaning::of(role) } }
}

const fn from_user(module: &'static str, function: &'static str, role: Role) -> Row {
    let capture = CapturePolicy::FromUserCode;
    Row { module, function, means: Meaning { capture, ..Meaning::of(role) } }
}

/// The exit of a context manager: what it is given is the exception, which is that of the calls inside it.
const fn exit_from_user(module: &'static str, function: &'static str, role: Role) -> Row {
    let row = from_user(module, function, role);
    Row { means: Meaning { arguments: RecordedArguments::Nothing, ..row.means }, ..row }
}

/// What fills parameters is known by its name; how often library code calls it says nothing.
const fn fills(function: &'static str) -> Row {
    let (signal, capture) = (Some(Signal::Fill), CapturePolicy::FillsOnly);
    Row { module: "torch.nn.init", function, means: Meaning { signal, capture, ..Meaning::of(Role::Other) } }
}

const fn never(module: &'static str, function: &'static str) -> Row {
    let capture = CapturePolicy::Never;
    Row { module, function, means: Meaning { capture, ..Meaning::of(Role::Other) } }
}

/// What ranks do together where the script says so: the hook of c10d sees the collective, and this the line that it is at.
const fn collective(function: &'static str) -> Row {
    self::function("torch.distributed.distributed_c10d", function, Role::Other)
}

/// A loss that the script calls: the tensors that it compares.
const fn loss(function: &'static str) -> Row {
    let row = from_user("torch.nn.functional", function, Role::Other);
    Row { means: Meaning { arguments: RecordedArguments::Given, ..row.means }, ..row }
}

const MODULE: &str = "torch.nn.modules.module";
const SCHEDULER: &str = "torch.optim.lr_scheduler";
const OPTIMIZERS: &str = "torch.optim.*";
const SCALER: &str = "torch.amp.grad_scaler";
const GRAD_MODE: &str = "torch.autograd.grad_mode";
const LOADER: &str = "torch.utils.data.dataloader";

/// First match wins; those of any module (`*...`) come after all others, and not for the user's own code.
const FUNCTIONS: &[Row] = &[
    Row {
        module: MODULE,
        function: "Module._wrapped_call_impl",
        means: Meaning { object: Some(Receiver::Module), ..Meaning::of(Role::ModuleCall) },
    },
    method(MODULE, "Module.train", Role::ModeChange, Receiver::Module),
    method(MODULE, "Module.eval", Role::ModeChange, Receiver::Module),
    method(MODULE, "Module.zero_grad", Role::ZeroGrad, Receiver::Module),
    method(MODULE, "Module.requires_grad_", Role::RequiresGrad, Receiver::Module),
    // It gives back what was missing and what belonged nowhere.
    Row {
        module: MODULE,
        function: "Module.load_state_dict",
        means: Meaning {
            object: Some(Receiver::Module),
            arguments: RecordedArguments::AlwaysBoth,
            capture: CapturePolicy::NoRecursion,
            ..Meaning::of(Role::LoadState)
        },
    },
    method(MODULE, "Module.state_dict", Role::StateDict, Receiver::Module),
    method(MODULE, "Module.to", Role::ModuleMove, Receiver::Module),
    method(MODULE, "Module.cuda", Role::ModuleMove, Receiver::Module),
    method(MODULE, "Module.half", Role::ModuleMove, Receiver::Module),
    method(MODULE, "Module.bfloat16", Role::ModuleMove, Receiver::Module),
    method(SCHEDULER, "*.__init__", Role::SchedulerInit, Receiver::Scheduler),
    method(SCHEDULER, "*.step", Role::SchedulerStep, Receiver::Scheduler),
    Row {
        module: SCHEDULER,
        function: "*.load_state_dict",
        means: Meaning {
            object: Some(Receiver::Scheduler),
            looks: ObservationPoints::of(&[Point::AfterLoad, Point::Attributes]),
            capture: CapturePolicy::NoRecursion,
            ..Meaning::of(Role::LoadState)
        },
    },
    method(SCHEDULER, "*.state_dict", Role::StateDict, Receiver::Scheduler),
    method("torch.optim.swa_utils", "AveragedModel.update_parameters", Role::Other, Receiver::Module),
    method(OPTIMIZERS, "Optimizer.__init__", Role::OptimizerInit, Receiver::Optimizer),
    method(OPTIMIZERS, "Optimizer.add_param_group", Role::OptimizerInit, Receiver::Optimizer),
    method(OPTIMIZERS, "Optimizer.zero_grad", Role::ZeroGrad, Receiver::Optimizer),
    Row {
        module: OPTIMIZERS,
        function: "Optimizer.load_state_dict",
        means: Meaning {
            object: Some(Receiver::Optimizer),
            looks: ObservationPoints::of(&[Point::AfterOptimizerLoad]),
            capture: CapturePolicy::NoRecursion,
            ..Meaning::of(Role::LoadState)
        },
    },
    method(OPTIMIZERS, "Optimizer.state_dict", Role::StateDict, Receiver::Optimizer),
    method(OPTIMIZERS, "*.step", Role::OptimizerStep, Receiver::Optimizer),
    function("torch._tensor", "Tensor.backward", Role::Backward),
    function("torch.autograd", "backward", Role::Backward),
    function("torch.autograd", "grad", Role::AutogradGrad),
    function("torch.nn.utils.clip_grad", "clip_grad_norm_", Role::ClipGrad),
    function("torch.nn.utils.clip_grad", "clip_grad_value_", Role::ClipGrad),
    Row {
        module: SCALER,
        function: "GradScaler.__init__",
        means: Meaning {
            object: Some(Receiver::Scaler),
            constructs: true,
            arguments: RecordedArguments::AlwaysGiven,
            capture: CapturePolicy::NoRecursion,
            profile: Profile::Minimal,
            ..Meaning::of(Role::Other)
        },
    },
    method(SCALER, "GradScaler.scale", Role::ScalerScale, Receiver::Scaler),
    method(SCALER, "GradScaler.unscale_", Role::ScalerUnscale, Receiver::Scaler),
    method(SCALER, "GradScaler.step", Role::ScalerStep, Receiver::Scaler),
    method(SCALER, "GradScaler.update", Role::ScalerUpdate, Receiver::Scaler),
    from_user("torch.amp.autocast_mode", "autocast.__enter__", Role::Autocast),
    exit_from_user("torch.amp.autocast_mode", "autocast.__exit__", Role::Autocast),
    from_user(GRAD_MODE, "no_grad.__enter__", Role::GradMode),
    exit_from_user(GRAD_MODE, "no_grad.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "enable_grad.__enter__", Role::GradMode),
    exit_from_user(GRAD_MODE, "enable_grad.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "set_grad_enabled.__init__", Role::GradMode),
    exit_from_user(GRAD_MODE, "set_grad_enabled.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "inference_mode.__enter__", Role::GradMode),
    exit_from_user(GRAD_MODE, "inference_mode.__exit__", Role::GradMode),
    method(LOADER, "DataLoader.__init__", Role::LoaderInit, Receiver::Loader),
    method(LOADER, "DataLoader.__iter__", Role::LoaderIter, Receiver::Loader),
    function(LOADER, "_BaseDataLoaderIter.__next__", Role::LoaderNext),
    Row {
        module: "torch.utils.data._utils.worker",
        function: "_worker_loop",
        means: Meaning {
            capture: CapturePolicy::StopRecording,
            profile: Profile::Minimal,
            ..Meaning::of(Role::Other)
        },
    },
    function("torch.nn.parallel.distributed", "DistributedDataParallel.no_sync", Role::NoSync),
    function(
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "FullyShardedDataParallel.no_sync",
        Role::NoSync,
    ),
    collective("all_reduce"),
    collective("all_reduce_coalesced"),
    collective("broadcast"),
    collective("reduce"),
    collective("all_gather"),
    collective("all_gather_into_tensor"),
    collective("all_gather_coalesced"),
    collective("reduce_scatter"),
    collective("reduce_scatter_tensor"),
    collective("all_to_all"),
    collective("all_to_all_single"),
    collective("gather"),
    collective("scatter"),
    collective("send"),
    collective("recv"),
    collective("isend"),
    collective("irecv"),
    collective("batch_isend_irecv"),
    collective("barrier"),
    collective("monitored_barrier"),
    collective("all_gather_object"),
    collective("broadcast_object_list"),
    collective("gather_object"),
    collective("scatter_object_list"),
    loss("*_loss"),
    loss("binary_cross_entropy*"),
    loss("cross_entropy"),
    loss("kl_div"),
    // Optimizers over shards, which step one of their own.
    method("torch.distributed.optim.*", "*.step", Role::OptimizerStep, Receiver::Optimizer),
    from_user("torch.distributed.*", "*", Role::Distributed),
    function("torch.serialization", "save", Role::Save),
    function("torch.serialization", "load", Role::Load),
    function("safetensors.torch", "save_file", Role::Save),
    function("transformers.modeling_utils", "PreTrainedModel.save_pretrained", Role::Save),
    function("transformers.trainer", "Trainer._save_checkpoint", Role::Save),
    function("*.trainer.trainer", "Trainer.save_checkpoint", Role::Save),
    function("accelerate.accelerator", "Accelerator.save_state", Role::Save),
    // The loops of libraries: that they return tells that another loop begins.
    function("transformers.trainer", "Trainer.train", Role::Other),
    function("*.trainer.trainer", "Trainer.fit", Role::Other),
    function("ignite.engine.engine", "Engine.run", Role::Other),
    // They change what they are given, as their names say.
    fills("*_"),
    Row {
        module: "torch.nn.parameter",
        function: "Parameter.__new__",
        means: Meaning {
            signal: Some(Signal::Parameter),
            capture: CapturePolicy::FillsOnly,
            ..Meaning::of(Role::Other)
        },
    },
    Row {
        module: MODULE,
        function: "Module._apply",
        means: Meaning {
            signal: Some(Signal::Move),
            capture: CapturePolicy::FillsOnly,
            ..Meaning::of(Role::Other)
        },
    },
    from_user("torch.random", "manual_seed", Role::Seed),
    from_user("torch.random", "seed", Role::Seed),
    from_user("random", "Random.seed", Role::Seed),
    // Optimizers of other libraries. Those that only wrap one are none: accelerate's leaves the step out while it
    // accumulates, Lightning's pass for subclasses of what they wrap.
    never("accelerate.optimizer", "*"),
    never("*", "LightningOptimizer.step"),
    never("*", "_FabricOptimizer.step"),
    method("*", "*.step", Role::OptimizerStep, Receiver::Optimizer),
];

/// Methods that a class of the user's own has from one of PyTorch's mean what that one's do: name, what the class
/// inherits from, role.
pub const INHERITED: &[(&str, Receiver, Role)] = &[
    ("step", Receiver::Optimizer, Role::OptimizerStep),
    ("step", Receiver::Scheduler, Role::SchedulerStep),
    ("zero_grad", Receiver::Optimizer, Role::ZeroGrad),
];

/// Modules of wrappers by which PyTorch keeps its compiler out of functions: a call that comes through them is one that
/// the caller made.
const WRAPPERS: &[&str] = &["torch._compile", "torch._dynamo.eval_frame"];

/// Whether what the functions of a module call is called by who calls them.
pub fn passes_on(module: &str) -> bool {
    WRAPPERS.contains(&module)
}

/// What to do with a function.
#[derive(Clone, Copy, Debug)]
pub enum Decision {
    /// It is not recorded and says nothing about where the user's code is.
    Skip,
    /// It is not recorded, but a call made from it is a call made from the user's code.
    UserPlace,
    /// It is recorded.
    Record(Meaning),
}

/// Decides about a function from its names.
pub fn decide(settings: &Settings, module: &str, qualname: &str, user_code: bool) -> Decision {
    // Most processes set no patterns; then names need not be put together.
    let name = if settings.include.is_empty() && settings.exclude.is_empty() {
        String::new()
    } else {
        format!("{module}.{qualname}")
    };
    match wanted(settings, module, qualname, &name, user_code) {
        Some(means)
            if means.capture == CapturePolicy::StopRecording || !is_excluded(settings, &name, &means) =>
        {
            Decision::Record(means)
        }
        _ if user_code => Decision::UserPlace,
        _ => Decision::Skip,
    }
}

/// What the calls of a function mean that nobody excludes; `None`: they are not recorded. What is known of a function
/// comes before whose it is, so that PyTorch in a folder of the user's does what PyTorch does.
fn wanted(settings: &Settings, module: &str, qualname: &str, name: &str, user_code: bool) -> Option<Meaning> {
    // Comprehensions, lambdas and bodies of classes are part of the function around them.
    if qualname.ends_with('>') {
        return None;
    }
    let is_included = || settings.include.iter().any(|pattern| pattern.matches(name));
    let is_all_of_torch = settings.profile == Profile::Full && matches("torch*", module);
    let of_settings = || {
        let mut rules = settings.rules.iter();
        let found = rules.find(|rule| rule.module.matches(module) && rule.function.matches(qualname))?;
        Some(Meaning::of_rule(found))
    };
    let known = |of_any_module: bool| {
        let mut rows = FUNCTIONS.iter();
        let found = rows.find(|row| {
            row.module.starts_with('*') == of_any_module
                && matches(row.module, module)
                && matches(row.function, qualname)
                && !qualname.contains("<locals>")
        });
        found.map(|row| row.means)
    };
    let known = known(false)
        .or_else(of_settings)
        .or_else(|| if user_code { None } else { known(true) })
        .or_else(|| user_code.then_some(Meaning::of(Role::User)));
    match known {
        Some(means) if means.capture == CapturePolicy::Never => None,
        // Whose calls are asked for.
        Some(means) if means.capture == CapturePolicy::FillsOnly && is_included() => {
            Some(Meaning { capture: CapturePolicy::RateLimited, ..means })
        }
        Some(means) if means.capture == CapturePolicy::FillsOnly && is_all_of_torch => {
            Some(Meaning { capture: CapturePolicy::EveryCall, ..means })
        }
        // Of modules only the outermost.
        Some(means) if settings.profile == Profile::Minimal && means.signal == Some(Signal::ModuleCall) => {
            Some(Meaning { capture: CapturePolicy::NoRecursion, ..means })
        }
        Some(means) if means.profile <= settings.profile || is_included() => Some(means),
        None if is_included() => {
            Some(Meaning { capture: CapturePolicy::RateLimited, ..Meaning::of(Role::Other) })
        }
        None if is_all_of_torch => Some(Meaning::of(Role::Other)),
        _ => None,
    }
}

/// Whether the settings exclude the function `name`. What iterations, steps and stages are derived from is only
/// excluded by its full name.
pub fn is_excluded(settings: &Settings, name: &str, means: &Meaning) -> bool {
    let counts = |exact: bool| !means.essential || exact;
    settings.exclude.iter().any(|pattern| counts(pattern.is_exact()) && pattern.matches(name))
}

/// Whether `pattern`, with a `*` for anything at its end or its beginning, matches `name`.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(prefix), _) => name.starts_with(prefix),
        (None, Some(suffix)) => name.ends_with(suffix),
        (None, None) => name == pattern,
    }
}

/// Which arguments and results of one call are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// What it was given.
    pub given: bool,
    /// What it returned, or the exception that left it.
    pub returned: bool,
    /// Of every call; else of those in sampled iterations, and of samples of each function's own.
    pub always: bool,
}

impl Recorded {
    /// Neither.
    pub const NOTHING: Recorded = Recorded { given: false, returned: false, always: false };

    /// Those that `which` says; `full`: in that profile.
    pub fn of(which: RecordedArguments, full: bool, outermost: bool) -> Recorded {
        let (given, returned) = match which {
            RecordedArguments::Nothing => (false, false),
            RecordedArguments::Given | RecordedArguments::AlwaysGiven => (true, false),
            RecordedArguments::Returned => (false, true),
            RecordedArguments::Both | RecordedArguments::AlwaysBoth => (true, true),
            RecordedArguments::BothOfOutermost => (outermost, true),
            RecordedArguments::BothInFull => (full, full),
        };
        let always = matches!(which, RecordedArguments::AlwaysGiven | RecordedArguments::AlwaysBoth);
        Recorded { given, returned, always }
    }
}

#[cfg(test)]
mod tests;
