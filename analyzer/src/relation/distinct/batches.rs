//! What loaders give: a batch that is trained on is not the one before it, and what one worker gives is not what
//! another gives.
//!
//! Batches are compared as a whole: labels alone are often the same. A pass that gave all there is and is followed by
//! another one may begin with the same batch. Between workers parts count as well, where they are made of fractions
//! and are no constants.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, Stage, ValueKind, VariableKind};

use super::claim::{Outcome, Subject};
use super::order::Order;
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// Smaller parts are too easily the same: of fractions, of anything.
const LEAST_FRACTIONS: u64 = 8;
const LEAST_ELEMENTS: u64 = 64;
/// A script can make a loader for every epoch: each would be a claim of its own.
const MOST_LOADERS: usize = 16;

#[derive(Default)]
pub(super) struct Batches {
    loaders: FxHashMap<u32, Loader>,
    parts: FxHashMap<VarId, Workers>,
}

/// The parts of a batch and what is in them.
pub(super) type Parts = Vec<(VarId, Digest)>;

#[derive(Default)]
struct Loader {
    subject: Option<SubjectId>,
    /// The call that gave the batch, and how many calls are around it.
    next: Option<(Frame, usize)>,
    batch: Parts,
    /// Whether it has not been trained on.
    fresh: bool,
    /// The most parts that a batch had.
    most: usize,
    trained: Parts,
    /// Whether a pass has ended since.
    exhausted: bool,
    losses: u32,
    ordinal: u32,
    streak: Streak,
    /// What the workers have given in this turn, and what the first of them gave in the turn before.
    turn: Vec<(i64, Parts)>,
    last_turn: Parts,
    as_a_whole: Workers,
    order: Order,
}

/// How what several workers give compares.
#[derive(Default)]
struct Workers {
    subject: Option<SubjectId>,
    ordinal: u32,
    streak: Streak,
}

impl Batches {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) => match frame.target.role {
                Role::LoaderNext if self.follows(frame.object) => {
                    let loader = self.loaders.entry(frame.object).or_default();
                    loader.next = Some((**frame, cx.scene.depth(frame)));
                    loader.batch.clear();
                    // What is evaluated on is not trained on.
                    loader.fresh = frame.stage != Stage::Evaluation as u8;
                }
                Role::LoaderIter => {
                    if let Some(loader) = self.loaders.get_mut(&frame.object) {
                        loader.turn.clear();
                        loader.order.begins(cx.scene);
                    }
                }
                Role::Backward if frame.counts => self.trained(cx),
                _ => {}
            },
            TraceEvent::Leave(frame, Some(Cut::Raised)) if frame.target.role == Role::LoaderNext => {
                if let Some(loader) = self.loaders.get_mut(&frame.object) {
                    loader.exhausted = true;
                    loader.fresh = false;
                }
            }
            TraceEvent::State(change, _) => match cx.scene.variables.get(change.variable).kind {
                VariableKind::Batch => self.given(change, cx),
                VariableKind::Worker => self.made(change, cx),
                _ => {}
            },
            _ => {}
        }
    }

    fn follows(&self, loader: u32) -> bool {
        loader != 0 && (self.loaders.len() < MOST_LOADERS || self.loaders.contains_key(&loader))
    }

    fn given(&mut self, change: &Change, cx: &Context<'_>) {
        let owner = cx.scene.variables.get(change.variable).owner;
        let Some(loader) = self.loaders.get_mut(&owner) else { return };
        let is_its = loader.next.is_some_and(|(frame, _)| frame.call == change.call);
        if let Some(digest) = change.now.filter(|_| is_its && change.attribute == Attribute::Data) {
            loader.batch.push((change.variable, digest));
            loader.most = loader.most.max(loader.batch.len());
        }
    }

    /// A backward runs: what loaders gave last is trained on.
    fn trained(&mut self, cx: &mut Context<'_>) {
        let mut fresh: Vec<u32> =
            self.loaders.iter().filter(|(_, loader)| loader.fresh).map(|(&id, _)| id).collect();
        fresh.sort_unstable();
        for id in fresh {
            if let Some(loader) = self.loaders.get_mut(&id) {
                loader.trained(id, cx);
            }
        }
    }

    /// The worker that made a batch is known. It comes after the parts of the batch.
    fn made(&mut self, change: &Change, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(change.variable);
        let Some(loader) = self.loaders.get_mut(&variable.owner) else { return };
        let Some((frame, depth)) = loader.next.filter(|(frame, _)| frame.call == change.call) else { return };
        // Seeds of workers are variables of the same kind.
        let Some(worker) = variable.value.filter(|_| variable.name.ends_with(".worker")) else { return };
        let worker = worker as i64;
        let owner = variable.owner;
        if loader.turn.iter().any(|(other, _)| *other == worker) {
            let turn = std::mem::take(&mut loader.turn);
            loader.last_turn = turn.into_iter().next().map(|(_, parts)| parts).unwrap_or_default();
        }
        let batch = loader.batch.clone();
        if !loader.turn.is_empty() && batch.len() == loader.most {
            let found = Found { frame: &frame, depth, turn: &loader.turn, last: &loader.last_turn };
            for part in batch.iter().filter(|(_, digest)| has_fractions(digest)) {
                let name = || Subject::Part { name: cx.scene.variables.get(part.0).name.clone() };
                let workers = self.parts.entry(part.0).or_default();
                let subject = *workers.subject.get_or_insert_with(|| cx.numbers.subject(name()));
                workers.compare(subject, std::slice::from_ref(part), &found, cx);
            }
            // Where parts say it, the whole need not.
            let parts = batch.iter().any(|(_, digest)| has_fractions(digest));
            if !parts
                && says_something(&batch)
                && let Some(object) = cx.scene.object(owner)
            {
                let name = || Subject::Workers { loader: object.name.clone() };
                let workers = &mut loader.as_a_whole;
                let subject = *workers.subject.get_or_insert_with(|| cx.numbers.subject(name()));
                workers.compare(subject, &batch, &found, cx);
            }
        }
        loader.turn.push((worker, batch));
    }
}

