//! What input_output claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::Call;
use crate::relation::statement::{Holds, Says, Statement};

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
    /// The property of the result is that of the argument.
    Kept,
    /// No claim of its own: that this value was seen makes others worth making.
    Saw {
        /// The value.
        value: String,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl Holds for Outcome {
    fn is_support(&self) -> bool {
        matches!(self, Outcome::Saw { .. })
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Mapping { call, place, property } = &self.subject;
        let what = match property {
            Property::Rows => "the first dimension of",
            Property::Dtype => "the type of",
        };
        let subject = format!("in every call of {call}, {what} its {place}");
        match &self.outcome {
            Outcome::Kept => format!("{subject} is that of the first tensor it is given"),
            Outcome::Saw { value } => format!("{subject}: {value}"),
        }
    }

    /// A function of the script may leave rows out; a module that does has mixed them up.
    fn is_critical(&self) -> bool {
        let Subject::Mapping { call, property, .. } = &self.subject;
        self.outcome == Outcome::Kept && *property == Property::Rows && call.role == Role::ModuleCall
    }

    fn calls(&self) -> Vec<&Call> {
        let Subject::Mapping { call, .. } = &self.subject;
        vec![call]
    }
}
