//! Models of one class share no parameter: an average, a teacher or a target network is a copy.
//!
//! Those that share a part may be meant to; what counts against a run is a model all of whose parameters are another's.

use std::collections::{BTreeMap, BTreeSet};

use traincheck_schema::record::{Role, VariableKind};

use crate::claim::{Outcome, RelationName, Subject};
use crate::names::{FastMap, SubjectId};
use crate::relation::Cx;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Look, Moment, Scene};
use crate::sink::Window;
use crate::situation::NOTHING;

/// At so many looks after storages have changed it is said who shares what.
const ANNOUNCED: u32 = 4;
/// PyTorch's own class for averages of a model, which are always copies of another class's.
const AVERAGED: &str = "torch.optim.swa_utils.AveragedModel";
/// Modules of these classes are alike in name only.
const GENERIC: &str = "torch.nn.";

#[derive(Default)]
pub(super) struct Models {
    /// Storages when this was last brought up to date; see `Variables::storages`.
    storages: Option<u32>,
    /// By class.
    copied: Vec<Copies>,
    announced: u32,
    changed: (u32, u32),
    looks: u32,
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
    pub(super) fn hear(&mut self, moment: &Moment<'_>, cx: &mut Cx<'_>) {
        if let Moment::Looked(look) = moment
            && look.frame.target.role == Role::OptimizerStep
            && !look.at_entry
        {
            self.looked(look, cx);
        }
    }

    fn looked(&mut self, look: &Look, cx: &mut Cx<'_>) {
        self.looks = self.looks.saturating_add(1);
        if self.storages != Some(cx.scene.variables.storages()) {
            self.find(look, cx);
        }
        if self.announced >= ANNOUNCED || self.copied.is_empty() {
            return;
        }
        let cut = cx.scene.lossy.then_some(Cut::Loss).or(Scene::too_early(look.iteration, self.looks));
        // What gave no verdict has not been said.
        self.announced += u32::from(cut.is_none());
        let outcome = [cx.names.outcome(Outcome::SharesNothing)];
        for Copies { subject, shared, whole } in &self.copied {
            let frame = &look.frame;
            let mut window = Window::new(*subject, NOTHING, frame, cx.scene.depth(frame));
            window.held = if shared.is_empty() { &outcome } else { &[] };
            window.weak = if *whole { &[] } else { &outcome };
            window.cut = cut;
            window.now = (look.iteration, look.step);
            window.began = Some(self.changed);
            window.variables = shared;
            cx.window(&window);
        }
    }

    fn find(&mut self, look: &Look, cx: &mut Cx<'_>) {
        self.storages = Some(cx.scene.variables.storages());
        self.changed = (look.iteration, look.step);
        self.announced = 0;
        self.copied.clear();
        let scene = cx.scene;
        let live = |id: VarId| {
            let variable = scene.variables.get(id);
            variable.kind == VariableKind::Parameter && variable.looked == look.time && variable.storage != 0
        };
        let mut by_storage: FastMap<u64, Vec<(u32, VarId)>> = FastMap::default();
        let mut parameters: BTreeMap<u32, u32> = BTreeMap::new();
        for (id, variable) in scene.variables.iter().filter(|(id, _)| live(*id)) {
            by_storage.entry(variable.storage.cast_unsigned()).or_default().push((variable.owner, id));
            *parameters.entry(variable.owner).or_default() += 1;
        }
        let mut classes: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for &root in parameters.keys() {
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
            let whole = of_each.iter().any(|(root, shared)| parameters.get(root) == Some(shared));
            let subject = Subject::Root { class: class.to_owned() };
            let subject = cx.names.subject(RelationName::Distinct, subject);
            self.copied.push(Copies { subject, shared, whole });
        }
    }
}
