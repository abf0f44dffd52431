//! Which Python functions are recorded: one table, by module and qualified name.
//!
//! The qualified name is that of the code that runs, not of what the user typed: decorators that replace a function
//! leave the code of the original under its own name, which is what is matched here.

use traincheck_schema::record::{ObjectKind, Role};

/// How much is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// The Python surface that matters for correctness, the user's own functions, user scopes, state.
    #[default]
    Training,
    /// Every Python function of `torch`, and every op.
    Full,
}

impl Profile {
    /// Reads `TRAINCHECK_PROFILE`. A name that is not known gives the default and a reason.
    pub fn from_environment() -> (Profile, Option<String>) {
        match std::env::var("TRAINCHECK_PROFILE").as_deref() {
            Err(_) | Ok("" | "training") => (Profile::Training, None),
            Ok("full") => (Profile::Full, None),
            Ok(other) => {
                (Profile::Training, Some(format!("TRAINCHECK_PROFILE={other} is neither training nor full")))
            }
        }
    }

    /// The name under which the trace keeps it.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Training => "training",
            Profile::Full => "full",
        }
    }
}

/// What is special about how a function is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Every call.
    Plain,
    /// A call directly inside a recorded call of the same code is not recorded: recursion over submodules.
    NoRecursion,
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

/// First match wins.
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
    rule("torch.optim.swa_utils", "AveragedModel.update_parameters", Role::Other),
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
    // Optimizers of other libraries. Accelerate's only wraps one, whose step it leaves out while it accumulates.
    Rule { manner: Manner::Never, ..rule("accelerate.optimizer", "*", Role::Other) },
    method("*", "*.step", Role::OptimizerStep, ObjectKind::Optimizer),
];

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
pub fn decide(profile: Profile, module: &str, qualname: &str, user_code: bool) -> Decision {
    if user_code {
        // Comprehensions, lambdas and class bodies are part of the function around them.
        return if qualname.ends_with('>') {
            Decision::UserPlace
        } else {
            Decision::Record(rule("", "", Role::User))
        };
    }
    let known = RULES.iter().find(|rule| {
        matches(rule.module, module) && matches(rule.function, qualname) && !qualname.contains("<locals>")
    });
    match known {
        Some(rule) if rule.manner == Manner::Never => Decision::Skip,
        Some(rule) => Decision::Record(*rule),
        None if profile == Profile::Full && matches("torch*", module) && !qualname.ends_with('>') => {
            Decision::Record(rule("", "", Role::Other))
        }
        None => Decision::Skip,
    }
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

    fn role(module: &str, qualname: &str) -> Option<Role> {
        match decide(Profile::Training, module, qualname, false) {
            Decision::Record(rule) => Some(rule.role),
            _ => None,
        }
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
    }

    #[test]
    fn a_lambda_of_the_user_is_a_place_but_no_call() {
        assert!(matches!(
            decide(Profile::Training, "__main__", "main.<locals>.<lambda>", true),
            Decision::UserPlace
        ));
        assert!(matches!(
            decide(Profile::Training, "__main__", "main", true),
            Decision::Record(Rule { role: Role::User, .. })
        ));
    }
}
