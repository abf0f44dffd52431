//! What band claims.

use serde::{Deserialize, Serialize};

use crate::relation::bound::{Bound, Side, number};
use crate::relation::statement::{About, Holds, Says, Statement};
use crate::words::significant;

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// A number: the median of eight measurements in a row.
    Each {
        /// Which.
        quantity: Quantity,
        /// In what setting, in words.
        setting: String,
    },
    /// A number, each time that it is measured.
    Once {
        /// Which.
        quantity: Quantity,
        /// In what setting, in words.
        setting: String,
    },
    /// The higher of the first two of these, once.
    Beginning {
        /// Of what.
        quantity: Quantity,
        /// In what setting, in words.
        setting: String,
    },
}

/// A number that is measured again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Quantity {
    /// The magnitude of what backward begins at.
    Loss {
        /// Its name.
        name: String,
    },
    /// The Euclidean norm of the gradients that a backward leaves in what an optimizer holds.
    Gradients {
        /// Name of the optimizer.
        optimizer: String,
    },
    /// By how much a step changes the norms of what an optimizer holds, relative to them: the root of the sums of squares.
    Update {
        /// Name of the optimizer.
        optimizer: String,
    },
    /// The largest magnitude of a tensor that a module gives back.
    Result {
        /// Name of the module, `Net.head`.
        module: String,
        /// The place in the result: `result[0]`.
        place: String,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The number keeps to the bound.
    Within {
        /// In eighths of a doubling, from 1.
        bound: Bound,
    },
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn side(&self) -> Option<Side> {
        Some(match self {
            Subject::Each { .. } => Side::Above,
            Subject::Once { .. } => Side::FarAbove,
            Subject::Beginning { .. } => Side::Below,
        })
    }
}

impl Holds for Outcome {
    fn bound(&self) -> Option<Bound> {
        let Outcome::Within { bound } = self;
        Some(*bound)
    }

    fn of_bound(bound: Bound) -> Option<Outcome> {
        Some(Outcome::Within { bound })
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let (Subject::Each { quantity, .. }
        | Subject::Once { quantity, .. }
        | Subject::Beginning { quantity, .. }) = &self.subject;
        let quantity = match quantity {
            Quantity::Loss { name } => format!("`{name}`"),
            Quantity::Gradients { optimizer } => {
                format!("the norm of the gradients of `{optimizer}` after a backward")
            }
            Quantity::Result { module, place } => {
                format!("the largest magnitude in the {place} of `{module}`")
            }
            Quantity::Update { optimizer } => {
                format!("the relative change of the norms of parameters in a step of `{optimizer}`")
            }
        };
        let Outcome::Within { bound } = self.outcome;
        let number = significant(number(bound.size()));
        match &self.subject {
            Subject::Each { setting, .. } => format!(
                "over every eight training iterations, the median of {quantity} is at most {number} ({setting})"
            ),
            Subject::Once { setting, .. } => {
                format!("whenever it is looked at, {quantity} is at most {number} ({setting})")
            }
            Subject::Beginning { setting, .. } => format!(
                "in the first 16 training iterations, the median over eight of {quantity} reaches {number} ({setting})"
            ),
        }
    }

    fn instead(&self) -> String {
        let Outcome::Within { bound } = self.outcome;
        format!("it was about {}", significant(number(bound.size())))
    }

    fn is_critical(&self) -> bool {
        true
    }

    /// No other program has its numbers.
    fn is_of_a_script(&self) -> bool {
        true
    }
}
