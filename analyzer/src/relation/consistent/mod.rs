//! Consistent: what is the same tensor stays the same tensor, what was loaded stays until it is trained, and what is computed
//! again draws the same random numbers.
//!
//! Two names are the same where they have one storage and one content at every look: views into one buffer (flattened
//! parameters) share a storage and are no ties.
pub mod claim;
mod recomputed;
mod replicas;
mod untied;

use std::collections::{BTreeMap, HashSet};

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, ObjectKind, Role, ValueKind, VariableKind};

use crate::call::roles::Roles;
use crate::relation::claim as claims;
use crate::relation::needs::{Needs, Point, States};
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, OverRanks, Told};
use crate::relation::sink::Window;
use crate::relation::support::storages::{Storages, parameters};
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Look, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};
use recomputed::Recomputed;
use replicas::Replicas;
use untied::Untied;

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Consistent::default()),
    together: Some(OverRanks { observer: || Box::new(Replicas::default()), needs: replicas::NEEDS }),
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::OptimizerStep, Role::ModuleCall, Role::Backward, Role::AutogradGrad]),
    variables: &[
        States {
            attribute: Attribute::Data,
            of: &[VariableKind::Parameter],
            at: &[
                Point::Entry(Role::OptimizerStep),
                Point::Return(Role::OptimizerStep),
                Point::Return(Role::LoadState),
            ],
        },
        States { attribute: Attribute::Storage, of: &[VariableKind::Parameter], at: &[] },
        States { attribute: Attribute::Shape, of: &[VariableKind::Parameter], at: &[] },
        States { attribute: Attribute::Data, of: &[VariableKind::Rng], at: &[] },
    ],
    ..Needs::NOTHING
};

const TOLD: Told = Told {
    entries: Roles::of(&[Role::AutogradGrad]),
    returns: Roles::of(&[Role::OptimizerStep]),
    states: &[(Attribute::Data, &[VariableKind::Rng])],
    looks: true,
};

/// More names for one storage are no ties: it is a buffer that all parameters are views of.
const MOST_TIED: usize = 8;
/// The norm of what is derived from a tensor (rounded, with a little noise) differs by no more than this share of it.
const DERIVED: f32 = 0.03;

#[derive(Default)]
struct Consistent {
    ties: Ties,
    loaded: BTreeMap<VarId, Loaded>,
    recomputed: Recomputed,
}

/// A parameter as it was when a state had been loaded.
#[derive(Clone, Copy)]
struct Loaded {
    data: Digest,
    shape: u32,
    at: (u32, u32),
    losses: u32,
}

impl Observer for Consistent {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        self.recomputed.observe(event, cx);
        match event {
            TraceEvent::Looked(look) => match look.frame.target.role {
                Role::LoadState if !look.at_entry => self.loaded(look, cx.scene),
                Role::OptimizerStep if look.at_entry => self.trained(look, cx),
                Role::OptimizerStep => self.ties.looked(look, cx),
                _ => {}
            },
            TraceEvent::End => self.ties.untied.end(cx),
            // Gradients that were asked for are put to use by hand: an optimizer is not all that trains.
            TraceEvent::Enter(frame) if frame.target.role == Role::AutogradGrad => self.loaded.clear(),
            // From here on loaded parameters are meant to change.
            TraceEvent::Leave(frame, _) if frame.target.role == Role::OptimizerStep => self.loaded.clear(),
            _ => {}
        }
    }
}

impl Consistent {
    fn loaded(&mut self, look: &Look, scene: &Scene) {
        let Some(object) = scene.object(look.frame.object).filter(|o| o.kind == ObjectKind::Module) else {
            return;
        };
        for &id in scene.variables.of_owner(object.root) {
            let variable = scene.variables.get(id);
            let below = variable.name.strip_prefix(&object.name).is_some_and(|rest| rest.starts_with('.'));
            if variable.kind != VariableKind::Parameter || variable.looked != look.time || !below {
                continue;
            }
            if let Some(data) = variable.data.filter(|data| data.kind == ValueKind::Tensor) {
                let at = (look.iteration, look.step);
                let loaded = Loaded { data, shape: variable.shape, at, losses: scene.losses };
                self.loaded.insert(id, loaded);
            }
        }
    }

    /// The first step after a state was loaded begins: nothing has trained the parameters yet.
    fn trained(&mut self, look: &Look, cx: &mut Context<'_>) {
        if self.loaded.is_empty() {
            return;
        }
        let scene = cx.scene;
        let mut roots: BTreeMap<u32, Vec<(VarId, Loaded, bool)>> = BTreeMap::new();
        for (id, loaded) in std::mem::take(&mut self.loaded) {
            let variable = scene.variables.get(id);
            // Another type of numbers holds the same ones in other bits.
            if variable.looked == look.time
                && variable.shape == loaded.shape
                && let Some(same) = variable.data.and_then(|now| now.same(&loaded.data))
            {
                roots.entry(variable.owner).or_default().push((id, loaded, same));
            }
        }
        let outcome = [cx.numbers.outcome(Outcome::StaysLoaded)];
        for (root, parameters) in roots {
            let Some(root) = scene.object(root) else { continue };
            let subject = Subject::Root { class: root.class.clone() };
            let subject = cx.numbers.subject(subject);
            let replaced = parameters.iter().filter(|(_, _, same)| !same);
            let (variables, before): (Vec<VarId>, Vec<Option<Digest>>) =
                replaced.map(|(id, loaded, _)| (*id, Some(loaded.data))).unzip();
            for (_, loaded, same) in &parameters {
                let mut window = window(subject, look, scene);
                window.held = if *same { &outcome } else { &[] };
                window.cut = scene.lost_since(loaded.losses);
                window.began = Some(loaded.at);
                (window.variables, window.before) = (&variables, &before);
                cx.window(&window);
            }
            let replaced =
                parameters.iter().filter(|(id, loaded, same)| !same && is_replaced(*id, loaded, scene));
            let is_held = replaced.count() * 2 <= parameters.len();
            let Some((_, loaded, _)) = parameters.first() else { continue };
            let subject = cx.numbers.subject(Subject::Loaded);
            let outcome = [cx.numbers.outcome(Outcome::NotReplaced)];
            let mut window = window(subject, look, scene);
            window.held = if is_held { &outcome } else { &[] };
            window.cut = scene.lost_since(loaded.losses);
            window.began = Some(loaded.at);
            (window.variables, window.before) = (&variables, &before);
            cx.general(&window);
        }
    }
}

