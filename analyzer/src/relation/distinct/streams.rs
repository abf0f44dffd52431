//! Streams of random numbers in the workers of a loader: the second worker draws from one of its own.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, VariableKind};

use super::claim::{Outcome, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::Streak;
use crate::scene::variables::{Change, VarId};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// What the variables are called after the name of the loader.
const OF_SECOND: &str = ".worker[1].";

#[derive(Default)]
pub(super) struct Streams {
    /// The call that gives the next batch, by loader, and how many calls are around it.
    next: FxHashMap<u32, (Frame, usize)>,
    /// What windows are about, how many there were, and in how many at the end the stream was shared.
    streams: FxHashMap<VarId, (SubjectId, u32, Streak)>,
}

impl Streams {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if frame.target.role == Role::LoaderNext => {
                self.next.insert(frame.object, (**frame, cx.scene.depth(frame)));
            }
            TraceEvent::State(change, _) if change.attribute == Attribute::Value => self.told(change, cx),
            _ => {}
        }
    }

    fn told(&mut self, change: &Change, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(change.variable);
        if variable.kind != VariableKind::Worker {
            return;
        }
        let Some((loader, stream)) = variable.name.split_once(OF_SECOND) else { return };
        let Some((frame, depth)) =
            self.next.get(&variable.owner).filter(|(frame, _)| frame.call == change.call)
        else {
            return;
        };
        // Seeds are variables of the same kind.
        let Some(worker) = variable.value.filter(|_| stream != "seed") else { return };
        let subject = Subject::Streams { loader: loader.to_owned(), stream: stream.to_owned() };
        let (subject, ordinal, streak) = self
            .streams
            .entry(change.variable)
            .or_insert_with(|| (cx.numbers.subject(subject), 0, Streak::default()));
        *ordinal = ordinal.saturating_add(1);
        let shared = worker == 0.0;
        streak.add(shared, (frame.iteration, frame.step));
        let differ = [cx.numbers.outcome(Outcome::WorkersDiffer)];
        let mut window = Window::new(*subject, NOTHING, frame, *depth);
        if !shared {
            window.held = &differ;
        } else if streak.is_accident() {
            window.inconclusive = &differ;
        }
        window.cut = cx.scene.lost_since(frame.losses).or(Scene::too_early(frame.iteration, *ordinal));
        window.began = streak.began();
        window.variables = std::slice::from_ref(&change.variable);
        cx.window(&window);
    }
}
