//! What moving claims.

use serde::{Deserialize, Serialize};

use crate::relation::statement::{Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
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
    /// The variable changes.
    Moves,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Variable { name } = &self.subject;
        format!("in every training step, `{name}` changes")
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn step_of_a_variable(&self) -> Option<(&str, bool)> {
        let Subject::Variable { name } = &self.subject;
        Some((name, true))
    }
}
