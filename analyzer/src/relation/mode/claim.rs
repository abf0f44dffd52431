//! What mode claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, Call, class_name, variable};
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
    /// A module inside a root module that one in training mode calls with gradients, before a backward.
    TrainedPart {
        /// Its name.
        name: String,
    },
    /// A module inside a root module that one in evaluation mode calls without gradients.
    EvaluatedPart {
        /// Its name.
        name: String,
    },
    /// A step of an optimizer after a backward through a model that it trains and that does otherwise in training mode.
    Training,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The module is in evaluation mode.
    InEvaluation,
    /// The module is in training mode.
    InTraining,
    /// No optimizer holds a parameter of it: it is a copy of a model, or a teacher.
    Untrained,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // What is called without gradients need not be evaluated.
            Subject::Inference { .. } => None,
            Subject::Evaluation | Subject::Training => Some(self.clone()),
            // Some parts are switched by themselves on purpose.
            Subject::TrainedPart { name } | Subject::EvaluatedPart { name } => {
                (name == ANY).then(|| self.clone())
            }
        }
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let outcome = match self.outcome {
            Outcome::InEvaluation => "the module is in evaluation mode",
            Outcome::InTraining => "the module is in training mode",
            Outcome::Untrained => "no optimizer trains the module",
        };
        match &self.subject {
            Subject::Inference { caller: Some(caller), class } => {
                let class = class_name(class);
                format!("whenever {caller} calls a `{class}` without gradients, {outcome}")
            }
            Subject::Inference { caller: None, class } => {
                let class = class_name(class);
                format!("whenever a `{class}` is called without gradients, {outcome}")
            }
            Subject::Evaluation => {
                "whenever a model that is trained and has dropout or batch norm is evaluated, it is \
                                    in evaluation mode"
                    .into()
            }
            Subject::TrainedPart { name } => {
                let name = variable(name, "a module with dropout or batch norm");
                format!(
                    "whenever {name} is called with gradients by a module in training mode, it is in training mode"
                )
            }
            Subject::EvaluatedPart { name } => {
                let name = variable(name, "a module with dropout or batch norm");
                format!("whenever {name} is called by a module in evaluation mode, it is in evaluation mode")
            }
            Subject::Training => {
                "in every step of an optimizer, the model that it trains and that has dropout or batch norm was \
                 called in training mode before the backward"
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
            Subject::Evaluation
            | Subject::Training
            | Subject::TrainedPart { .. }
            | Subject::EvaluatedPart { .. } => Vec::new(),
        }
    }
}
