//! Names that were one tensor at one step are still so at a later one: a tie that breaks during a training.

use std::collections::BTreeMap;

use super::claim::{Outcome, Subject};
use super::{Tied, window};
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::scene::variables::VarId;
use crate::scene::{Cut, Look, Scene};

/// More ties than this are not followed.
const MOST: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Untied {
    /// Two names for one tensor, and the last look that found them so. What has broken is no longer in it.
    ties: BTreeMap<(VarId, VarId), Look>,
}

impl Untied {
    /// Storages have changed: these share one now.
    pub(super) fn changed(&mut self, tied: &[Tied], look: &Look, cx: &mut Context<'_>) {
        let shares = |a: VarId, b: VarId| {
            tied.iter().any(|one| one.id == a && one.partners.iter().any(|(partner, _)| *partner == b))
        };
        let mut broken = Vec::new();
        for (&(a, b), last) in &mut self.ties {
            let [one, other] = [a, b].map(|id| cx.scene.variables.get(id));
            if one.looked != look.time || other.looked != look.time {
                continue;
            }
            if shares(a, b) {
                *last = *look;
            } else {
                broken.push((a, b));
            }
        }
        for pair in broken {
            if let Some(since) = self.ties.remove(&pair) {
                say(pair, false, look, Some((since.iteration, since.step)), cx);
            }
        }
        for one in tied {
            for &(partner, _) in one.partners.iter().filter(|(partner, _)| one.id < *partner) {
                if self.ties.len() < MOST && are_one(one.id, partner, cx.scene) {
                    self.ties.entry((one.id, partner)).or_insert(*look);
                }
            }
        }
    }

    /// There is no more to come.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for (pair, look) in std::mem::take(&mut self.ties) {
            say(pair, true, &look, None, cx);
        }
    }
}

/// Whether both have the same contents: parts of one buffer share its storage and are no ties.
fn are_one(a: VarId, b: VarId, scene: &Scene) -> bool {
    let [a, b] = [a, b].map(|id| scene.variables.get(id).data);
    a.zip(b).and_then(|(a, b)| a.same(&b)) == Some(true)
}

fn say((a, b): (VarId, VarId), holds: bool, look: &Look, since: Option<(u32, u32)>, cx: &mut Context<'_>) {
    let subject = cx.numbers.subject(Subject::Tie);
    let outcome = [cx.numbers.outcome(Outcome::StaysTied)];
    let variables = [a, b];
    let mut window = Window { held: if holds { &outcome } else { &[] }, ..window(subject, look, cx.scene) };
    window.cut = cx.scene.is_lossy().then_some(Cut::Loss);
    window.began = since;
    window.variables = &variables;
    cx.general(&window);
}
