//! Which cause a violation speaks for: one table, from the most to the least telling.

use traincheck_schema::record::Role;

use crate::check::Violation;
use crate::claim::{Claim, Living, Outcome, Subject};
use crate::sink::Why;

/// A violated claim.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    /// What was claimed.
    pub claim: &'a Claim,
    /// How it was first violated.
    pub first: &'a Violation,
}

/// A cause that can be told from what it violates.
#[derive(Debug)]
pub struct Cause {
    /// A short name, for programs.
    pub id: &'static str,
    /// What is wrong, in plain words.
    pub title: &'static str,
    /// What to try.
    pub advice: &'static str,
    /// Whether a violation proves it.
    proof: fn(Sign<'_>) -> bool,
    /// Whether a violation is to be expected where it is proven.
    symptom: fn(Sign<'_>) -> bool,
}

impl Cause {
    /// Whether a violation proves it.
    pub fn is_proven_by(&self, sign: Sign<'_>) -> bool {
        (self.proof)(sign)
    }
    /// Whether a violation belongs to it where it is proven.
    pub fn explains(&self, sign: Sign<'_>) -> bool {
        (self.proof)(sign) || (self.symptom)(sign)
    }
}

/// All causes. A violation goes to the first one that explains it and is proven by some violation.
pub const CAUSES: &[Cause] = &[
    Cause {
        id: "stale-optimizer",
        title: "The optimizer holds the parameters of a model that does not run",
        advice: "Construct the optimizer after the model has its final form: after it is replaced, loaded, wrapped or \
                 moved, pass `model.parameters()` again.",
        proof: |sign| sign.claim.outcome == Outcome::Reached,
        symptom: |sign| {
            matches!(sign.claim.outcome, Outcome::Held | Outcome::ParameterChanges)
                || sign.claim.outcome == Outcome::Moves
                    && matches!(sign.first.why, Why::HeldByNone | Why::NoGradient)
        },
    },
    Cause {
        id: "backward-missing",
        title: "The optimizer steps without a backward pass",
        advice: "Call `loss.backward()` before `optimizer.step()`, and look for a condition or an early `continue` \
                 that skips it.",
        proof: |sign| {
            lacks(sign, Role::Backward)
                && (after_or_in(sign, Role::OptimizerStep)
                    || after_or_in(sign, Role::ScalerStep)
                    || in_user(sign))
        },
        symptom: |sign| {
            lacks(sign, Role::Backward)
                || sign.claim.outcome == Outcome::ParameterChanges
                || sign.claim.outcome == Outcome::Moves && sign.first.why == Why::NoGradient
        },
    },
    Cause {
        id: "step-missing",
        title: "The optimizer does not step",
        advice: "Call `optimizer.step()` after `loss.backward()` (or `scaler.step(optimizer)` with a gradient scaler), \
                 and look for a condition that skips it.",
        proof: |sign| {
            is_idle(sign, Living::Optimizer)
                || (lacks(sign, Role::OptimizerStep) || lacks(sign, Role::ScalerStep))
                    && !after_or_in(sign, Role::SchedulerStep)
        },
        symptom: |sign| lacks(sign, Role::OptimizerStep) || lacks(sign, Role::ScalerUpdate),
    },
    Cause {
        id: "gradients-not-cleared",
        title: "Gradients are not cleared: every step uses the sum of all gradients so far",
        advice: "Call `optimizer.zero_grad()` once for every step, before `loss.backward()` or after \
                 `optimizer.step()`.",
        proof: |sign| lacks(sign, Role::ZeroGrad),
        symptom: |_| false,
    },
    Cause {
        id: "evaluation-mode",
        title: "The model is trained in evaluation mode: dropout is off and batch-norm statistics stand still",
        advice: "Call `model.train()` before the training loop of every epoch, and again after every evaluation that \
                 called `model.eval()`.",
        proof: |sign| {
            matches!(sign.claim.outcome, Outcome::CalledInTraining { .. } | Outcome::BeginsInTraining)
                || sign.first.why == Why::EvaluationMode
        },
        symptom: |_| false,
    },
    Cause {
        id: "frozen-parameters",
        title: "Parameters that were trained in the reference runs are frozen: `requires_grad` is False",
        advice: "Look for `requires_grad_(False)`, `requires_grad = False` or a construction under `torch.no_grad()`; \
                 set `requires_grad_(True)` on what is meant to learn.",
        proof: |sign| sign.first.why == Why::RequiresNoGrad,
        symptom: |sign| sign.claim.outcome == Outcome::ParameterChanges,
    },
    Cause {
        id: "parameters-in-no-optimizer",
        title: "Parameters get gradients and no optimizer holds them: they never learn",
        advice: "Pass them to the optimizer: `model.parameters()` instead of a part of it, or \
                 `optimizer.add_param_group` for what is added later.",
        proof: |sign| sign.claim.outcome == Outcome::Held || sign.first.why == Why::HeldByNone,
        symptom: |_| false,
    },
    Cause {
        id: "scheduler-not-stepped",
        title: "A learning-rate scheduler was constructed and does not step: the learning rate stays as it is",
        advice: "Call `scheduler.step()` at the cadence of the reference runs (see the invariant: per optimizer step, \
                 or once per pass over the data).",
        proof: |sign| is_idle(sign, Living::Scheduler),
        symptom: |sign| lacks(sign, Role::SchedulerStep),
    },
    Cause {
        id: "no-gradient",
        title: "Parameters that were trained in the reference runs get no gradient",
        advice: "Look for `detach()`, `torch.no_grad()`, or a branch of `forward` that no longer uses them.",
        proof: |sign| sign.claim.outcome == Outcome::Moves && sign.first.why == Why::NoGradient,
        symptom: |sign| sign.claim.outcome == Outcome::ParameterChanges,
    },
    Cause {
        id: "step-changes-nothing",
        title: "The optimizer steps and changes no parameter",
        advice: "Look at the learning rate, at whether gradients are cleared between backward and step, and at which \
                 parameters the optimizer holds.",
        proof: |sign| sign.claim.outcome == Outcome::ParameterChanges,
        symptom: |_| false,
    },
    Cause {
        id: "scheduler-before-optimizer",
        title: "A learning-rate scheduler steps without a step of the optimizer",
        advice: "Call `scheduler.step()` after `optimizer.step()`, at the cadence of the reference runs.",
        proof: |sign| lacks(sign, Role::OptimizerStep),
        symptom: |_| false,
    },
    Cause {
        id: "held-by-many",
        title: "Parameters are held by more than one optimizer: each step is taken twice",
        advice: "Give every parameter to one optimizer only.",
        proof: |sign| sign.claim.outcome == Outcome::HeldOnce,
        symptom: |_| false,
    },
    Cause {
        id: "changed-in-evaluation",
        title: "Variables of the model change during evaluation",
        advice: "Call `model.eval()` on the whole model, and evaluate under `torch.no_grad()`; look for a part that \
                 stays in training mode (batch norm updates its statistics there).",
        proof: |sign| matches!(sign.claim.outcome, Outcome::ParametersStay | Outcome::BuffersStay),
        symptom: |_| false,
    },
    Cause {
        id: "not-frozen",
        title: "Parameters that were frozen in the reference runs are trained",
        advice: "Call `requires_grad_(False)` on them before the optimizer is constructed.",
        proof: |sign| sign.claim.outcome == Outcome::StaysFrozen,
        symptom: |_| false,
    },
    Cause {
        id: "clipping-missing",
        title: "Gradients are no longer clipped",
        advice: "Call `torch.nn.utils.clip_grad_norm_` between `loss.backward()` and `optimizer.step()`.",
        proof: |sign| lacks(sign, Role::ClipGrad),
        symptom: |_| false,
    },
    Cause {
        id: "gradient-scaler",
        title: "The gradient scaler is not used as in the reference runs",
        advice: "Every iteration needs `scaler.scale(loss).backward()`, `scaler.step(optimizer)` and \
                 `scaler.update()`, and `scaler.unscale_(optimizer)` before clipping.",
        proof: |sign| {
            is_idle(sign, Living::Scaler)
                || [Role::ScalerScale, Role::ScalerUnscale, Role::ScalerStep, Role::ScalerUpdate]
                    .into_iter()
                    .any(|role| lacks(sign, role))
        },
        symptom: |_| false,
    },
];

/// Whether an object of this kind did not get its method.
fn is_idle(sign: Sign<'_>, of: Living) -> bool {
    matches!(&sign.claim.subject, Subject::Object { kind, .. } if *kind == of)
}

/// Whether what is missing is a call of this role.
fn lacks(sign: Sign<'_>, role: Role) -> bool {
    matches!(&sign.claim.outcome, Outcome::Called { call } if call.role == role)
}

/// Whether it is missing around a call of this role.
fn after_or_in(sign: Sign<'_>, role: Role) -> bool {
    matches!(&sign.claim.subject,
        Subject::Call { call } | Subject::Before { call, .. } | Subject::After { call } if call.role == role)
}

fn in_user(sign: Sign<'_>) -> bool {
    after_or_in(sign, Role::User)
}
