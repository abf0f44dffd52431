//! What mode claims.

use serde::{Deserialize, Serialize};

use crate::call::{Call, class_name};
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An outermost call of a module without gradients.
    Inference {
        /// The function of the script that makes it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        caller: Option<Call>,
        /// Full class name of the module.
        class: String,
    },
    /// An outermost call, without gradients and in the stage of evaluation, of a model that the run trains and that
    /// does otherwise in training mode.
    Evaluation,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The module is in evaluation mode.
    InEvaluation,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // What is called without gradients need not be evaluated.
            Subject::Inference { .. } => None,
            Subject::Evaluation => Some(Subject::Evaluation),
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        match &self.subject {
            Subject::Inference { caller: Some(caller), class } => {
                let class = class_name(class);
                format!(
                    "whenever {caller} calls a `{class}` without gradients, the module is in evaluation mode"
                )
            }
            Subject::Inference { caller: None, class } => {
                let class = class_name(class);
                format!("whenever a `{class}` is called without gradients, the module is in evaluation mode")
            }
            Subject::Evaluation => {
                "whenever a model that is trained and has dropout or batch norm is evaluated, it is \
                                    in evaluation mode"
                    .into()
            }
        }
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn calls(&self) -> Vec<&Call> {
        match &self.subject {
            Subject::Inference { caller, .. } => caller.iter().collect(),
            Subject::Evaluation => Vec::new(),
        }
    }
}
