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
    /// The first two tensors that a loss of PyTorch's is given.
    Loss,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// They have the same shape.
    SameShape,
    /// They are not broadcast to a shape with more elements than either.
    Fits,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // Shapes differ for many reasons, and only of a loss is it known what they mean.
            Subject::Pair { .. } => None,
            Subject::Loss => Some(Subject::Loss),
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Pair { call, one, other } => format!("in every call of {call}, `{one}` and `{other}`"),
            Subject::Loss => "in every call of a loss, two tensors".into(),
        };
        let outcome = match self.outcome {
            Outcome::SameShape => "have the same shape",
            Outcome::Fits => "are not broadcast to a shape with more elements than either",
        };
        format!("{subject} {outcome}")
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn calls(&self) -> Vec<&Call> {
        match &self.subject {
            Subject::Pair { call, .. } => vec![call],
            Subject::Loss => Vec::new(),
        }
    }
}
