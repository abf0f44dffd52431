//! Which Python functions are recorded: one table, by module and qualified name.
//!
//! The qualified name is that of the code that runs, not of what the user typed: decorators that replace a function
//! leave the code of the original under its own name, which is what is matched here.

use traincheck_schema::record::{ObjectKind, Role};
use traincheck_settings::{Profile, Settings};

/// What is special about how a function is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Every call.
    Plain,
    /// A call directly inside a recorded call of the same code is not recorded: recursion over submodules.
    NoRecursion,
    /// Until one iteration calls it too often: it is not known what it does, or how often.
    Thinned,
    /// Only calls that the user's own code makes: library code uses it all the time.
    FromUserCode,
    /// Never recorded, although a later rule speaks of it.
    Never,
    /// Never recorded: the process that calls it does not train, and recording ends there.
    Disarm,
}

/// A function that is recorded, or a family of them.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Module name; a trailing `*` stands for any rest.
    module: &'static str,
    /// Qualified name; a leading `*` stands for any beginning.
    function: &'static str,
    /// Its role.
    pub role: Role,
    /// What `self` is, where it is an object that is followed.
    pub object: Option<ObjectKind>,
    /// How.
    pub manner: Manner,
}

const fn rule(module: &'static str, function: &'static str, role: Role) -> Rule {
    Rule { module, function, role, object: None, manner: Manner::Plain }
}

const fn method(module: &'static str, function: &'static str, role: Role, object: ObjectKind) -> Rule {
    Rule { module, function, role, object: Some(object), manner: Manner::NoRecursion }
}

const fn from_user(module: &'static str, function: &'static str, role: Role) -> Rule {
    Rule { module, function, role, object: None, manner: Manner::FromUserCode }
}

const MODULE: &str = "torch.nn.modules.module";
const SCHEDULER: &str = "torch.optim.lr_scheduler";
const OPTIMIZERS: &str = "torch.optim.*";
const SCALER: &str = "torch.amp.grad_scaler";
const GRAD_MODE: &str = "torch.autograd.grad_mode";
const LOADER: &str = "torch.utils.data.dataloader";