/// Where a batch was given, and what it is compared with.
struct Found<'a> {
    frame: &'a Frame,
    depth: usize,
    turn: &'a [(i64, Parts)],
    last: &'a Parts,
}

impl Workers {
    fn compare(
        &mut self,
        subject: SubjectId,
        parts: &[(VarId, Digest)],
        found: &Found<'_>,
        cx: &mut Context<'_>,
    ) {
        if !cx.wants(subject) {
            return;
        }
        // A batch of another size, the last one, has other contents for that alone.
        let sized = |others: &Parts| {
            parts.iter().all(|(id, one)| {
                others.iter().any(|(other, digest)| other == id && digest.elements == one.elements)
            })
        };
        if !found.turn.iter().any(|(_, others)| sized(others)) {
            return;
        }
        let equal = found.turn.iter().any(|(_, others)| are_in(parts, others));
        if equal && are_in(parts, found.last) {
            // It is what it is every time, not what the workers draw.
            return;
        }
        self.ordinal = self.ordinal.saturating_add(1);
        let now = (found.frame.iteration, found.frame.step);
        self.streak.add(equal, now);
        let outcome = [cx.numbers.outcome(Outcome::WorkersDiffer)];
        let variables: Vec<VarId> = parts.iter().map(|(id, _)| *id).collect();
        let mut window = Window::new(subject, NOTHING, found.frame, found.depth);
        window.held = if equal { &[] } else { &outcome };
        window.inconclusive = if self.streak.is_accident() { &outcome } else { &[] };
        window.cut = cx.scene.lost_since(found.frame.losses).or(Scene::too_early(now.0, self.ordinal));
        window.began = self.streak.began();
        window.variables = &variables;
        cx.window(&window);
    }
}

impl Loader {
    fn trained(&mut self, id: u32, cx: &mut Context<'_>) {
        self.fresh = false;
        let exhausted = std::mem::take(&mut self.exhausted);
        let losses = std::mem::replace(&mut self.losses, cx.scene.losses);
        // Of a large batch only some parts may have been looked at.
        let whole = self.batch.len() == self.most && says_something(&self.batch);
        let batch = if whole { self.batch.clone() } else { Parts::new() };
        let before = std::mem::replace(&mut self.trained, batch);
        let Some((frame, depth)) = self.next else { return };
        let name = || cx.scene.object(id).map(|object| object.name.clone());
        self.order.trained(&self.trained, (&frame, depth), name, cx);
        if before.is_empty() || self.trained.is_empty() {
            return;
        }
        let repeated = are_in(&self.trained, &before);
        if repeated && exhausted {
            return;
        }
        let Some(object) = cx.scene.object(id) else { return };
        let name = || Subject::Loader { name: object.name.clone() };
        let subject = *self.subject.get_or_insert_with(|| cx.numbers.subject(name()));
        if !cx.wants(subject) {
            return;
        }
        self.ordinal = self.ordinal.saturating_add(1);
        self.streak.add(repeated, cx.scene.now);
        let outcome = [cx.numbers.outcome(Outcome::BatchDiffers)];
        let variables: Vec<VarId> = self.trained.iter().map(|(id, _)| *id).collect();
        let mut window = Window::new(subject, NOTHING, &frame, depth);
        window.held = if repeated { &[] } else { &outcome };
        window.inconclusive = if self.streak.is_accident() { &outcome } else { &[] };
        window.cut = cx.scene.lost_since(losses).or(Scene::too_early(cx.scene.now.0, self.ordinal));
        window.now = cx.scene.now;
        window.began = self.streak.began();
        window.variables = &variables;
        cx.window(&window);
    }
}

/// Whether all of `parts` are the same in `others`.
pub(super) fn are_in(parts: &[(VarId, Digest)], others: &[(VarId, Digest)]) -> bool {
    parts.iter().all(|(id, digest)| {
        others.iter().any(|(other, theirs)| other == id && digest.same(theirs) == Some(true))
    })
}

/// Whether another batch can be expected to have other contents.
pub(super) fn says_something(parts: &[(VarId, Digest)]) -> bool {
    let readable = |digest: &Digest| digest.kind == ValueKind::Tensor;
    let varied = parts.iter().filter(|(_, digest)| digest.min < digest.max);
    let elements: u64 = varied.map(|(_, digest)| digest.elements).sum();
    parts.iter().all(|(_, digest)| readable(digest))
        && (elements >= LEAST_ELEMENTS || parts.iter().any(|(_, digest)| has_fractions(digest)))
}

/// Whether it is made of fractions: no labels, no masks, no tokens.
fn has_fractions(digest: &Digest) -> bool {
    digest.kind == ValueKind::Tensor
        && digest.elements >= LEAST_FRACTIONS
        && digest.min < digest.max
        && (digest.min.fract() != 0.0 || digest.max.fract() != 0.0)
}
