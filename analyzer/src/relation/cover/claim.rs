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
    /// Two successive steps of an optimizer.
    NextStep,
    /// All steps of an optimizer together.
    AllSteps,
    /// The batches since the last step of an optimizer, where they are several.
    Batches,
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
    /// The second uses other gradients than the first.
    Anew,
    /// Some have a gradient to use that is not zero.
    Supplied,
    /// The gradients of all of them are used.
    AllUsed,
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
            // Of one scaler: what comes between the steps of two is no cycle of either. Of optimizers `Steps` speaks, which
            // knows more than one way to clear gradients, and of schedulers `schedule`.
            Subject::Before { call, level: Among::Thread, first } => {
                let is_one = (call.object.is_some() || call.function == ANY)
                    && call.role != Role::OptimizerStep
                    && call.role != Role::SchedulerStep;
                let call = call.general().filter(|_| is_one)?;
                Some(Subject::Before { call, level: Among::Thread, first: *first })
            }
            Subject::Before { level: Among::Same, .. } => None,
            // Why gradients are cleared is up to the program; whether a step has some to use their contents tell.
            Subject::Between { earlier, later }
                if earlier.role == Role::ZeroGrad || later.role == Role::ZeroGrad =>
            {
                None
            }
            Subject::Between { earlier, later } => {
                Some(Subject::Between { earlier: earlier.general()?, later: later.general()? })
            }
            Subject::Steps
            | Subject::Clipping
            | Subject::Clipped
            | Subject::NextStep
            | Subject::AllSteps
            | Subject::Batches => Some(self.clone()),
        }
    }
}

impl Holds for Outcome {
    fn general(&self) -> Option<Outcome> {
        match self {
            Outcome::Called { call } => Some(Outcome::Called { call: call.general()? }),
            _ => Some(self.clone()),
        }
    }

    fn call(&self) -> Option<&Call> {
        match self {
            Outcome::Called { call } => Some(call),
            _ => None,
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
            Outcome::Anew => "it uses other gradients than that".into(),
            Outcome::Supplied => "there is some gradient to use that is not zero".into(),
            Outcome::AllUsed => "none of their gradients are cleared before the step".into(),
        };
        match &self.subject {
            Subject::Steps => {
                format!("between two steps of an optimizer with a backward between them, {inner}")
            }
            Subject::Clipping => format!("whenever gradients of a backward are clipped, {inner}"),
            Subject::NextStep => format!("in every step of an optimizer behind another step of it, {inner}"),
            Subject::AllSteps => format!("of all steps of an optimizer, in some {inner}"),
            Subject::Batches => format!("where an optimizer steps after several batches, {inner}"),
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
            Subject::Steps
            | Subject::Clipping
            | Subject::Clipped
            | Subject::NextStep
            | Subject::AllSteps
            | Subject::Batches => return true,
            // One optimizer may step more often than another.
            Subject::Before { call: later, .. } | Subject::Between { later, .. }
                if earlier.is_of_another_optimizer(later) =>
            {
                return false;
            }
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
            _ => Vec::new(),
        };
        if let Outcome::Called { call } = outcome {
            calls.push(call);
        }
        calls
    });

    /// So is how many backward passes a step has.
    fn is_of_a_script(&self) -> bool {
        let of_layout = match &self.subject {
            Subject::Before { call, level, .. } => *level == Among::Same || call.role == Role::Backward,
            _ => false,
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
