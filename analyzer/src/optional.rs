//! What a training can do without: a claim that it is there holds for programs and configurations that have it.

use traincheck_schema::record::Role;

use crate::relation::claim::Claim;
use crate::relation::sink::Why;
use crate::relation::{frozen, lifecycle, mode, moving, schedule};

/// A part of a training that a configuration may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionalPart {
    /// Gradients are clipped.
    Clipping,
    /// A scheduler sets the learning rate.
    Schedule,
    /// Losses are scaled for half precision.
    Scaling,
    /// Parameters are frozen, or are not.
    Freezing,
}

impl OptionalPart {
    /// The part of which a claim says that it is there.
    pub fn of(claim: &Claim) -> Option<OptionalPart> {
        let by_role = claim.outcome().call().and_then(|call| match call.role {
            Role::ClipGrad => Some(OptionalPart::Clipping),
            Role::SchedulerStep => Some(OptionalPart::Schedule),
            Role::ScalerScale | Role::ScalerUnscale | Role::ScalerStep | Role::ScalerUpdate => {
                Some(OptionalPart::Scaling)
            }
            _ => None,
        });
        by_role.or_else(|| match claim {
            Claim::Frozen(claim) if claim.outcome == frozen::claim::Outcome::StaysFrozen => {
                Some(OptionalPart::Freezing)
            }
            // A frozen part may be in evaluation mode.
            Claim::Mode(claim) if claim.outcome == mode::claim::Outcome::InTraining => {
                Some(OptionalPart::Freezing)
            }
            Claim::Lifecycle(claim) => match claim.subject {
                lifecycle::claim::Subject::Object {
                    kind: lifecycle::claim::TrackedKind::Scheduler, ..
                } => Some(OptionalPart::Schedule),
                _ => None,
            },
            Claim::Schedule(claim) if claim.outcome == schedule::claim::Outcome::IsSet => {
                Some(OptionalPart::Schedule)
            }
            _ => None,
        })
    }

    /// The same of a claim that was violated, with what explains that.
    pub fn of_violation(claim: &Claim, why: Why) -> Option<OptionalPart> {
        let trained = matches!(claim, Claim::Moving(claim) if claim.outcome == moving::claim::Outcome::Moves);
        if trained && why == Why::RequiresNoGrad {
            return Some(OptionalPart::Freezing);
        }
        OptionalPart::of(claim)
    }

    /// What options that are about it have in their names; three letters are a word of their own there.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            OptionalPart::Clipping => &["clip", "max-norm", "grad-norm"],
            OptionalPart::Schedule => &["sched", "warmup", "anneal", "cosine"],
            OptionalPart::Scaling => &["amp", "fp16", "precision", "scaler", "loss-scale"],
            OptionalPart::Freezing => &["freez", "frozen", "finetune", "backbone", "probe"],
        }
    }
}
