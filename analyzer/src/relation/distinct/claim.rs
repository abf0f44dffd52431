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
    /// Passes over a loader that is trained on.
    Passes {
        /// Its name.
        loader: String,
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
    /// A stream that everybody draws from, where something begins.
    Stream {
        /// Its name.
        name: String,
        /// What does.
        begins: Stretch,
    },
    /// The batches of a loader, on the ranks of a job.
    RankBatches {
        /// Its name.
        loader: String,
    },
    /// The batches of ranks that train the same parameters.
    BatchesOfReplicas,
    /// A stream of random numbers, on the ranks of a job.
    RankStream {
        /// Its name.
        name: String,
    },
}

/// What begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stretch {
    /// An iteration.
    Iteration,
    /// A pass over training data.
    Pass,
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
    /// It does not begin with the batches that the one before began with.
    OrderDiffers,
    /// What one worker gives is not what another gives.
    WorkersDiffer,
    /// What one rank has is not what another has.
    RanksDiffer,
    /// It was drawn from, and is not where it was when the one before began.
    GoesOn,
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
            Subject::Stream { begins, .. } => Subject::Stream { name: ANY.into(), begins: *begins },
            Subject::BatchesOfReplicas => Subject::BatchesOfReplicas,
            // Which ranks work on one batch together is the program's own business.
            Subject::RankBatches { .. } | Subject::RankStream { .. } => return None,
            // Some data have an order of their own.
            Subject::Passes { .. } => return None,
        })
    }

    fn is_over_ranks(&self) -> bool {
        matches!(self, Subject::RankBatches { .. } | Subject::BatchesOfReplicas | Subject::RankStream { .. })
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
            Subject::Stream { name, begins } => {
                let stream = variable(name, "every stream of random numbers");
                let begins = match begins {
                    Stretch::Iteration => "an iteration",
                    Stretch::Pass => "a pass over the training data",
                };
                return format!(
                    "where {begins} begins, {stream} is not where it was when the one before began"
                );
            }
            Subject::Passes { loader } => {
                return format!(
                    "a pass over `{loader}` does not begin with the batches that the one before began with"
                );
            }
            Subject::RankBatches { loader } => format!("of `{loader}`"),
            Subject::BatchesOfReplicas => "of ranks that train the same parameters".into(),
            Subject::RankStream { name } => format!("of `{name}`"),
            Subject::Streams { loader, stream } => {
                let loader = variable(loader, "every loader");
                return format!("each worker of {loader} draws from a stream `{stream}` of its own");
            }
        };
        match self.outcome {
            Outcome::SharesNothing => format!("{subject}, no parameter is also that of another model"),
            Outcome::GradientDiffers => format!("{subject} has another gradient than in the step before"),
            Outcome::BatchDiffers => format!("{subject}, every batch trained on differs from the one before"),
            Outcome::OrderDiffers => format!("{subject}, passes differ in their order"),
            Outcome::RanksDiffer => match self.subject {
                Subject::RankStream { .. } => format!("{subject}, each rank draws random numbers of its own"),
                _ => format!("{subject}, batches differ from rank to rank"),
            },
            Outcome::GoesOn => format!("{subject}, random numbers go on"),
            Outcome::WorkersDiffer => format!("{subject}, batches differ from worker to worker"),
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
