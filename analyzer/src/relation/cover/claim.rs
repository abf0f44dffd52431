//! What cover claims.

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use crate::call::{ANY, Call};
use crate::relation::statement::{About, Holds, Says, Statement, When, calls};
use crate::situation::Fields;

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// What came since the call before of the same kind.
    Before {
        /// The call that ends the window.
        call: Call,
        /// The sequence of calls in which it is looked for.
        level: Among,
        /// Whether the first call, with nothing of its kind before it, counts too.
        first: bool,
    },
    /// What came between the last call of one kind and one of another.
    Between {
        /// The call that begins the window: the last one before the other.
        earlier: Call,
        /// The call that ends it.
        later: Call,
    },
    /// What came between two steps of one optimizer, a backward among it.
    Steps,
    /// What came between the last backward and a call that clips gradients.
    Clipping,
    /// What came between a call that clips gradients and the step that uses them.
    Clipped,
}

/// Among which calls neighbours are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// Those made by the same call.
    Same,
    /// All of the thread, as far as they are critical for training.
    Thread,
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
    /// Gradients that the first step has used are cleared, by whatever clears them.
    Cleared,
    /// Not all optimizers have stepped.
    Unused,
    /// Gradients are not multiplied by anything.
    Kept,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

/// What its preconditions may speak of.
pub const FIELDS: Fields = Fields::STAGE_AND_GRAD;

/// What is called between which two calls: the first, the second, and what comes between them.
///
/// - Clipping what an earlier backward left, or what is still multiplied by the loss scale, limits nothing.
/// - A step after a `zero_grad` that no backward followed has no gradients to use.
/// - Gradients that are cleared before any step are work thrown away.
pub const ORDER: &[(Role, Role, Role)] = &[
    (Role::Backward, Role::OptimizerStep, Role::ClipGrad),
    (Role::Backward, Role::ScalerStep, Role::ClipGrad),
    (Role::ScalerUnscale, Role::ScalerStep, Role::ClipGrad),
    (Role::Backward, Role::ClipGrad, Role::ScalerUnscale),
    (Role::ZeroGrad, Role::OptimizerStep, Role::Backward),
    (Role::Backward, Role::ZeroGrad, Role::OptimizerStep),
    (Role::Backward, Role::ZeroGrad, Role::ScalerStep),
];

/// Whether a call of role `inner` belongs between one of `earlier` and one of `later`.
pub fn is_ordered(earlier: Role, later: Role, inner: Role) -> bool {
    ORDER.contains(&(earlier, later, inner))
}

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        match self {
            // Of one scheduler or scaler: what comes between the steps of two is no cycle of either. Of optimizers
            // `Steps` speaks, which knows more than one way to clear gradients.
            Subject::Before { call, level: Among::Thread, first } => {
                let is_one =
                    (call.object.is_some() || call.function == ANY) && call.role != Role::OptimizerStep;
                let call = call.general().filter(|_| is_one)?;
                Some(Subject::Before { call, level: Among::Thread, first: *first })
            }
            Subject::Before { level: Among::Same, .. } => None,
            Subject::Between { earlier, later } => {
                Some(Subject::Between { earlier: earlier.general()?, later: later.general()? })
            }
            Subject::Steps | Subject::Clipping | Subject::Clipped => Some(self.clone()),
        }
    }
}

impl Holds for Outcome {
    fn general(&self) -> Option<Outcome> {
        match self {
            Outcome::Called { call } => Some(Outcome::Called { call: call.general()? }),
            Outcome::Cleared | Outcome::Unused | Outcome::Kept => Some(self.clone()),
        }
    }

    fn call(&self) -> Option<&Call> {
        match self {
            Outcome::Called { call } => Some(call),
            Outcome::Cleared | Outcome::Unused | Outcome::Kept => None,
        }
    }

    fn called(&self) -> Option<&Call> {
        self.call()
    }
}

