//! The streams of random numbers that everybody draws from: neither an iteration nor a pass over the training data begins
//! where the one before began.
//!
//! Streams are looked at where sampled iterations and passes begin. One that was elsewhere in between and is back has been
//! set back: no generator comes round by itself.

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Attribute, Role, Stage, VariableKind};

use super::claim::{Outcome, Stretch, Subject};
use crate::relation::numbers::SubjectId;
use crate::relation::observer::Context;
use crate::relation::sink::Window;
use crate::relation::support::streak::PERSISTENT;
use crate::scene::variables::{Change, Digest, VarId};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;

/// A program may train twice from the same seed; three passes that begin alike are no two trainings of one pass.
const PERSISTENT_IN_PASSES: u32 = 2;

#[derive(Default)]
pub(super) struct Progress {
    /// The call that the iteration began in, or 0: looks in it, and in no call inside it, are at the beginning.
    around: u64,
    /// The call that began the last pass over training data.
    pass: Option<Frame>,
    streams: FxHashMap<(VarId, Stretch), Stream>,
}

/// A stream, and the beginnings of one kind of stretch.
#[derive(Default)]
struct Stream {
    /// What windows are about.
    subject: Option<SubjectId>,
    /// Where the stream was when one began.
    start: Option<Digest>,
    /// The iteration or call that began then.
    begun: u64,
    /// Whether it has been elsewhere since.
    moved: bool,
    windows: u32,
    /// How often in a row it was back, and iteration and step of the first time.
    repeats: u32,
    since: (u32, u32),
}

impl Progress {
    pub(super) fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::IterationBegan(iteration) => {
                let around = cx.scene.stack(iteration.frame.thread, iteration.depth).last();
                self.around = around.map_or(0, |frame| frame.call);
            }
            TraceEvent::Enter(frame) if frame.target.role == Role::LoaderIter => {
                // What is evaluated on may well be drawn alike every time.
                self.pass = Some(**frame).filter(|frame| frame.stage != Stage::Evaluation as u8);
            }
            TraceEvent::State(change, _) if change.attribute == Attribute::Data => self.told(change, cx),
            _ => {}
        }
    }

    fn told(&mut self, change: &Change, cx: &mut Context<'_>) {
        let variable = cx.scene.variables.get(change.variable);
        // Those of loaders begin each pass anew where somebody wants it so.
        if variable.kind != VariableKind::Rng || variable.owner != 0 {
            return;
        }
        let Some(now) = change.now else { return };
        let iteration = cx.scene.iteration.as_ref().filter(|_| change.call == self.around);
        let iteration = iteration.map(|iteration| (iteration.frame, iteration.depth));
        let pass = self.pass.filter(|frame| frame.call == change.call);
        for (stretch, begins) in [
            (Stretch::Iteration, iteration.map(|(frame, depth)| (frame, depth, u64::from(frame.iteration)))),
            (Stretch::Pass, pass.map(|frame| (frame, cx.scene.depth(&frame), frame.call))),
        ] {
            let stream = self.streams.entry((change.variable, stretch)).or_default();
            let is_at_start = stream.start.and_then(|start| now.same(&start));
            let Some((frame, depth, number)) = begins.filter(|(.., number)| *number != stream.begun) else {
                stream.moved |= is_at_start == Some(false);
                continue;
            };
            if let Some(back) = is_at_start
                && (stream.moved || !back)
            {
                let name = variable.name.clone();
                let subject = || cx.numbers.subject(Subject::Stream { name, begins: stretch });
                let subject = *stream.subject.get_or_insert_with(subject);
                stream.window((subject, change.variable), back, stretch, (&frame, depth), cx);
            }
            (stream.start, stream.begun, stream.moved) = (Some(now), number, false);
        }
    }
}

impl Stream {
    fn window(
        &mut self,
        (subject, variable): (SubjectId, VarId),
        back: bool,
        stretch: Stretch,
        (frame, depth): (&Frame, usize),
        cx: &mut Context<'_>,
    ) {
        self.windows = self.windows.saturating_add(1);
        self.repeats = if back { self.repeats.saturating_add(1) } else { 0 };
        if self.repeats == 1 {
            self.since = (frame.iteration, frame.step);
        }
        let (enough, early) = match stretch {
            Stretch::Iteration => (PERSISTENT, Scene::too_early(frame.iteration, self.windows)),
            Stretch::Pass => (PERSISTENT_IN_PASSES, None),
        };
        let goes_on = [cx.numbers.outcome(Outcome::GoesOn)];
        let mut window = Window::new(subject, NOTHING, frame, depth);
        match self.repeats {
            0 => window.held = &goes_on,
            repeats if repeats < enough => window.inconclusive = &goes_on,
            _ => {}
        }
        window.variables = std::slice::from_ref(&variable);
        window.began = back.then_some(self.since);
        window.cut = cx.scene.lost_since(frame.losses).or(early);
        cx.window(&window);
    }
}
