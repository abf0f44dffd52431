//! What writes claims.

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// From one step to the next, with calls of functions of the script in between that are given a model.
    Around {
        /// All of them, in order of name.
        calls: Vec<Call>,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// A parameter that an optimizer holds changes.
    Written,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Around { calls } = &self.subject;
        let calls: Vec<String> = calls.iter().map(Call::to_string).collect();
        format!("between the steps around every call of {}, a parameter changes", calls.join(" and "))
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn calls(&self) -> Vec<&Call> {
        let Subject::Around { calls } = &self.subject;
        calls.iter().collect()
    }
}
