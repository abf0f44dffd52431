//! What a claim takes for granted and a run need not have: an optimizer of the same class, a way to clear gradients.

use traincheck_schema::record::Role;

use crate::claim::{Claim, Outcome};
use crate::names::Names;
use crate::scene::Scene;
use crate::sink::Window;

/// The object whose method a claim says is called.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Any of this class.
    Class(String),
    /// That of this name, `AdamW#2`.
    Object(String),
}

/// What a claim takes for granted.
#[derive(Clone, Debug, Default)]
pub(super) struct Excuse {
    wanted: Option<Wanted>,
    /// Whether the wanted object has been seen.
    there: bool,
    /// How many objects were known when it was looked for last.
    known: usize,
    /// Whether an optimizer is to clear its gradients.
    clears: bool,
}

impl Excuse {
    /// What `claim` takes for granted.
    pub(super) fn new(claim: &Claim) -> Excuse {
        let Outcome::Called { call } = &claim.outcome else { return Excuse::default() };
        let of_an_optimizer = match call.role {
            Role::OptimizerStep | Role::SchedulerStep => true,
            // A model has one as well.
            Role::ZeroGrad => call.function.starts_with("torch.optim."),
            _ => false,
        };
        let class = || call.function.rsplit_once('.').filter(|_| of_an_optimizer);
        let wanted = match &call.object {
            Some(object) => Some(Wanted::Object(object.clone())),
            None => class().map(|(class, _)| Wanted::Class(class.to_owned())),
        };
        Excuse { wanted, clears: call.role == Role::ZeroGrad, ..Excuse::default() }
    }

    /// Whether a window that lacks what is claimed is no error: the run has no such object, having been configured
    /// with another, or a model has cleared all of its gradients itself.
    pub(super) fn holds(&mut self, window: &Window<'_>, scene: &Scene, names: &Names) -> bool {
        self.is_missing(scene) || self.clears && is_cleared_by_a_module(window, names)
    }

    fn is_missing(&mut self, scene: &Scene) -> bool {
        let Some(wanted) = self.wanted.as_ref().filter(|_| !self.there) else { return false };
        if self.known != scene.known_objects() {
            self.known = scene.known_objects();
            self.there = scene.objects().any(|object| match wanted {
                Wanted::Class(class) => object.class == *class,
                Wanted::Object(name) => object.name == *name,
            });
        }
        !self.there
    }
}

/// Whether a model's `zero_grad` was called. An optimizer's is noted twice, once with the optimizer's name.
fn is_cleared_by_a_module(window: &Window<'_>, names: &Names) -> bool {
    let cleared = || {
        window.held.iter().filter_map(|&id| match names.outcomes.get(id) {
            Outcome::Called { call } if call.role == Role::ZeroGrad => Some(call),
            _ => None,
        })
    };
    let by_an_optimizer =
        |function: &str| cleared().any(|call| call.object.is_some() && call.function == function);
    cleared().any(|call| call.object.is_none() && !by_an_optimizer(&call.function))
}
