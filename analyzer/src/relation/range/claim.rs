//! What range claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, named};
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An optimizer, by class.
    Optimizer {
        /// Full class name.
        class: String,
    },
    /// The gradient of a parameter, when a backward returns.
    Gradient {
        /// Name of the parameter.
        name: String,
    },
    /// The gradients of a parameter that an optimizer holds, all of the run together.
    Gradients,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The loss at which backward began is finite.
    LossFinite,
    /// So are the gradients that it left.
    GradientsFinite,
    /// So are the parameters that the step leaves.
    ParametersFinite,
    /// Not all of its elements are zero.
    GradientLives,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Optimizer { .. } => Some(Subject::Optimizer { class: ANY.into() }),
            // A unit may be dead, and a head of no use in what is trained now.
            Subject::Gradient { .. } => None,
            Subject::Gradients => Some(Subject::Gradients),
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Optimizer { class } => format!("in every step of {}", named(class, "an optimizer")),
            Subject::Gradient { name } => format!("whenever a backward returns, the gradient of `{name}`"),
            Subject::Gradients => {
                return "of every parameter that an optimizer holds, some gradient is not exactly zero"
                    .into();
            }
        };
        match self.outcome {
            Outcome::LossFinite => format!("{subject}, the loss that backward began at is finite"),
            Outcome::GradientsFinite => format!("{subject}, the gradients that backward left are finite"),
            Outcome::ParametersFinite => format!("{subject}, the parameters it leaves are finite"),
            Outcome::GradientLives => format!("{subject} is not exactly zero"),
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
