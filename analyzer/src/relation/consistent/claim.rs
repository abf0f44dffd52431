//! What consistent claims.

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
    /// All parameters of a root module that a loaded state set.
    Loaded,
    /// Two names for one parameter.
    Tie,
    /// A module that is computed again in a backward pass.
    Recomputation {
        /// Full class name.
        class: String,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A variable after a step, on all ranks of a job.
    Replica {
        /// Its name.
        name: String,
    },
    /// A parameter that some ranks have stepped and others have not, when the next step begins.
    SentReplica {
        /// Its name.
        name: String,
    },
    /// A parameter after a step in which its gradient is the same on all ranks.
    SameGradient,
    /// A parameter after a step, of which an earlier step made the same on all ranks.
    SameBefore,
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The parameter is the same tensor as another one.
    SharesStorage {
        /// Name of the other.
        with: String,
    },
    /// Parameters that were one tensor still are.
    StaysTied,
    /// A parameter that a loaded state set is as it was loaded.
    StaysLoaded,
    /// Most of them are, or are derived from what was loaded.
    NotReplaced,
    /// It is the same on all ranks.
    SameOnAllRanks,
    /// PyTorch's stream of random numbers is in the state in which it was the first time.
    DrawsTheSame,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // Some programs replace a part on purpose: see `Loaded`.
            Subject::Root { .. } => None,
            Subject::Loaded => Some(Subject::Loaded),
            Subject::Recomputation { .. } => Some(Subject::Recomputation { class: ANY.into() }),
            Subject::Tie => Some(Subject::Tie),
            Subject::SameGradient => Some(Subject::SameGradient),
            Subject::SameBefore => Some(Subject::SameBefore),
            // What is replicated and what is divided among ranks is the program's own business.
            Subject::Variable { .. } | Subject::Replica { .. } | Subject::SentReplica { .. } => None,
        }
    }

    fn is_over_ranks(&self) -> bool {
        matches!(
            self,
            Subject::Replica { .. }
                | Subject::SentReplica { .. }
                | Subject::SameGradient
                | Subject::SameBefore
        )
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Root { class } => format!("in {}", named(class, "every model")),
            Subject::Recomputation { class } => {
                format!("whenever a {} is computed again in a backward pass", named(class, "module"))
            }
            Subject::Loaded | Subject::Tie => "in every model".into(),
            Subject::Variable { name } => format!("in every training step, `{name}`"),
            Subject::Replica { name } => format!("after every step, `{name}`"),
            Subject::SentReplica { name } => {
                format!("before the step after one in which only some ranks have stepped `{name}`, it")
            }
            Subject::SameGradient => {
                "after every step, every parameter whose gradient is the same on all ranks".into()
            }
            Subject::SameBefore => {
                "after every step, every parameter that an earlier one left the same on all ranks".into()
            }
        };
        match &self.outcome {
            Outcome::SharesStorage { with } => format!("{subject} is the same tensor as `{with}`"),
            Outcome::StaysTied => format!("{subject}, parameters that were one tensor at a step stay one"),
            Outcome::SameOnAllRanks => format!("{subject} is the same on all ranks"),
            Outcome::DrawsTheSame => format!("{subject}, it draws the random numbers that it drew before"),
            Outcome::StaysLoaded => {
                format!(
                    "{subject}, every parameter that `load_state_dict` set is still so at the step that follows"
                )
            }
            Outcome::NotReplaced => {
                format!(
                    "{subject}, most parameters that `load_state_dict` set are not replaced before the step that follows"
                )
            }
        }
    }

    fn is_critical(&self) -> bool {
        true
    }
}
