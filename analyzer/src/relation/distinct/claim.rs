//! What distinct claims.

use serde::{Deserialize, Serialize};

use crate::call::class_name;
use crate::relation::statement::{Holds, Says, Statement};

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

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Root { class } => format!("in `{}`", class_name(class)),
            Subject::Variable { name } if self.outcome == Outcome::WorkersDiffer => {
                return format!("`{name}` differs from worker to worker");
            }
            Subject::Streams { loader, stream } => {
                return format!("each worker of `{loader}` draws from a stream `{stream}` of its own");
            }
            Subject::Variable { name } => format!("in every training step, `{name}`"),
            Subject::Loader { name: loader } | Subject::Workers { loader } => format!("of `{loader}`"),
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
