//! What frozen claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, named};
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A root module, by class.
    Root {
        /// Full class name.
        class: String,
    },
    /// An outermost call, without gradients, of a module in evaluation mode.
    Evaluation {
        /// Full class name.
        class: String,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The variable, which does not require a gradient, does not change.
    StaysFrozen,
    /// The buffer does not change.
    StaysConstant,
    /// No parameter changes.
    ParametersStay,
    /// No buffer changes.
    BuffersStay,
    /// PyTorch's stream of random numbers does not change.
    DrawsNothing,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Root { .. } => Some(Subject::Root { class: ANY.into() }),
            Subject::Evaluation { .. } => Some(Subject::Evaluation { class: ANY.into() }),
            // Whether a variable is meant to change only its program can say.
            Subject::Variable { .. } => None,
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Root { class } => format!("in {}", named(class, "every model")),
            Subject::Evaluation { class } => format!("while a {} is evaluated", named(class, "model")),
            Subject::Variable { name } => format!("in every training step, `{name}`"),
        };
        let outcome = match self.outcome {
            Outcome::StaysFrozen => "which requires no gradient, does not change",
            Outcome::StaysConstant => "a buffer, does not change",
            Outcome::ParametersStay => "no parameter changes during evaluation",
            Outcome::BuffersStay => "no buffer changes during evaluation",
            Outcome::DrawsNothing => "no random numbers are drawn",
        };
        format!("{subject}, {outcome}")
    }

    fn is_critical(&self) -> bool {
        match self.outcome {
            Outcome::StaysFrozen | Outcome::ParametersStay | Outcome::BuffersStay | Outcome::DrawsNothing => {
                true
            }
            Outcome::StaysConstant => false,
        }
    }

    fn step_of_a_variable(&self) -> Option<(&str, bool)> {
        match &self.subject {
            Subject::Variable { name } => Some((name, false)),
            Subject::Root { .. } | Subject::Evaluation { .. } => None,
        }
    }
}
