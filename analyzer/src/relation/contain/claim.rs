//! What contain claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::Call;
use crate::relation::statement::{About, Holds, Says, Statement, calls};
use crate::situation::Fields;

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An iteration with a backward.
    Iteration,
    /// A call, from its entry to its return.
    Call {
        /// Of what.
        call: Call,
    },
    /// An optimizer step whose parameters were observed on entry and on return.
    Update {
        /// The step.
        call: Call,
    },
    /// A step of an optimizer that evaluates a closure.
    Closure,
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The function is called.
    Called {
        /// Which.
        call: Call,
    },
    /// The module is called, and is in training mode.
    CalledInTraining {
        /// Which.
        call: Call,
    },
    /// The module call that begins the iteration is in training mode.
    BeginsInTraining,
    /// At least one parameter of the optimizer changes.
    ParameterChanges,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl Subject {
    /// Which features of a situation preconditions may speak of.
    pub fn fields(&self) -> Fields {
        match self {
            // The stage in which a function of the user's is entered depends on what ran before it.
            Subject::Call { call } if call.role == Role::User => Fields::GRAD,
            Subject::Call { call } if call.role == Role::ModuleCall => {
                Fields::MODULE_CALL.and(Fields::NUMERICS)
            }
            Subject::Call { .. } => Fields::STAGE_AND_GRAD,
            Subject::Iteration | Subject::Update { .. } | Subject::Closure => Fields::NONE,
        }
    }
}

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            Subject::Iteration => Some(Subject::Iteration),
            Subject::Call { .. } | Subject::Update { .. } => None,
            Subject::Closure => Some(Subject::Closure),
        }
    }
}

impl Holds for Outcome {
    fn general(&self) -> Option<Outcome> {
        match self {
            Outcome::Called { call } => Some(Outcome::Called { call: call.general()? }),
            // A module's call is told by its class; and who fine-tunes may leave it in evaluation mode on purpose.
            Outcome::CalledInTraining { .. } | Outcome::BeginsInTraining => None,
            Outcome::ParameterChanges => Some(self.clone()),
        }
    }

    fn call(&self) -> Option<&Call> {
        match self {
            Outcome::Called { call } | Outcome::CalledInTraining { call } => Some(call),
            Outcome::BeginsInTraining | Outcome::ParameterChanges => None,
        }
    }

    fn called(&self) -> Option<&Call> {
        match self {
            Outcome::Called { call } => Some(call),
            _ => None,
        }
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let subject = match &self.subject {
            Subject::Iteration => "in every training iteration".to_owned(),
            Subject::Call { call } | Subject::Update { call } => format!("in every call of {call}"),
            Subject::Closure => "in every step of an optimizer that evaluates a closure".into(),
        };
        match &self.outcome {
            Outcome::Called { call } => format!("{subject}, {call} is called"),
            Outcome::CalledInTraining { call } => format!("{subject}, {call} is called in training mode"),
            Outcome::BeginsInTraining => format!("{subject}, the module is in training mode"),
            Outcome::ParameterChanges => format!("{subject}, at least one parameter it holds changes"),
        }
    }

    fn is_critical(&self) -> bool {
        match (&self.subject, &self.outcome) {
            (Subject::Update { .. }, Outcome::ParameterChanges) => true,
            (Subject::Closure, Outcome::Called { call }) => call.role == Role::Backward,
            (Subject::Iteration, Outcome::CalledInTraining { .. } | Outcome::BeginsInTraining) => true,
            // The zero_grad seen in an iteration is that of the next one in most scripts: cover speaks of it. How often
            // a scheduler steps is for lifecycle. A backward is what makes it a training iteration.
            (Subject::Iteration, Outcome::Called { call }) => {
                matches!(call.role, Role::OptimizerStep | Role::ClipGrad) || is_scaler(call.role)
            }
            (Subject::Call { call: parent }, Outcome::Called { call }) => match parent.role {
                Role::User => {
                    matches!(
                        call.role,
                        Role::OptimizerStep | Role::ClipGrad | Role::Backward | Role::ZeroGrad
                    ) || is_scaler(call.role)
                }
                // With a closure.
                Role::OptimizerStep => {
                    matches!(call.role, Role::Backward | Role::ZeroGrad | Role::ModuleCall)
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn fields(&self) -> Fields {
        self.subject.fields()
    }

    calls!(|subject, outcome| {
        let of = match subject {
            Subject::Iteration | Subject::Closure => None,
            Subject::Call { call } | Subject::Update { call } => Some(call),
        };
        let called = match outcome {
            Outcome::Called { call } | Outcome::CalledInTraining { call } => Some(call),
            Outcome::BeginsInTraining | Outcome::ParameterChanges => None,
        };
        of.into_iter().chain(called).collect()
    });
}

fn is_scaler(role: Role) -> bool {
    matches!(role, Role::ScalerScale | Role::ScalerUnscale | Role::ScalerStep | Role::ScalerUpdate)
}
