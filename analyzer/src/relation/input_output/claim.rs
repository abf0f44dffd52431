//! What input_output claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// What a call makes of what it is given.
    Mapping {
        /// The call.
        call: Call,
        /// The place in its result.
        place: String,
        /// What is compared.
        property: Property,
    },
    /// The first dimensions of two tensors that a call is given.
    Rows {
        /// The call.
        call: Call,
        /// The name of the first.
        one: String,
        /// And of the second.
        other: String,
    },
}

/// What of a tensor is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// Its first dimension.
    Rows,
    /// The type of its numbers.
    Dtype,
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The property of the result, or of the second tensor, is that of the first tensor that is given.
    Kept,
    /// No claim of its own: that this value was seen makes others worth making.
    Saw {
        /// The value.
        value: String,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {}

impl Holds for Outcome {
    fn is_support(&self) -> bool {
        matches!(self, Outcome::Saw { .. })
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let (subject, kept) = match &self.subject {
            Subject::Mapping { call, place, property } => {
                let what = match property {
                    Property::Rows => "the first dimension of",
                    Property::Dtype => "the type of",
                };
                let subject = format!("in every call of {call}, {what} its {place}");
                (subject, "is that of the first tensor it is given".to_owned())
            }
            Subject::Rows { call, one, other } => {
                let subject = format!("in every call of {call}, the first dimension of `{one}`");
                (subject, format!("is that of `{other}`"))
            }
        };
        match &self.outcome {
            Outcome::Kept => format!("{subject} {kept}"),
            Outcome::Saw { value } => format!("{subject}: {value}"),
        }
    }

    /// A function of the script may leave rows out; a module that does has mixed them up.
    fn is_critical(&self) -> bool {
        let is_critical = match &self.subject {
            Subject::Mapping { call, property, .. } => {
                *property == Property::Rows && call.role == Role::ModuleCall
            }
            Subject::Rows { .. } => true,
        };
        is_critical && self.outcome == Outcome::Kept
    }

    fn calls(&self) -> Vec<&Call> {
        let (Subject::Mapping { call, .. } | Subject::Rows { call, .. }) = &self.subject;
        vec![call]
    }
}