impl Says for Claim {
    fn text(&self) -> String {
        let inner = match &self.outcome {
            Outcome::Called { call } => format!("{call} is called"),
            Outcome::Cleared => "the gradients that the first has used are cleared".into(),
            Outcome::Unused => "no step has used them".into(),
            Outcome::Kept => "they are not multiplied or divided by anything".into(),
        };
        match &self.subject {
            Subject::Steps => {
                format!("between two steps of an optimizer with a backward between them, {inner}")
            }
            Subject::Clipping => format!("whenever gradients of a backward are clipped, {inner}"),
            Subject::Clipped => format!("between clipping of gradients and the step that uses them, {inner}"),
            Subject::Before { call, level, first } => {
                let place = match level {
                    Among::Same => " at the same level",
                    Among::Thread => "",
                };
                if *first {
                    format!("before every {call}{place}, since the one before it or the start, {inner}")
                } else {
                    format!("between every two successive {call}{place}, {inner}")
                }
            }
            Subject::Between { earlier, later } => {
                format!("between every {later} and the last {earlier} before it, {inner}")
            }
        }
    }

    /// A missing A before B is an error of training only in these pairs; that a zero_grad had nothing to clear is none.
    fn is_critical(&self) -> bool {
        let Outcome::Called { call: earlier } = &self.outcome else { return true };
        let later = match &self.subject {
            Subject::Steps | Subject::Clipping | Subject::Clipped => return true,
            Subject::Before { call, .. } => call,
            Subject::Between { earlier: first, later } => {
                return is_ordered(first.role, later.role, earlier.role);
            }
        };
        match later.role {
            Role::OptimizerStep => {
                matches!(earlier.role, Role::Backward | Role::ZeroGrad | Role::ClipGrad | Role::ScalerUnscale)
            }
            Role::ScalerStep => matches!(
                earlier.role,
                Role::Backward | Role::ZeroGrad | Role::ClipGrad | Role::ScalerUnscale | Role::ScalerScale
            ),
            Role::Backward => {
                matches!(earlier.role, Role::ZeroGrad | Role::OptimizerStep | Role::ScalerScale)
            }
            Role::SchedulerStep => earlier.role == Role::OptimizerStep,
            Role::ClipGrad => matches!(earlier.role, Role::Backward | Role::ScalerUnscale),
            Role::ScalerUpdate => earlier.role == Role::ScalerStep,
            _ => false,
        }
    }

    fn fields(&self) -> Fields {
        FIELDS
    }

    calls!(|subject, outcome| {
        let mut calls = match subject {
            Subject::Before { call, .. } => vec![call],
            Subject::Between { earlier, later } => vec![earlier, later],
            Subject::Steps | Subject::Clipping | Subject::Clipped => Vec::new(),
        };
        match outcome {
            Outcome::Called { call } => calls.push(call),
            Outcome::Cleared | Outcome::Unused | Outcome::Kept => {}
        }
        calls
    });

    /// So is how many backward passes a step has.
    fn is_of_a_script(&self) -> bool {
        let of_layout = match &self.subject {
            Subject::Steps | Subject::Clipping | Subject::Clipped => false,
            Subject::Before { call, level, .. } => *level == Among::Same || call.role == Role::Backward,
            Subject::Between { .. } => false,
        };
        of_layout || self.calls().iter().any(|call| call.role == Role::User)
    }

    fn implied_by(&self) -> Vec<(Claim, When)> {
        let Subject::Before { call, level: Among::Same, first: false } = &self.subject else {
            return Vec::new();
        };
        let including_first = Subject::Before { call: call.clone(), level: Among::Same, first: true };
        let in_thread = Subject::Before { call: call.clone(), level: Among::Thread, first: false };
        let claim = |subject| (Claim { subject, outcome: self.outcome.clone() }, When::Everywhere);
        [including_first, in_thread].map(claim).into()
    }
}
