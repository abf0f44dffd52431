//! Calls as claims name them: a function, what it does, and where that matters the object that it is called on.

pub mod role_word;
pub mod roles;

use std::fmt;

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

/// Number of a [`Call`].
pub type CallId = u32;

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

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
