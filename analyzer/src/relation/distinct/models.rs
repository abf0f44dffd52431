//! Models of one class share no parameter: an average, a teacher or a target network is a copy.
//!
//! Those that share a part may be meant to; what counts against a run is a model all of whose parameters are another's.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use traincheck_schema::record::Role;

use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::storages::{Storages, parameters};
use crate::scene::variables::VarId;
use crate::scene::{Look, TraceEvent};
use crate::situation::NOTHING;

/// PyTorch's own class for averages of a model, which are always copies of another class's.
const AVERAGED: &str = "torch.optim.swa_utils.AveragedModel";
/// Modules of these classes are alike in name only.
const GENERIC: &str = "torch.nn.";

#[derive(Default)]
pub(super) struct Models {
    storages: Storages,
    /// By class.
    copied: Vec<Copies>,
}

/// Models of one class.
struct Copies {
    subject: SubjectId,
    /// What they share.
    shared: Vec<VarId>,
    /// Whether that is everything one of them has.
    whole: bool,
}

impl Models {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        if let TraceEvent::Looked(look) = event
            && look.frame.target.role == Role::OptimizerStep
            && !look.at_entry
        {
            self.looked(look, cx);
        }
    }

    fn looked(&mut self, look: &Look, cx: &mut Context<'_>) {
        if self.storages.have_changed(look, cx.scene) {
            self.find(look, cx);
        }
        let cut = self.storages.cut(look, cx.scene);
        if !self.storages.announce(cut) {
            return;
        }
        let outcome = [cx.numbers.outcome(Outcome::SharesNothing)];
        for Copies { subject, shared, whole } in &self.copied {
            let frame = &look.frame;
            let mut window = Window::new(*subject, NOTHING, frame, cx.scene.depth(frame));
            window.held = if shared.is_empty() { &outcome } else { &[] };
            window.inconclusive = if *whole { &[] } else { &outcome };
            window.cut = cut;
            window.now = (look.iteration, look.step);
            window.began = Some(self.storages.changed);
            window.variables = shared;
            cx.window(&window);
        }
    }

    fn find(&mut self, look: &Look, cx: &mut Context<'_>) {
        self.copied.clear();
        let scene = cx.scene;
        let mut by_storage: FxHashMap<u64, Vec<(u32, VarId)>> = FxHashMap::default();
        let mut sizes: BTreeMap<u32, u32> = BTreeMap::new();
        for (id, variable) in parameters(look, scene) {
            by_storage.entry(variable.storage.cast_unsigned()).or_default().push((variable.owner, id));
            *sizes.entry(variable.owner).or_default() += 1;
        }
        let mut classes: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for &root in sizes.keys() {
            if let Some(object) = scene.object(root) {
                classes.entry(&object.class).or_default().push(root);
            }
        }
        for (class, copies) in classes {
            let averages = class == AVERAGED;
            if class.starts_with(GENERIC) || copies.len() < if averages { 1 } else { 2 } {
                continue;
            }
            let concerned = |root: u32| averages || copies.contains(&root);
            let mut shared: Vec<VarId> = Vec::new();
            let mut of_each: BTreeMap<u32, u32> = BTreeMap::new();
            for names in by_storage.values() {
                let owners: BTreeSet<u32> =
                    names.iter().map(|(owner, _)| *owner).filter(|&owner| concerned(owner)).collect();
                if owners.len() > 1 && owners.iter().any(|owner| copies.contains(owner)) {
                    for (owner, id) in names.iter().filter(|(owner, _)| concerned(*owner)) {
                        shared.push(*id);
                        *of_each.entry(*owner).or_default() += 1;
                    }
                }
            }
            shared.sort_unstable();
            let whole = of_each.iter().any(|(root, shared)| sizes.get(root) == Some(shared));
            let subject = Subject::Root { class: class.to_owned() };
            let subject = cx.numbers.subject(subject);
            self.copied.push(Copies { subject, shared, whole });
        }
    }
}
