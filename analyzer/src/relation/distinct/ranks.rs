//! What the ranks of a job are given: batches and streams of random numbers that differ from rank to rank go on to.
//!
//! That those of this loader differ is learned from references; ranks that train the same parameters have no use for one
//! batch twice, whatever the program.

use std::collections::BTreeMap;

use traincheck_schema::record::{Attribute, Role, ValueKind, VariableKind};

use super::batches::{Parts, says_something};
use super::claim::{Outcome, Subject};
use crate::call::roles::Roles;
use crate::relation::needs::{Needs, States};
use crate::relation::sink::Window;
use crate::relation::support::by_name::{ByName, Shared};
use crate::relation::support::streak::Streak;
use crate::relation::together::{Joint, Meeting, Together};
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Scene};
use crate::situation::NOTHING;

/// What is read of a trace.
pub(super) const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::OptimizerStep]),
    variables: &[
        States { attribute: Attribute::Data, of: FOLLOWED, at: &[] },
        States::AFTER_STEPS,
        States::HOLDERS,
    ],
    ..Needs::NOTHING
};
const FOLLOWED: &[VariableKind] = &[VariableKind::Batch, VariableKind::Rng];

/// The stream that `torch.manual_seed` seeds.
const TORCH_STREAM: &str = "torch.default_generator";

/// See the module.
#[derive(Default)]
pub(super) struct OfRanks {
    variables: ByName,
    /// When each variable was last looked at, by rank, and what was found.
    looked: Vec<Vec<(u64, Option<Digest>)>>,
    /// By number of the variable, whether it was the same on all ranks when it was first looked at; `None`: it was not.
    began_alike: Vec<Option<bool>>,
    /// By the subject, how many windows there were, and how many at the end in which ranks were given the same.
    windows: BTreeMap<Subject, (u32, Streak)>,
}

impl Together for OfRanks {
    fn met(&mut self, meeting: &Meeting<'_>, joint: &mut Joint<'_>) {
        if meeting.is_before_step() {
            return;
        }
        self.variables.go_through(meeting.ranks, is_followed);
        self.looked.resize_with(self.variables.all().len(), || vec![(0, None); meeting.ranks.len()]);
        // By loader, what each rank was given since the last meeting.
        let mut loaders: BTreeMap<String, Vec<Parts>> = BTreeMap::new();
        let mut streams: Vec<(String, Vec<Parts>, bool)> = Vec::new();
        self.began_alike.resize(self.variables.all().len(), None);
        let all = self.variables.all().iter().zip(&mut self.looked).zip(&mut self.began_alike);
        for ((shared, looked), began_alike) in all {
            if began_alike.is_none() {
                *began_alike = are_alike(shared, meeting);
            }
            let Some(digests) = fresh(shared, looked, meeting) else { continue };
            if shared.kind == VariableKind::Rng {
                let parts = digests.into_iter().map(|part| vec![part]).collect();
                streams.push((shared.name.clone(), parts, *began_alike == Some(true)));
                continue;
            }
            let owner = shared.on(meeting.ranks, 0).map_or(0, |variable| variable.owner);
            let Some(loader) = meeting.ranks[0].scene.object(owner) else { continue };
            let parts =
                loaders.entry(loader.name.clone()).or_insert_with(|| vec![Parts::new(); digests.len()]);
            parts.iter_mut().zip(digests).for_each(|(parts, part)| parts.push(part));
        }
        loaders.retain(|_, ranks| ranks.iter().all(|parts| says_something(parts)));
        let alike = !loaders.is_empty() && train_the_same(meeting);
        for (loader, ranks) in loaders {
            if alike {
                self.compare(Subject::BatchesOfReplicas, &ranks, false, meeting, joint);
            }
            self.compare(Subject::RankBatches { loader }, &ranks, false, meeting, joint);
        }
        for (name, ranks, began_alike) in streams {
            self.compare(Subject::RankStream { name }, &ranks, began_alike, meeting, joint);
        }
    }
}

fn is_followed(kind: VariableKind) -> bool {
    FOLLOWED.contains(&kind)
}

/// Whether a stream of random numbers begins as the same on all ranks: it is seeded with the same number, or is found so; `None`: some
/// have not looked at it.
fn are_alike(shared: &Shared, meeting: &Meeting<'_>) -> Option<bool> {
    let found = (0..meeting.ranks.len()).map(|at| shared.on(meeting.ranks, at)?.data);
    let found: Vec<Digest> = found.collect::<Option<_>>()?;
    let (first, others) = found.split_first()?;
    let seed = meeting.ranks[0].scene.seed;
    let is_seeded_alike = shared.name == TORCH_STREAM
        && seed.is_some()
        && meeting.ranks.iter().all(|rank| rank.scene.seed == seed);
    let is_alike = is_seeded_alike || others.iter().all(|other| other.same(first) == Some(true));
    Some(shared.kind == VariableKind::Rng && is_alike)
}