/// Whether a parameter that is not as it was loaded has nothing to do with what was: it is neither rounded, nor masked, nor the
/// same with a little noise.
fn is_replaced(id: VarId, loaded: &Loaded, scene: &Scene) -> bool {
    let Some(now) = scene.variables.get(id).data else { return false };
    let before = &loaded.data;
    let is_near = (now.l2 - before.l2).abs() <= DERIVED * before.l2;
    let is_masked = now.zeros > before.zeros && !now.all_zero() && now.l2 <= before.l2;
    !is_near && !is_masked
}

fn window<'a>(subject: SubjectId, look: &'a Look, scene: &Scene) -> Window<'a> {
    let mut window = Window::new(subject, NOTHING, &look.frame, scene.depth(&look.frame));
    window.now = (look.iteration, look.step);
    window
}

/// A parameter and the other names of its storage.
struct Tied {
    id: VarId,
    subject: SubjectId,
    partners: Vec<(VarId, OutcomeId)>,
}

/// Names for one tensor.
#[derive(Default)]
struct Ties {
    storages: Storages,
    /// Parameters with the names that share their storage.
    tied: Vec<Tied>,
    /// Those that share it with none.
    single: Vec<(VarId, SubjectId)>,
    /// Ties to names that there are not.
    absent: Vec<OutcomeId>,
    untied: Untied,
}

impl Ties {
    fn looked(&mut self, look: &Look, cx: &mut Context<'_>) {
        if self.storages.have_changed(look, cx.scene) {
            self.find(look, cx);
            self.untied.changed(&self.tied, look, cx);
        }
        let cut = self.storages.cut(look, cx.scene);
        for Tied { id, subject, partners } in &self.tied {
            let tied = cx.scene.variables.get(*id);
            if tied.looked != look.time || !cx.wants(*subject) {
                continue;
            }
            let (mut held, mut inconclusive) = (Vec::new(), self.absent.clone());
            for (partner, outcome) in partners {
                let partner = cx.scene.variables.get(*partner);
                let same = tied.data.zip(partner.data).and_then(|(a, b)| a.same(&b));
                match same.filter(|_| partner.looked == look.time) {
                    Some(true) => held.push(*outcome),
                    Some(false) => {}
                    None => inconclusive.push(*outcome),
                }
            }
            let mut window = window(*subject, look, cx.scene);
            (window.held, window.inconclusive, window.cut) = (&held, &inconclusive, cut);
            window.variables = std::slice::from_ref(id);
            cx.window(&window);
        }
        // What shares no storage is said to share none.
        if !self.storages.announce(cut) {
            return;
        }
        for (id, subject) in &self.single {
            if cx.scene.variables.get(*id).looked == look.time && cx.wants(*subject) {
                let mut window = window(*subject, look, cx.scene);
                (window.inconclusive, window.cut) = (&self.absent, cut);
                window.began = Some(self.storages.changed);
                window.variables = std::slice::from_ref(id);
                cx.window(&window);
            }
        }
    }

    fn find(&mut self, look: &Look, cx: &mut Context<'_>) {
        self.tied.clear();
        self.single.clear();
        let live = parameters(look, cx.scene);
        let mut by_storage: FxHashMap<u64, Vec<VarId>> = FxHashMap::default();
        for (id, variable) in live.clone() {
            by_storage.entry(variable.storage.cast_unsigned()).or_default().push(id);
        }
        for (id, variable) in live.clone() {
            let name = Subject::Variable { name: variable.name.clone() };
            let subject = cx.numbers.subject(name);
            let sharing = by_storage.get(&variable.storage.cast_unsigned()).map_or(&[][..], Vec::as_slice);
            let partners: Vec<(VarId, OutcomeId)> = sharing
                .iter()
                .filter(|&&other| other != id && sharing.len() <= MOST_TIED)
                .map(|&other| {
                    let with = cx.scene.variables.get(other).name.clone();
                    (other, cx.numbers.outcome(Outcome::SharesStorage { with }))
                })
                .collect();
            if partners.is_empty() {
                self.single.push((id, subject));
            } else {
                self.tied.push(Tied { id, subject, partners });
            }
        }
        let names: HashSet<&str> = live.map(|(_, variable)| variable.name.as_str()).collect();
        let is_absent = |outcome: &claims::Outcome| matches!(outcome, claims::Outcome::Consistent(Outcome::SharesStorage { with }) if !names.contains(with.as_str()));
        self.absent = cx
            .numbers
            .outcomes()
            .iter()
            .filter(|(_, outcome)| is_absent(outcome))
            .map(|(id, _)| id)
            .collect();
    }
}
