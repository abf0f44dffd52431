//! What schedule claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, named};
use crate::relation::statement::{About, Holds, Literal, Says, Statement};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A scheduler, by class, in the training of a model.
    Scheduler {
        /// Full class name.
        class: String,
        /// Full class name of the model.
        model: String,
    },
    /// A learning rate, where it changes.
    RateChange {
        /// Its name.
        name: String,
    },
    /// A learning rate, from the first to the last iteration of a pass over the training data.
    RateInPass {
        /// Its name.
        name: String,
    },
    /// A learning rate after so many steps of schedulers.
    Scheduled {
        /// Name of the learning rate.
        name: String,
        /// How many.
        steps: u32,
    },
    /// The first steps of an optimizer.
    FirstSteps,
    /// All steps of an optimizer whose rates a scheduler sets.
    WholeRun,
    /// An optimizer of a class whose rates the script sets itself, within so many of its steps.
    SetWithin {
        /// Full class name.
        class: String,
        /// How many.
        steps: u32,
    },
    /// Two successive steps of a scheduler whose optimizer has stepped before, with no backward between them.
    InARow,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It is so many thousandths of what it was at first.
    Thousandths {
        /// How many.
        of_first: u32,
    },
    /// Where it steps, its optimizer has, if any has.
    WorksOnWhatSteps,
    /// A scheduler's step has changed it, or a state that is loaded.
    ByScheduler,
    /// It does not change.
    Stays,
    /// Some learning rate of it is not exactly zero.
    AboveZero,
    /// An optimizer steps between them.
    Stepped,
    /// In half of them its rate is no less than the ten-thousandth part of its highest.
    LastsOn,
    /// The script sets its learning rate.
    IsSet,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Scheduler { .. } => Some(Subject::Scheduler { class: ANY.into(), model: ANY.into() }),
            Subject::FirstSteps | Subject::WholeRun | Subject::InARow => Some(self.clone()),
            Subject::RateChange { .. }
            | Subject::RateInPass { .. }
            | Subject::Scheduled { .. }
            | Subject::SetWithin { .. } => None,
        }
    }
}

impl Holds for Outcome {
    fn literal(&self) -> Option<Literal> {
        matches!(self, Outcome::Thousandths { .. }).then_some(Literal::Rate)
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Scheduler { class, model } => {
                format!("in the training of a {}, the {}", named(model, "model"), named(class, "scheduler"))
            }
            Subject::RateChange { name } => format!("where `{name}` changes"),
            Subject::RateInPass { name } => format!("within a pass over the training data, `{name}`"),
            Subject::Scheduled { name, steps: 1 } => format!("after the first step of schedulers, `{name}`"),
            Subject::SetWithin { class, steps } => {
                format!("within {steps} steps of a {}", named(class, "optimizer"))
            }
            Subject::InARow => "between every two successive steps of a scheduler".into(),
            Subject::WholeRun => "by the end of the run, for an optimizer with a scheduler".into(),
            Subject::FirstSteps => "in the first steps of an optimizer".into(),
            Subject::Scheduled { name, steps } => format!("after {steps} steps of schedulers, `{name}`"),
        };
        match self.outcome {
            Outcome::Thousandths { of_first } => {
                format!("{subject} is {} times what it was at first", f64::from(of_first) / 1000.0)
            }
            Outcome::WorksOnWhatSteps => {
                format!("{subject} steps only where its optimizer has stepped, not another one")
            }
            Outcome::ByScheduler => format!("{subject}, a step of a scheduler does it"),
            Outcome::Stays => format!("{subject} does not change"),
            Outcome::AboveZero => format!("{subject}, some learning rate of it is not exactly zero"),
            Outcome::Stepped => format!("{subject}, an optimizer steps, or a backward runs"),
            Outcome::IsSet => format!("{subject}, the script sets its learning rate"),
            Outcome::LastsOn => {
                format!(
                    "{subject}, at least half of its steps had more than 1/10,000 of its highest learning rate"
                )
            }
        }
    }

    fn is_critical(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::WorksOnWhatSteps
                | Outcome::AboveZero
                | Outcome::LastsOn
                | Outcome::Stepped
                | Outcome::IsSet
        )
    }

    fn within_steps(&self) -> Option<(u32, Claim)> {
        let Subject::SetWithin { class, steps } = &self.subject else { return None };
        let subject = Subject::SetWithin { class: class.clone(), steps: 0 };
        Some((*steps, Statement { subject, ..*self }))
    }
}
