//! Gradients that are kept: after a backward nothing uses them up and nothing clears them before the next one, which
//! adds to them. A run that accumulates gradients does so where its references did not, and nothing is lost by it. An
//! error that forgets the step is another matter: there gradients are cleared before a step has used them.

use traincheck_schema::record::Role;

use crate::claim::Outcome;
use crate::names::{Names, OutcomeId};

/// What uses gradients up, and what comes with it.
const USES: [Role; 6] = [
    Role::OptimizerStep,
    Role::ScalerStep,
    Role::ZeroGrad,
    Role::ClipGrad,
    Role::ScalerUnscale,
    Role::ScalerUpdate,
];

fn role(outcome: &Outcome) -> Option<Role> {
    match outcome {
        Outcome::Called { call } => Some(call.role),
        _ => None,
    }
}

/// What a window with a backward in which all this was called may lack: all that uses gradients, if none of it was
/// called.
pub fn excused(held: &[OutcomeId], names: &Names) -> Vec<OutcomeId> {
    let uses = |id: OutcomeId| role(names.outcomes.get(id)).is_some_and(|role| USES.contains(&role));
    if held.iter().any(|&id| uses(id)) {
        return Vec::new();
    }
    (0..names.outcomes.len() as OutcomeId).filter(|&id| uses(id)).collect()
}

/// Whether a backward is among what was called.
pub fn has_backward(held: &[OutcomeId], names: &Names) -> bool {
    held.iter().any(|&id| role(names.outcomes.get(id)) == Some(Role::Backward))
}
