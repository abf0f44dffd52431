//! Models and parts of them that do otherwise in training mode.

use rustc_hash::{FxHashMap, FxHashSet};
use traincheck_schema::record::Role;

use crate::call::class_name;
use crate::relation::observer::Context;
use crate::scene::dictionary::modules_below;
use crate::scene::{Scene, TraceEvent};
use crate::source::Source;

/// Parts of the names of classes that do otherwise in training mode.
const CLASSES: [&str; 4] = ["Dropout", "BatchNorm", "DropPath", "StochasticDepth"];

/// See the module.
#[derive(Default)]
pub(super) struct Dependent {
    /// Root modules (dictionary ids) of which a part was switched by itself: their own mode says little.
    in_parts: FxHashSet<u32>,
    /// By root module (dictionary id): the names of modules that do otherwise in training mode, and of those around them.
    names: FxHashMap<u32, FxHashSet<String>>,
    /// By module (dictionary id): whether it is among them, once it was asked for. Most calls are of modules to which the
    /// mode makes no difference.
    parts: Vec<Option<bool>>,
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
    pub(super) fn is_trained(&mut self, root: u32, trains: impl Fn(u32) -> bool, cx: &Context<'_>) -> bool {
        if self.in_parts.contains(&root) || self.names(root, cx.source).is_empty() {
            return false;
        }
        let variables = cx.scene.variables.of_owner(root).iter().map(|&id| cx.scene.variables.get(id));
        variables
            .filter_map(|variable| variable.held_by.as_ref())
            .any(|holders| holders.iter().any(|&one| trains(one)))
    }

    /// Whether the mode makes a difference to a module (dictionary id), or to one in it.
    pub(super) fn has(&mut self, module: u32, cx: &Context<'_>) -> bool {
        let at = module as usize;
        if let Some(&Some(known)) = self.parts.get(at) {
            return known;
        }
        let Some(object) = cx.scene.object(module) else { return false };
        let has = self.names(object.root, cx.source).contains(&object.name);
        self.parts.resize(self.parts.len().max(at + 1), None);
        self.parts[at] = Some(has);
        has
    }

    fn names(&mut self, root: u32, source: &dyn Source) -> &FxHashSet<String> {
        self.names.entry(root).or_insert_with(|| names(root, source))
    }
}

/// Whether a module of this class does otherwise in training mode by itself.
pub(super) fn depends(class: &str) -> bool {
    CLASSES.iter().any(|part| class_name(class).contains(part))
}

/// The names of modules below a root that do otherwise in training mode, and of all that contain one.
fn names(root: u32, source: &dyn Source) -> FxHashSet<String> {
    let mut names = FxHashSet::default();
    for module in modules_below(root, source).filter(|module| depends(&module.type_name)) {
        let name = module.text.as_str();
        let around = name.match_indices('.').map(|(at, _)| &name[..at]);
        names.extend(around.chain([name]).map(str::to_owned));
    }
    names
}
