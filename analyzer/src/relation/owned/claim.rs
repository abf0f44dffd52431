//! What owned claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, named};
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
    /// A module that another one calls, both by class.
    Inside {
        /// Full class name of the outermost module.
        root: String,
        /// And of that one.
        class: String,
    },
    /// An optimizer, by class.
    Optimizer {
        /// Full class name.
        class: String,
    },
    /// A parameter that an optimizer holds, and whose module is called where gradients are computed.
    Called,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Every parameter with a gradient is held by an optimizer.
    Held,
    /// By one optimizer only.
    HeldOnce,
    /// Every parameter that is held belongs to a module that ran.
    Reached,
    /// It is part of a root module.
    Part,
    /// It gets a gradient.
    GetsGradient,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        Some(match self {
            Subject::Root { .. } => Subject::Root { class: ANY.into() },
            // Which classes have parameters in any program is told where they are called.
            Subject::Inside { root, .. } if root != ANY => return None,
            Subject::Inside { .. } => self.clone(),
            Subject::Optimizer { .. } => Subject::Optimizer { class: ANY.into() },
            Subject::Called => Subject::Called,
        })
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Root { class } => format!("in {}", named(class, "every model")),
            Subject::Inside { root, class } => {
                format!("whenever a {} is called inside a {}", named(class, "module"), named(root, "model"))
            }
            Subject::Optimizer { class } => format!("in every step of {}", named(class, "an optimizer")),
            Subject::Called => {
                "of every parameter that an optimizer holds and whose module is called in training".into()
            }
        };
        let outcome = match self.outcome {
            Outcome::Held => "every parameter that got a gradient is held by an optimizer",
            Outcome::HeldOnce => "every parameter that got a gradient is held by no more than one optimizer",
            Outcome::Reached => "every parameter it holds belongs to a module that ran",
            Outcome::Part => "it is part of a model",
            Outcome::GetsGradient => "there is a gradient by the end of the run",
        };
        format!("{subject}, {outcome}")
    }

    fn is_critical(&self) -> bool {
        true
    }
}
