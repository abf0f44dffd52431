//! How a variable differs from one optimizer step to the next.

use traincheck_schema::record::{Attribute, Role, VariableKind};

use crate::scene::variables::{Digest, VarId, Variable};
use crate::scene::{Look, Scene, TraceEvent};

/// Two successive looks at the return of a step.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The variable.
    pub id: VarId,
    /// The later look.
    pub look: &'a Look,
    /// What the earlier one found.
    pub before: Digest,
    /// Whether both found the same.
    pub same: bool,
    /// How many such pairs there have been, this one included.
    pub ordinal: u32,
}

/// Remembers the last look at every variable.
#[derive(Debug, Default)]
pub struct Steps {
    /// By number of the variable.
    last: Vec<Option<(Digest, u32, u32)>>,
}

impl Steps {
    /// What `event` says about a variable over a step.
    ///
    /// A variable that optimizers hold is compared over their own steps: in between, those of others leave it alone.
    /// One that none holds is compared over the first optimizer's of each iteration.
    pub fn observe<'a>(&mut self, event: &TraceEvent<'a>, scene: &Scene) -> Option<Change<'a>> {
        let TraceEvent::State(change, Some(look)) = event else { return None };
        if change.attribute != Attribute::Data
            || look.at_entry
            || look.frame.target.role != Role::OptimizerStep
            || !applies(scene.variables.get(change.variable), look, scene)
        {
            return None;
        }
        let now = change.now?;
        let losses = scene.losses;
        let at = change.variable as usize;
        if at >= self.last.len() {
            self.last.resize(at + 1, None);
        }
        let Some((last, lost, ordinal)) = &mut self.last[at] else {
            self.last[at] = Some((now, losses, 0));
            return None;
        };
        let before = std::mem::replace(last, now);
        let whole = std::mem::replace(lost, losses) == losses && !scene.is_lossy();
        let same = now.same(&before).filter(|_| whole)?;
        *ordinal = ordinal.saturating_add(1);
        Some(Change { id: change.variable, look, before, same, ordinal: *ordinal })
    }
}

/// Whether the optimizer judges by itself whether it has arrived, and changes nothing from there on.
pub fn may_rest(optimizer: u32, scene: &Scene) -> bool {
    scene.object(optimizer).is_some_and(|object| object.class.ends_with("LBFGS"))
}

fn applies(variable: &Variable, look: &Look, scene: &Scene) -> bool {
    let stepper = look.frame.object;
    match variable.kind {
        VariableKind::Unreached => variable.is_held_by(stepper),
        VariableKind::Parameter if variable.held_by.as_ref().is_some_and(|holders| !holders.is_empty()) => {
            variable.is_held_by(stepper)
        }
        VariableKind::Parameter | VariableKind::Buffer => scene
            .iteration
            .as_ref()
            .and_then(|iteration| iteration.stepped.first())
            .is_none_or(|&first| first == stepper),
        _ => false,
    }
}
