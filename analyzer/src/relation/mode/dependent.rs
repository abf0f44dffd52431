//! Models that do otherwise in training mode, and that the run trains.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::Role;

use crate::call::class_name;
use crate::relation::observer::Context;
use crate::scene::dictionary::modules_below;
use crate::scene::{Scene, TraceEvent};

/// Parts of the names of classes that do otherwise in training mode.
const CLASSES: [&str; 4] = ["Dropout", "BatchNorm", "DropPath", "StochasticDepth"];

/// See the module.
#[derive(Default)]
pub(super) struct Dependent {
    /// Root modules (dictionary ids) of which a part was switched by itself: their own mode says little.
    in_parts: FxHashSet<u32>,
    /// By root module (dictionary id): whether something in it does otherwise in training mode.
    known: FxHashMap<u32, bool>,
}

impl Dependent {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, scene: &Scene) {
        if let TraceEvent::Enter(frame) = event
            && frame.counts
            && frame.target.role == Role::ModeChange
            && let Some(object) = scene.object(frame.object).filter(|object| object.root != frame.object)
        {
            self.in_parts.insert(object.root);
        }
    }

    /// Whether the mode of this root module decides what it does, and optimizers of which `trains` says so hold
    /// parameters of it.
    pub(super) fn is(&mut self, root: u32, trains: impl Fn(u32) -> bool, cx: &Context<'_>) -> bool {
        if self.in_parts.contains(&root) {
            return false;
        }
        let depends = *self.known.entry(root).or_insert_with(|| {
            modules_below(root, cx.source).any(|module| depends_on_mode(&module.type_name))
        });
        let variables = cx.scene.variables.of_owner(root).iter().map(|&id| cx.scene.variables.get(id));
        depends
            && variables
                .filter_map(|variable| variable.held_by.as_ref())
                .any(|holders| holders.iter().any(|&one| trains(one)))
    }
}

/// Whether modules of this class do otherwise in training mode.
pub(super) fn depends_on_mode(class: &str) -> bool {
    CLASSES.iter().any(|part| class_name(class).contains(part))
}
