//! What functions of libraries do that traincheck does not know.

use std::fmt;

use traincheck_schema::record::Role;

use crate::Pattern;

/// A function, or a family of them, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraRule {
    /// Matches the module of the code that runs.
    pub module: Pattern,
    /// Matches the qualified name of the code that runs.
    pub function: Pattern,
    /// What it does.
    pub role: Role,
}

/// The roles that can be given, with the names they are given by. Those that say that `self` is an object which is
/// followed from its construction on are not among them: their functions are known, or inherit from known ones.
pub const ROLES: &[(&str, Role, &str)] = &[
    ("backward", Role::Backward, "runs the backward pass, as `Tensor.backward` does"),
    ("autograd_grad", Role::AutogradGrad, "computes gradients and returns them, as `torch.autograd.grad`"),
    ("optimizer_step", Role::OptimizerStep, "changes parameters, as `Optimizer.step` does"),
    ("zero_grad", Role::ZeroGrad, "clears gradients"),
    ("clip_grad", Role::ClipGrad, "clips gradients"),
    ("scheduler_step", Role::SchedulerStep, "changes hyperparameters, as `LRScheduler.step` does"),
    ("scaler_scale", Role::ScalerScale, "scales the loss, as `GradScaler.scale` does"),
    ("scaler_unscale", Role::ScalerUnscale, "unscales gradients"),
    ("scaler_step", Role::ScalerStep, "steps the optimizer, as `GradScaler.step` does"),
    ("scaler_update", Role::ScalerUpdate, "updates the scale"),
    ("autocast", Role::Autocast, "enters or leaves mixed precision"),
    ("grad_mode", Role::GradMode, "switches gradients on or off"),
    ("distributed", Role::Distributed, "communicates with other ranks"),
    ("save", Role::Save, "writes a checkpoint: the stage is checkpointing meanwhile"),
    ("load", Role::Load, "reads a checkpoint"),
    ("load_state", Role::LoadState, "takes over state, as `load_state_dict` does"),
    ("state_dict", Role::StateDict, "gives state, as `state_dict` does"),
    ("seed", Role::Seed, "seeds random numbers"),
    ("user", Role::User, "is the user's own function"),
    ("other", Role::Other, "anything else: it is recorded, no more"),
];

/// The name of a role that can be given.
pub fn name(role: Role) -> &'static str {
    ROLES.iter().find(|(_, known, _)| *known == role).map_or("", |(name, ..)| name)
}

impl fmt::Display for ExtraRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} = {}", self.module, self.function, name(self.role))
    }
}
