//! What mode claims.

use serde::{Deserialize, Serialize};

use crate::call::{Call, class_name};
use crate::relation::statement::{Holds, Says, Statement};

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

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let Subject::Inference { caller, class } = &self.subject;
        let class = class_name(class);
        match caller {
            Some(caller) => {
                format!(
                    "whenever {caller} calls a `{class}` without gradients, the module is in evaluation mode"
                )
            }
            None => {
                format!("whenever a `{class}` is called without gradients, the module is in evaluation mode")
            }
        }
    }

    fn is_critical(&self) -> bool {
        true
    }

    fn calls(&self) -> Vec<&Call> {
        let Subject::Inference { caller, .. } = &self.subject;
        caller.iter().collect()
    }
}
