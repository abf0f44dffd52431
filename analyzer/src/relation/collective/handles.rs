//! Handles of collectives that somebody waits for.
//!
//! A collective that was issued with `async_op=True` may be under way when its call returns: what it writes is there when its handle was
//! waited for. Where nobody ever does, that it is there in time is luck. Some wait after the next step, for what is needed only in
//! the forward that follows, and some for many at once when they print. So a handle was given up where two steps have begun since and
//! a later one of the same line was waited for, or else at the end.
//!
//! MUST (MPI) calls requests that are never completed leaks.

use std::collections::BTreeMap;

use traincheck_schema::record::{CollectiveEvent, CollectiveKind, Role};

use super::claim::{Outcome, Subject};
use crate::relation::observer::{Context, Observer};
use crate::relation::sink::Window;
use crate::scene::came::Came;
use crate::scene::{Cut, TraceEvent};
use crate::situation::NOTHING;

/// Handles that nobody has waited for are remembered up to this number.
const MOST_OPEN: usize = 4096;
/// Steps that begin before one is given up.
const STEPS: u32 = 2;

/// The kind of a collective, and the line that issues it.
type Line = (u8, u32);

#[derive(Default)]
pub(super) struct Handles {
    /// By number of the collective, the line of one that is open.
    lines: BTreeMap<u64, Line>,
    open: BTreeMap<Line, OfLine>,
    steps: u32,
}

/// What one line has issued.
#[derive(Default)]
struct OfLine {
    /// By number of the collective.
    open: BTreeMap<u64, Handle>,
    /// The largest number that was waited for.
    waited: u64,
}

struct Handle {
    came: Came,
    steps: u32,
    losses: u32,
}

impl Observer for Handles {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Collective(came) => self.came(came, cx),
            TraceEvent::Enter(frame) if frame.target.role == Role::OptimizerStep && frame.counts => {
                self.steps += 1;
                let given_up: Vec<u64> =
                    self.open.values().flat_map(|line| line.given_up(self.steps)).collect();
                given_up.into_iter().for_each(|number| self.settle(number, false, None, cx));
            }
            TraceEvent::End => {
                while let Some((&number, line)) = self.lines.first_key_value() {
                    let line = &self.open[line];
                    let is_young = self.steps < line.open[&number].steps.saturating_add(STEPS);
                    // What others of the line were waited for, this one may have been for, too.
                    let cut = (is_young || line.waited > 0).then_some(Cut::End);
                    self.settle(number, false, cut, cx);
                }
            }
            _ => {}
        }
    }
}

impl Handles {
    fn came(&mut self, came: &Came, cx: &mut Context<'_>) {
        match CollectiveEvent::try_from(came.record.event) {
            Ok(CollectiveEvent::Issued) => {
                let line = (came.record.op, came.stack.last().map_or(0, |call| call.site));
                let handle = Handle { came: came.clone(), steps: self.steps, losses: cx.scene.losses };
                self.lines.insert(came.record.number, line);
                self.open.entry(line).or_default().open.insert(came.record.number, handle);
                if self.lines.len() > MOST_OPEN
                    && let Some((oldest, line)) = self.lines.first_key_value()
                {
                    let (oldest, cut) = (*oldest, (self.open[line].waited > 0).then_some(Cut::Unclear));
                    self.settle(oldest, false, cut, cx);
                }
            }
            // Who takes the future may wait for it, unseen.
            Ok(CollectiveEvent::Waited | CollectiveEvent::FutureTaken) => {
                self.settle(came.record.number, true, None, cx);
            }
            Ok(CollectiveEvent::Completed | CollectiveEvent::Failed) | Err(_) => {}
        }
    }

    /// Tells of the handle with this number, if it is open, whether somebody has waited for it.
    fn settle(&mut self, number: u64, held: bool, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some(line) = self.lines.remove(&number) else { return };
        let Some(line) = self.open.get_mut(&line) else { return };
        if held {
            line.waited = line.waited.max(number);
        }
        if let Some(handle) = line.open.remove(&number) {
            handle.tell(held, cut, cx);
        }
    }
}

impl OfLine {
    /// Those that are as good as given up when so many steps have begun, in the order in which they were issued.
    fn given_up(&self, steps: u32) -> impl Iterator<Item = u64> {
        let overtaken = self.open.range(..self.waited);
        let old = overtaken.take_while(move |(_, handle)| steps >= handle.steps.saturating_add(STEPS));
        old.map(|(number, _)| *number)
    }
}

impl Handle {
    fn tell(&self, held: bool, cut: Option<Cut>, cx: &mut Context<'_>) {
        let Some((call, around)) = self.came.stack.split_last() else { return };
        let record = &self.came.record;
        let kind = CollectiveKind::try_from(record.op).unwrap_or_default();
        let subject = cx.numbers.subject(Subject::Handle { kind: kind.word().into() });
        let waited = [cx.numbers.outcome(Outcome::WaitedFor)];
        let mut window = Window::new(subject, NOTHING, call, 0);
        window.around = Some(around);
        window.held = if held { &waited } else { &[] };
        window.cut = cx.scene.lost_since(self.losses).or(cut);
        window.now = cx.scene.now;
        window.began = Some((record.iteration, record.step));
        cx.window(&window);
    }
}