/// First match wins; those of any module (`*...`) come after all others, and not for the user's own code.
const RULES: &[Rule] = &[
    Rule {
        manner: Manner::Plain,
        ..method(MODULE, "Module._wrapped_call_impl", Role::ModuleCall, ObjectKind::Module)
    },
    method(MODULE, "Module.train", Role::ModeChange, ObjectKind::Module),
    method(MODULE, "Module.eval", Role::ModeChange, ObjectKind::Module),
    method(MODULE, "Module.zero_grad", Role::ZeroGrad, ObjectKind::Module),
    method(MODULE, "Module.requires_grad_", Role::RequiresGrad, ObjectKind::Module),
    method(MODULE, "Module.load_state_dict", Role::LoadState, ObjectKind::Module),
    method(MODULE, "Module.state_dict", Role::StateDict, ObjectKind::Module),
    method(MODULE, "Module.to", Role::ModuleMove, ObjectKind::Module),
    method(MODULE, "Module.cuda", Role::ModuleMove, ObjectKind::Module),
    method(MODULE, "Module.half", Role::ModuleMove, ObjectKind::Module),
    method(MODULE, "Module.bfloat16", Role::ModuleMove, ObjectKind::Module),
    method(SCHEDULER, "*.__init__", Role::SchedulerInit, ObjectKind::Scheduler),
    method(SCHEDULER, "*.step", Role::SchedulerStep, ObjectKind::Scheduler),
    method(SCHEDULER, "*.load_state_dict", Role::LoadState, ObjectKind::Scheduler),
    method(SCHEDULER, "*.state_dict", Role::StateDict, ObjectKind::Scheduler),
    method("torch.optim.swa_utils", "AveragedModel.update_parameters", Role::Other, ObjectKind::Module),
    method(OPTIMIZERS, "Optimizer.__init__", Role::OptimizerInit, ObjectKind::Optimizer),
    method(OPTIMIZERS, "Optimizer.add_param_group", Role::OptimizerInit, ObjectKind::Optimizer),
    method(OPTIMIZERS, "Optimizer.zero_grad", Role::ZeroGrad, ObjectKind::Optimizer),
    method(OPTIMIZERS, "Optimizer.load_state_dict", Role::LoadState, ObjectKind::Optimizer),
    method(OPTIMIZERS, "Optimizer.state_dict", Role::StateDict, ObjectKind::Optimizer),
    method(OPTIMIZERS, "*.step", Role::OptimizerStep, ObjectKind::Optimizer),
    rule("torch._tensor", "Tensor.backward", Role::Backward),
    rule("torch.autograd", "backward", Role::Backward),
    rule("torch.autograd", "grad", Role::AutogradGrad),
    rule("torch.nn.utils.clip_grad", "clip_grad_norm_", Role::ClipGrad),
    rule("torch.nn.utils.clip_grad", "clip_grad_value_", Role::ClipGrad),
    method(SCALER, "GradScaler.__init__", Role::Other, ObjectKind::Scaler),
    method(SCALER, "GradScaler.scale", Role::ScalerScale, ObjectKind::Scaler),
    method(SCALER, "GradScaler.unscale_", Role::ScalerUnscale, ObjectKind::Scaler),
    method(SCALER, "GradScaler.step", Role::ScalerStep, ObjectKind::Scaler),
    method(SCALER, "GradScaler.update", Role::ScalerUpdate, ObjectKind::Scaler),
    from_user("torch.amp.autocast_mode", "autocast.__enter__", Role::Autocast),
    from_user("torch.amp.autocast_mode", "autocast.__exit__", Role::Autocast),
    from_user(GRAD_MODE, "no_grad.__enter__", Role::GradMode),
    from_user(GRAD_MODE, "no_grad.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "enable_grad.__enter__", Role::GradMode),
    from_user(GRAD_MODE, "enable_grad.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "set_grad_enabled.__init__", Role::GradMode),
    from_user(GRAD_MODE, "set_grad_enabled.__exit__", Role::GradMode),
    from_user(GRAD_MODE, "inference_mode.__enter__", Role::GradMode),
    from_user(GRAD_MODE, "inference_mode.__exit__", Role::GradMode),
    method(LOADER, "DataLoader.__init__", Role::LoaderInit, ObjectKind::Loader),
    method(LOADER, "DataLoader.__iter__", Role::LoaderIter, ObjectKind::Loader),
    rule(LOADER, "_BaseDataLoaderIter.__next__", Role::LoaderNext),
    Rule { manner: Manner::Disarm, ..rule("torch.utils.data._utils.worker", "_worker_loop", Role::Other) },
    rule("torch.nn.parallel.distributed", "DistributedDataParallel.no_sync", Role::NoSync),
    rule(
        "torch.distributed.fsdp.fully_sharded_data_parallel",
        "FullyShardedDataParallel.no_sync",
        Role::NoSync,
    ),
    from_user("torch.distributed.*", "*", Role::Distributed),
    rule("torch.serialization", "save", Role::Save),
    rule("torch.serialization", "load", Role::Load),
    rule("safetensors.torch", "save_file", Role::Save),
    rule("transformers.modeling_utils", "PreTrainedModel.save_pretrained", Role::Save),
    rule("transformers.trainer", "Trainer._save_checkpoint", Role::Save),
    rule("*.trainer.trainer", "Trainer.save_checkpoint", Role::Save),
    rule("accelerate.accelerator", "Accelerator.save_state", Role::Save),
    // The loops of libraries: that they return tells that another loop begins.
    rule("transformers.trainer", "Trainer.train", Role::Other),
    rule("*.trainer.trainer", "Trainer.fit", Role::Other),
    rule("ignite.engine.engine", "Engine.run", Role::Other),
    from_user("torch.random", "manual_seed", Role::Seed),
    from_user("torch.random", "seed", Role::Seed),
    from_user("random", "Random.seed", Role::Seed),
    // Optimizers of other libraries. Those that only wrap one are none: accelerate's leaves the step out while it
    // accumulates, Lightning's pass for subclasses of what they wrap.
    Rule { manner: Manner::Never, ..rule("accelerate.optimizer", "*", Role::Other) },
    Rule { manner: Manner::Never, ..rule("*", "LightningOptimizer.step", Role::Other) },
    Rule { manner: Manner::Never, ..rule("*", "_FabricOptimizer.step", Role::Other) },
    method("*", "*.step", Role::OptimizerStep, ObjectKind::Optimizer),
];

/// What of a call's arguments and results is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What it was given.
    pub given: bool,
    /// What it returned, or the exception that left it.
    pub returned: bool,
    /// Of every call; else of those in sampled iterations, and of the first calls of each function.
    pub always: bool,
}

impl Extent {
    /// Neither.
    pub const NOTHING: Extent = Extent { given: false, returned: false, always: false };
    const GIVEN: Extent = Extent { given: true, ..Extent::NOTHING };
    const RETURNED: Extent = Extent { returned: true, ..Extent::NOTHING };
    const BOTH: Extent = Extent { given: true, returned: true, always: false };
    /// For calls that are rare, each of which sets something.
    const ALWAYS: Extent = Extent { given: true, returned: false, always: true };
}

/// What of the arguments and results of a call is recorded, by what the function does. `full`: in that profile;
/// `name`: the bare name of the function.
pub fn arguments(full: bool, role: Role, object: Option<ObjectKind>, outermost: bool, name: &str) -> Extent {
    match role {
        // What a context manager is left with is the exception, which is that of the calls inside it.
        Role::Autocast | Role::GradMode if name == "__exit__" => Extent::NOTHING,
        Role::User => Extent::BOTH,
        Role::ModuleCall if outermost => Extent::BOTH,
        // What types and shapes the modules inside work with; what one is given, another one gave.
        Role::ModuleCall => Extent::RETURNED,
        Role::OptimizerInit
        | Role::SchedulerInit
        | Role::LoaderInit
        | Role::ModeChange
        | Role::RequiresGrad
        | Role::ModuleMove
        | Role::LoadState
        | Role::Load
        | Role::Save
        | Role::Seed
        | Role::GradMode
        | Role::Autocast => Extent::ALWAYS,
        Role::Other if object == Some(ObjectKind::Scaler) => Extent::ALWAYS,
        Role::ClipGrad | Role::ScalerScale | Role::Distributed => Extent::BOTH,
        Role::Backward
        | Role::AutogradGrad
        | Role::ZeroGrad
        | Role::SchedulerStep
        | Role::ScalerUnscale
        | Role::ScalerStep
        | Role::ScalerUpdate => Extent::GIVEN,
        Role::LoaderNext => Extent::RETURNED,
        _ if full => Extent::BOTH,
        _ => Extent::NOTHING,
    }
}

/// What to do with a function.
#[derive(Clone, Copy, Debug)]
pub enum Decision {
    /// It is not recorded and says nothing about where the user's code is.
    Skip,
    /// It is not recorded, but a call made from it is a call made from the user's code.
    UserPlace,
    /// It is recorded.
    Record(Rule),
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
        Some(rule) if !(rule.manner != Manner::Disarm && is_excluded(settings, &name, rule.role)) => {
            Decision::Record(rule)
        }
        _ if user_code => Decision::UserPlace,
        _ => Decision::Skip,
    }
}

