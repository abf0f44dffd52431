//! Calls as claims name them: a function, what it does, and where that matters the object that it is called on.

pub mod role_word;
pub mod roles;

use std::fmt;

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

/// Number of a [`Call`].
pub type CallId = u32;

/// Stands for any function, class or variable in claims that name nothing of a program.
pub const ANY: &str = "*";

/// A function, and where it matters which, the object it is called on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Qualified name.
    pub function: String,
    /// What it does.
    #[serde(with = "role_word")]
    pub role: Role,
    /// Name of the optimizer, scheduler or scaler, `AdamW#2`; `None`: whichever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
}

impl Call {
    /// Any function with this role, on whatever object.
    pub fn any(role: Role) -> Call {
        Call { function: ANY.into(), role, object: None }
    }

    /// Whether both are steps of optimizers, or clear gradients for them, and name two.
    pub fn is_of_another_optimizer(&self, other: &Call) -> bool {
        let is_of_one = |call: &Call| matches!(call.role, Role::OptimizerStep | Role::ZeroGrad);
        is_of_one(self)
            && is_of_one(other)
            && self.object.is_some()
            && other.object.is_some()
            && self.object != other.object
    }

    /// Any function that does the same, on whatever object; `None`: what it does says too little.
    pub fn general(&self) -> Option<Call> {
        let says_nothing = matches!(self.role, Role::User | Role::Other | Role::ModuleCall);
        (!says_nothing).then(|| Call::any(self.role))
    }
}

/// A function that is told by what it does alone.
fn any_function(role: Role) -> &'static str {
    match role {
        Role::OptimizerStep => "`step` of an optimizer",
        Role::ScalerStep => "`step` of a gradient scaler",
        Role::SchedulerStep => "`step` of a scheduler",
        Role::Backward => "`backward`",
        Role::ZeroGrad => "`zero_grad`",
        Role::ClipGrad => "clipping of gradients",
        Role::ScalerUnscale => "`unscale_`",
        Role::ScalerUpdate => "`update` of a gradient scaler",
        Role::ScalerScale => "`scale` of a gradient scaler",
        role => role_word::word(role),
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.function == ANY {
            return f.write_str(any_function(self.role));
        }
        match &self.object {
            None => write!(f, "`{}`", short(&self.function)),
            Some(object) => write!(f, "`{}` of `{object}`", short(&self.function)),
        }
    }
}

/// Class and method only: `torch.optim.adamw.AdamW.step` is `AdamW.step`. Functions of the script keep their name.
pub fn short(function: &str) -> &str {
    let function = function.strip_prefix("__main__.").unwrap_or(function);
    if !function.starts_with("torch.") {
        return function;
    }
    let mut dots = function.rmatch_indices('.').map(|(at, _)| at);
    let _ = dots.next();
    dots.next().map_or(function, |at| &function[at + 1..])
}

/// The class alone: `torch.optim.adamw.AdamW` is `AdamW`.
pub fn class_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// A class as claims speak of it: its name, or `any` for [`ANY`].
pub fn named(class: &str, any: &str) -> String {
    variable(class_name(class), any)
}

/// The same of a variable or another object that has a name of its own.
pub fn variable(name: &str, any: &str) -> String {
    if name == ANY { any.to_owned() } else { format!("`{name}`") }
}