/// What each rank has of a variable, if all of them have looked at it since the last meeting. A stream of random numbers only
/// if all have drawn from it since: else it is where it was seeded.
fn fresh(
    shared: &Shared,
    looked: &mut [(u64, Option<Digest>)],
    meeting: &Meeting<'_>,
) -> Option<Vec<(VarId, Digest)>> {
    let mut all = Vec::with_capacity(looked.len());
    let (mut is_fresh, mut is_drawn_from) = (true, true);
    for (at, looked) in looked.iter_mut().enumerate() {
        let (Some(id), Some(variable)) = (shared.ids[at], shared.on(meeting.ranks, at)) else { return None };
        let (before, found) = std::mem::replace(looked, (variable.looked, variable.data));
        is_fresh &= before < variable.looked;
        is_drawn_from &= found.zip(variable.data).is_some_and(|(one, other)| one.same(&other) == Some(false));
        all.extend(variable.data.filter(|data| data.kind == ValueKind::Tensor).map(|data| (id, data)));
    }
    let counts = is_fresh && (is_drawn_from || shared.kind != VariableKind::Rng);
    (counts && all.len() == looked.len()).then_some(all)
}

/// Whether all parameters that are held by the optimizer that has stepped are the same on all ranks.
fn train_the_same(meeting: &Meeting<'_>) -> bool {
    let parameters = |at: usize| {
        let (scene, look) = (meeting.ranks[at].scene, &meeting.looks[at]);
        let held = scene.variables.held_by(look.frame.object).iter().map(|&id| scene.variables.get(id));
        let looked = held.filter(|variable| variable.looked == look.time);
        looked.map(|variable| (variable.name.as_str(), variable.data))
    };
    let first: Vec<(&str, Option<Digest>)> = parameters(0).collect();
    // Mostly they come in the same order on all ranks, and need not be matched.
    let in_order = |at: usize| {
        let mut others = parameters(at);
        let same = |(name, data): &(&str, Option<Digest>)| {
            others.next().is_some_and(|(other, found)| other == *name && are_same(*data, found))
        };
        first.iter().all(same) && others.next().is_none()
    };
    let by_name = |at: usize| {
        let first: BTreeMap<&str, Option<Digest>> = first.iter().copied().collect();
        let others: BTreeMap<&str, Option<Digest>> = parameters(at).collect();
        let same =
            |(name, data): (&&str, &Option<Digest>)| are_same(*data, others.get(name).copied().flatten());
        others.len() == first.len() && first.iter().all(same)
    };
    !first.is_empty() && (1..meeting.ranks.len()).all(|at| in_order(at) || by_name(at))
}

/// Whether both were read and are the same.
fn are_same(one: Option<Digest>, other: Option<Digest>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.same(&other) == Some(true))
}

impl OfRanks {
    /// `began_alike`: ranks began with the same, so that they differ says only that some have drawn from it more often, as one
    /// does that evaluates for all.
    fn compare(
        &mut self,
        subject: Subject,
        ranks: &[Parts],
        began_alike: bool,
        meeting: &Meeting<'_>,
        joint: &mut Joint<'_>,
    ) {
        // All of it is contents of tensors: see `fresh`.
        let given = |parts: &Parts| parts.iter().map(|(_, part)| (part.hash, part.elements)).collect();
        let given: Vec<Vec<_>> = ranks.iter().map(given).collect();
        let mut times: BTreeMap<&[_], u32> = BTreeMap::new();
        given.iter().for_each(|given| *times.entry(given).or_default() += 1);
        let twice: Vec<usize> = (0..ranks.len()).filter(|&at| times[&given[at][..]] > 1).collect();
        let at = twice.first().copied().unwrap_or(0);
        let look = &meeting.looks[at];
        let (ordinal, streak) = self.windows.entry(subject.clone()).or_default();
        *ordinal += 1;
        streak.add(!twice.is_empty(), (look.iteration, look.step));
        let differ = [joint.numbers.outcome(Outcome::RanksDiffer)];
        let variables: Vec<VarId> = ranks[at].iter().map(|(id, _)| *id).collect();
        let subject = joint.numbers.subject(subject);
        let depth = meeting.ranks[at].scene.depth(&look.frame);
        let mut window = Window::new(subject, NOTHING, &look.frame, depth);
        if twice.is_empty() && began_alike {
            window.inconclusive = &differ;
        } else if twice.is_empty() {
            window.held = &differ;
        } else if streak.is_accident() {
            window.inconclusive = &differ;
        }
        let lossy = meeting.ranks.iter().any(|rank| rank.scene.is_lossy());
        window.cut = lossy.then_some(Cut::Loss).or(Scene::too_early(look.iteration, *ordinal));
        window.now = (look.iteration, look.step);
        window.began = streak.began();
        window.variables = &variables;
        let everyone = twice.len() == ranks.len();
        joint.window(&window, meeting.ranks, at, if everyone { &[] } else { &twice }, &[]);
    }
}