/// How a function is recorded that nobody excludes; `None`: it is not. What is known of a function comes before
/// whose it is, so that PyTorch in a folder of the user's does what PyTorch does.
fn wanted(settings: &Settings, module: &str, qualname: &str, name: &str, user_code: bool) -> Option<Rule> {
    // Comprehensions, lambdas and bodies of classes are part of the function around them.
    if qualname.ends_with('>') {
        return None;
    }
    let is_included = || settings.include.iter().any(|pattern| pattern.matches(name));
    let extra = || {
        let mut rules = settings.rules.iter();
        let found = rules.find(|rule| rule.module.matches(module) && rule.function.matches(qualname))?;
        let manner = if found.role == Role::User { Manner::Thinned } else { Manner::Plain };
        Some(Rule { manner, ..rule("", "", found.role) })
    };
    let known = |of_any_module: bool| {
        RULES
            .iter()
            .find(|rule| {
                rule.module.starts_with('*') == of_any_module
                    && matches(rule.module, module)
                    && matches(rule.function, qualname)
                    && !qualname.contains("<locals>")
            })
            .copied()
    };
    let known = known(false)
        .or_else(extra)
        .or_else(|| if user_code { None } else { known(true) })
        .or_else(|| user_code.then_some(Rule { manner: Manner::Thinned, ..rule("", "", Role::User) }));
    match known {
        Some(rule) if rule.manner == Manner::Never => None,
        Some(rule) if settings.profile != Profile::Minimal => Some(rule),
        Some(rule) if is_minimal(&rule) => Some(Rule {
            // Of modules only the outermost.
            manner: if rule.role == Role::ModuleCall { Manner::NoRecursion } else { rule.manner },
            ..rule
        }),
        Some(rule) if is_included() => Some(rule),
        None if is_included() => Some(Rule { manner: Manner::Thinned, ..rule("", "", Role::Other) }),
        None if settings.profile == Profile::Full && matches("torch*", module) => {
            Some(rule("", "", Role::Other))
        }
        _ => None,
    }
}

