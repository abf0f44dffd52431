//! What moving claims.

use serde::{Deserialize, Serialize};

use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A parameter, once at the end of the run: one that an optimizer holds, with gradients that are not zero and a
    /// rate above zero.
    Trained,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The variable changes.
    Moves,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Variable { .. } => None,
            Subject::Trained => Some(Subject::Trained),
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        match &self.subject {
            Subject::Variable { name } => format!("in every training step, `{name}` changes"),
            Subject::Trained => {
                "every parameter that an optimizer holds, with a gradient that is not zero and a rate \
                                 above zero, changes in some step"
                    .into()
            }
        }
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn step_of_a_variable(&self) -> Option<(&str, bool)> {
        match &self.subject {
            Subject::Variable { name } => Some((name, true)),
            Subject::Trained => None,
        }
    }
}
