//! What distinct claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, named, variable};
use crate::relation::statement::{About, Holds, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A root module, by class.
    Root {
        /// Full class name.
        class: String,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A loader of data.
    Loader {
        /// Its name.
        name: String,
    },
    /// A part of the batches of a loader.
    Part {
        /// Its name.
        name: String,
    },
    /// The workers of a loader.
    Workers {
        /// Name of the loader.
        loader: String,
    },
    /// The streams of random numbers of its first two workers.
    Streams {
        /// Name of the loader.
        loader: String,
        /// Name of the stream.
        stream: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Models of the class share no parameter with another model.
    SharesNothing,
    /// The gradient is not that of the step before.
    GradientDiffers,
    /// The batch is not the one before.
    BatchDiffers,
    /// What one worker gives is not what another gives.
    WorkersDiffer,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        Some(match self {
            Subject::Root { .. } => Subject::Root { class: ANY.into() },
            Subject::Variable { .. } => Subject::Variable { name: ANY.into() },
            Subject::Loader { .. } => Subject::Loader { name: ANY.into() },
            Subject::Part { .. } => Subject::Part { name: ANY.into() },
            Subject::Workers { .. } => Subject::Workers { loader: ANY.into() },
            Subject::Streams { stream, .. } => {
                Subject::Streams { loader: ANY.into(), stream: stream.clone() }
            }
        })
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Root { class } => format!("in {}", named(class, "every model")),
            Subject::Part { name } => {
                let part = variable(name, "what is drawn at random in a batch");
                return format!("{part} differs from worker to worker");
            }
            Subject::Variable { name } => {
                format!("in every training step, {}", variable(name, "each parameter"))
            }
            Subject::Loader { name: loader } | Subject::Workers { loader } => {
                format!("of {}", variable(loader, "every loader"))
            }
            Subject::Streams { loader, stream } => {
                let loader = variable(loader, "every loader");
                return format!("each worker of {loader} draws from a stream `{stream}` of its own");
            }
        };
        match self.outcome {
            Outcome::SharesNothing => format!("{subject}, no parameter is also that of another model"),
            Outcome::GradientDiffers => format!("{subject} has another gradient than in the step before"),
            Outcome::BatchDiffers => format!("{subject}, every batch trained on differs from the one before"),
            Outcome::WorkersDiffer => format!("{subject}, batches differ from worker to worker"),
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