/// Whether the profile `minimal` records it: what iterations, stages and the looks at variables come from.
fn is_minimal(rule: &Rule) -> bool {
    rule.manner == Manner::Disarm
        || rule.object == Some(ObjectKind::Scaler)
        || matches!(
            rule.role,
            Role::ModuleCall
                | Role::ModeChange
                | Role::Backward
                | Role::AutogradGrad
                | Role::OptimizerInit
                | Role::OptimizerStep
                | Role::SchedulerInit
                | Role::SchedulerStep
                | Role::ScalerStep
                | Role::LoadState
                | Role::Load
                | Role::Save
                | Role::Distributed
        )
}

/// Whether the settings exclude the function `name`. What iterations, steps and stages are derived from is only
/// excluded by its full name.
pub fn is_excluded(settings: &Settings, name: &str, role: Role) -> bool {
    let is_essential = matches!(
        role,
        Role::ModuleCall | Role::ModeChange | Role::Backward | Role::OptimizerInit | Role::OptimizerStep
    );
    settings.exclude.iter().any(|pattern| (!is_essential || pattern.is_exact()) && pattern.matches(name))
}

/// Whether `pattern`, with a `*` for anything at its end or its beginning, matches `name`.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_suffix('*'), pattern.strip_prefix('*')) {
        (Some(prefix), _) => name.starts_with(prefix),
        (None, Some(suffix)) => name.ends_with(suffix),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use traincheck_settings::{ExtraRule, Pattern};

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    fn found(settings: &Settings, module: &str, qualname: &str, user_code: bool) -> Option<Role> {
        match decide(settings, module, qualname, user_code) {
            Decision::Record(rule) => Some(rule.role),
            _ => None,
        }
    }

    fn role(module: &str, qualname: &str) -> Option<Role> {
        found(&Settings::default(), module, qualname, false)
    }

    #[test]
    fn the_code_that_runs_is_matched_and_its_wrappers_are_not() {
        assert_eq!(role("torch.optim.adamw", "AdamW.step"), Some(Role::OptimizerStep));
        assert_eq!(role("torch.optim.adam", "Adam.step"), Some(Role::OptimizerStep));
        assert_eq!(role("torch.optim.optimizer", "Optimizer.profile_hook_step.<locals>.wrapper"), None);
        assert_eq!(role("torch.optim.lr_scheduler", "LRScheduler.step"), Some(Role::SchedulerStep));
        assert_eq!(role("torch.optim.lr_scheduler", "StepLR.__init__"), Some(Role::SchedulerInit));
        assert_eq!(role("torch.optim.lr_scheduler", "StepLR.get_lr"), None);
        assert_eq!(role("torch.nn.modules.conv", "Conv2d.forward"), None);
        assert_eq!(role("transformers.optimization", "Adafactor.step"), Some(Role::OptimizerStep));
        assert_eq!(role("accelerate.optimizer", "AcceleratedOptimizer.step"), None);
        assert_eq!(role("pytorch_lightning.core.optimizer", "LightningOptimizer.step"), None);
    }

    #[test]
    fn a_lambda_of_the_user_is_a_place_but_no_call() {
        let settings = Settings::default();
        assert!(matches!(decide(&settings, "__main__", "main.<locals>.<lambda>", true), Decision::UserPlace));
        assert_eq!(found(&settings, "__main__", "main", true), Some(Role::User));
    }

    #[test]
    fn what_users_call_as_others_do_is_theirs() {
        let settings = Settings::default();
        assert_eq!(found(&settings, "lib.engine", "Engine.step", false), Some(Role::OptimizerStep));
        assert_eq!(found(&settings, "mine.engine", "Engine.step", true), Some(Role::User));
    }

    #[test]
    fn pytorch_is_pytorch_wherever_it_lies() {
        let settings = Settings::default();
        let found = found(&settings, "torch.optim.adamw", "AdamW.step", true);
        assert_eq!(found, Some(Role::OptimizerStep));
    }

    #[test]
    fn what_is_included_is_recorded_and_what_is_excluded_is_not() {
        let settings = Settings {
            include: vec![pattern("lib.*")],
            exclude: vec![pattern("lib.noise.*"), pattern("__main__.log"), pattern("torch.*")],
            ..Settings::default()
        };
        assert_eq!(found(&settings, "lib.engine", "Engine.run", false), Some(Role::Other));
        assert_eq!(found(&settings, "lib.noise", "Engine.run", false), None);
        assert_eq!(found(&settings, "lib.engine", "run.<locals>.<lambda>", false), None);
        assert!(matches!(decide(&settings, "__main__", "log", true), Decision::UserPlace));
        assert_eq!(found(&settings, "torch.serialization", "save", false), None);
    }

    #[test]
    fn what_iterations_depend_on_is_only_excluded_by_its_full_name() {
        let all = Settings { exclude: vec![pattern("*")], ..Settings::default() };
        assert_eq!(found(&all, "torch._tensor", "Tensor.backward", false), Some(Role::Backward));
        let loader = ("torch.utils.data._utils.worker", "_worker_loop");
        assert!(matches!(decide(&all, loader.0, loader.1, false), Decision::Record(_)));
        let named =
            Settings { exclude: vec![pattern("torch._tensor.Tensor.backward")], ..Settings::default() };
        assert_eq!(found(&named, "torch._tensor", "Tensor.backward", false), None);
    }

    #[test]
    fn minimal_has_what_iterations_and_states_need() {
        let minimal = Settings { profile: Profile::Minimal, ..Settings::default() };
        assert_eq!(found(&minimal, "torch.optim.adamw", "AdamW.step", false), Some(Role::OptimizerStep));
        assert_eq!(found(&minimal, "torch.optim.optimizer", "Optimizer.zero_grad", false), None);
        assert!(matches!(decide(&minimal, "__main__", "main", true), Decision::UserPlace));
        let more = Settings { include: vec![pattern("*.zero_grad"), pattern("__main__.*")], ..minimal };
        assert_eq!(found(&more, "torch.optim.optimizer", "Optimizer.zero_grad", false), Some(Role::ZeroGrad));
        assert_eq!(found(&more, "__main__", "main", true), Some(Role::User));
    }

    #[test]
    fn a_rule_of_the_settings_gives_a_role_to_what_has_none() {
        let extra = |function, role| ExtraRule { module: pattern("*"), function: pattern(function), role };
        let settings = Settings {
            rules: vec![extra("Engine.step", Role::OptimizerStep), extra("*", Role::Other)],
            ..Settings::default()
        };
        assert_eq!(found(&settings, "lib.engine", "Engine.step", false), Some(Role::OptimizerStep));
        assert_eq!(found(&settings, "lib.engine", "Engine.run", true), Some(Role::Other));
        assert_eq!(found(&settings, "torch._tensor", "Tensor.backward", false), Some(Role::Backward));
    }
}
