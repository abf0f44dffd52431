//! What broadcast claims.

use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// Two tensors that a call is given.
    Pair {
        /// The call.
        call: Call,
        /// The name of the first.
        one: String,
        /// And of the second.
        other: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// They have the same shape.
    SameShape,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    /// What PyTorch's own functions are given has the same meaning in any program.
    fn general(&self) -> Option<Subject> {
        let Subject::Pair { call, .. } = self;
        call.function.starts_with("torch.").then(|| self.clone())
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Pair { call, one, other } = &self.subject;
        format!("in every call of {call}, `{one}` and `{other}` have the same shape")
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn calls(&self) -> Vec<&Call> {
        let Subject::Pair { call, .. } = &self.subject;
        vec![call]
    }
}
