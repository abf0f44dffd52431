//! What count claims.

use serde::{Deserialize, Serialize};

use super::times::Times;
use crate::call::{ANY, Call, named, variable};
use crate::relation::statement::{About, Holds, Literal, Says, Statement, When};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An iteration with a backward.
    Iteration,
    /// The calls of one function in a stretch of the run.
    Calls {
        /// Of what.
        call: Call,
        /// The stretch.
        per: Stretch,
    },
    /// A scheduler, by class, in the training of a model.
    Scheduler {
        /// Full class name.
        class: String,
        /// Full class name of the model.
        model: String,
    },
    /// The iterations from one step of the optimizers to the next, where they are several.
    Accumulation {
        /// Full class name of the model.
        model: String,
    },
    /// A loss whose gradient is added to those of earlier iterations.
    AccumulatedLoss {
        /// Full class name of the model.
        model: String,
        /// What computes it, as autograd calls it: `NllLoss`.
        node: String,
    },
}

/// In what calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "stretch", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stretch {
    /// An iteration with a backward.
    Iteration,
    /// From one step of an optimizer to its next.
    Step,
    /// A call of a function of the script.
    Call {
        /// Of what.
        call: Call,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It happens so often.
    Happens {
        /// How often.
        times: Times,
    },
    /// No backward begins at a loss that another one began at.
    LossesDiffer,
    /// The optimizer steps after as many iterations as before.
    StepsInTime,
    /// The loss is divided, or multiplied, before backward.
    Scaled,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Iteration => Some(Subject::Iteration),
            Subject::AccumulatedLoss { .. } => {
                Some(Subject::AccumulatedLoss { model: ANY.into(), node: ANY.into() })
            }
            // How many batches make a step may grow in the course of a training.
            Subject::Accumulation { .. } | Subject::Calls { .. } | Subject::Scheduler { .. } => None,
        }
    }
}

impl Holds for Outcome {
    fn literal(&self) -> Option<Literal> {
        match self {
            Outcome::Happens { times: Times::Number(number) } => Literal::number(f64::from(*number)),
            _ => None,
        }
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Iteration => "in every training iteration".to_owned(),
            Subject::Calls { call, per } => {
                let per = match per {
                    Stretch::Iteration => "training iteration".to_owned(),
                    Stretch::Step => "stretch from one step of an optimizer to its next".to_owned(),
                    Stretch::Call { call } => format!("call of {call}"),
                };
                format!("in every {per}, {call}")
            }
            Subject::Scheduler { class, model } => {
                format!("in the training of a {}, the {}", named(model, "model"), named(class, "scheduler"))
            }
            Subject::Accumulation { model } => {
                let model = named(model, "model");
                format!("where gradients of a {model} are accumulated over several batches")
            }
            Subject::AccumulatedLoss { model, node } => {
                let (model, node) = (named(model, "model"), variable(node, "whatever it ends in"));
                format!(
                    "where gradients of the loss ({node}) of a {model} are accumulated over several batches"
                )
            }
        };
        match &self.outcome {
            Outcome::Happens { times } => match self.subject {
                Subject::Calls { .. } => format!("{subject} is called {times}"),
                _ => format!("{subject} steps {times} in every pass over the data"),
            },
            Outcome::LossesDiffer => {
                format!("{subject}, no backward begins at a loss that another one has begun at")
            }
            Outcome::StepsInTime => format!("{subject}, the optimizer steps after as many of them as before"),
            Outcome::Scaled => format!("{subject}, the loss is divided (or multiplied) before backward"),
        }
    }

    fn is_critical(&self) -> bool {
        match (&self.subject, &self.outcome) {
            // How often ReduceLROnPlateau steps depends on how often the model is evaluated.
            (Subject::Scheduler { class, .. }, Outcome::Happens { times: Times::Once | Times::Steps }) => {
                !class.ends_with("ReduceLROnPlateau")
            }
            (Subject::Accumulation { .. } | Subject::AccumulatedLoss { .. }, _) => true,
            (Subject::Iteration, Outcome::LossesDiffer) => true,
            _ => false,
        }
    }

    fn calls(&self) -> Vec<&Call> {
        match &self.subject {
            Subject::Calls { call, per: Stretch::Call { call: within } } => vec![call, within],
            Subject::Calls { call, .. } => vec![call],
            _ => Vec::new(),
        }
    }

    /// The same count, through what says most.
    fn implied_by(&self) -> Vec<(Claim, When)> {
        let (Subject::Calls { .. }, Outcome::Happens { times }) = (&self.subject, self.outcome) else {
            return Vec::new();
        };
        let better = Times::EXPLAINED.into_iter().take_while(|better| *better < times);
        let claim = |times| Claim { subject: self.subject.clone(), outcome: Outcome::Happens { times } };
        better.map(|times| (claim(times), When::Always)).collect()
    }
}
