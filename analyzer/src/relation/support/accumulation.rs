//! Gradients that are kept: after a backward nothing uses them up and nothing clears them before the next one, which
//! adds to them. A run that accumulates gradients does so where its references did not, and nothing is lost by it. An
//! error that forgets the step is another matter: there gradients are cleared before a step has used them.

use traincheck_schema::record::Role;

use crate::relation::numbers::{Numbers, OutcomeId};

/// What uses gradients up, and what comes with it.
const USES: [Role; 6] = [
    Role::OptimizerStep,
    Role::ScalerStep,
    Role::ZeroGrad,
    Role::ClipGrad,
    Role::ScalerUnscale,
    Role::ScalerUpdate,
];

/// What a window with a backward in which all this was called may lack: all that uses gradients, if none of it was
/// called.
pub fn excused(held: &[OutcomeId], numbers: &Numbers) -> Vec<OutcomeId> {
    if held.iter().any(|&id| numbers.is_call(id, &USES)) { Vec::new() } else { numbers.called(&USES) }
}
