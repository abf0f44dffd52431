//! What output claims.

use serde::{Deserialize, Serialize};

use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A tensor that a module gives back, with gradients.
    Result {
        /// Name of the module, `Net.head`.
        module: String,
        /// The place in the result: `result[0]`.
        place: String,
        /// The autocast that is on somewhere in the iteration.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        under: Option<String>,
    },
    /// What is in such a tensor, with gradients or without.
    Contents {
        /// Name of the module, `Net.head`.
        module: String,
        /// The place in the result: `result[0]`.
        place: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It is of this type.
    Dtype {
        /// PyTorch's name of it, without `torch.`.
        dtype: String,
    },
    /// It lies on a device of this kind.
    Device {
        /// Such as `cuda`.
        device: String,
    },
    /// It requires a gradient.
    RequiresGrad,
    /// Not all of its elements are zero.
    Nonzero,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

/// Whether `under`, such as `autocast(cpu, bfloat16)`, computes in `dtype`.
pub fn is_of(under: &str, dtype: &str) -> bool {
    under.contains(&format!(", {dtype})"))
}

impl About for Subject {}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Result { module, place, under } => {
                let under =
                    under.as_ref().map_or(String::new(), |under| format!(" in iterations with {under}"));
                format!("whenever `{module}` is called with gradients{under}, its {place}")
            }
            Subject::Contents { module, place } => format!("whenever `{module}` is called, its {place}"),
        };
        match &self.outcome {
            Outcome::Dtype { dtype } => format!("{subject} is of type {dtype}"),
            Outcome::Device { device } => format!("{subject} is on a device of type {device}"),
            Outcome::RequiresGrad => format!("{subject} requires a gradient"),
            Outcome::Nonzero => format!("{subject} is not all zeros"),
        }
    }

    fn is_critical(&self) -> bool {
        match (&self.subject, &self.outcome) {
            (Subject::Result { under: Some(under), .. }, Outcome::Dtype { dtype }) => is_of(under, dtype),
            (Subject::Contents { .. }, Outcome::Nonzero) => true,
            _ => false,
        }
    }
}
