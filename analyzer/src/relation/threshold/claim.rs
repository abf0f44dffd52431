//! What threshold claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A call that is given a bound.
    Bound {
        /// The call.
        call: Call,
        /// The argument that is the bound.
        argument: String,
    },
    /// A step of an optimizer whose gradients were clipped by their norm.
    Clipped,
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// What is measured is no more than the bound.
    Within,
    /// No claim of its own: that this bound was nearly reached makes others worth making.
    Saw {
        /// Name of the bound.
        value: String,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

/// What bounds of how much a result grows begin with.
pub const OF_NEW: &str = "max_new";

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // What the arguments of a script's functions bound only the script can say, and of which gradients a call is given
            // `Clipped` makes allowance for.
            Subject::Bound { .. } => None,
            Subject::Clipped => Some(Subject::Clipped),
        }
    }
}

impl Holds for Outcome {
    fn is_support(&self) -> bool {
        matches!(self, Outcome::Saw { .. })
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Bound { call, argument } = &self.subject else {
            return "in every step of an optimizer whose gradients were clipped, their norm is within the bound".into();
        };
        let subject = if call.role == Role::ClipGrad {
            format!("after every call of {call}, the norm of all gradients is no more than `{argument}`")
        } else if argument.starts_with(OF_NEW) {
            format!("in every call of {call}, the result is longer by no more than `{argument}`")
        } else {
            format!("in every call of {call}, the result is no longer than `{argument}`")
        };
        match &self.outcome {
            Outcome::Within => subject,
            Outcome::Saw { value } => format!("{subject}: {value}"),
        }
    }

    /// Other bounds may be equal by chance to a width or a number of classes.
    fn is_critical(&self) -> bool {
        let Subject::Bound { call, argument } = &self.subject else { return true };
        call.role == Role::ClipGrad || argument.starts_with(OF_NEW)
    }

    fn calls(&self) -> Vec<&Call> {
        match &self.subject {
            Subject::Bound { call, .. } => vec![call],
            Subject::Clipped => Vec::new(),
        }
    }
}
