//! Handles of collectives that somebody waits for.
//!
//! A collective that was issued with `async_op=True` may be under way when its call returns: what it writes is there when its handle was
//! waited for. Where nobody ever does, that it is there in time is luck. Some wait after the next step, for what is needed only in
//! the forward that follows, so a handle has until the step after the next.
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

#[derive(Default)]
pub(super) struct Handles {
    /// By number of the collective.
    open: BTreeMap<u64, Handle>,
    steps: u32,
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
                // In the order in which they were issued.
                while let Some(first) = self.open.first_entry()
                    && self.steps >= first.get().steps.saturating_add(STEPS)
                {
                    first.remove().tell(false, None, cx);
                }
            }
            TraceEvent::End => {
                for handle in std::mem::take(&mut self.open).into_values() {
                    handle.tell(false, Some(Cut::End), cx);
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
                let handle = Handle { came: came.clone(), steps: self.steps, losses: cx.scene.losses };
                self.open.insert(came.record.number, handle);
                if self.open.len() > MOST_OPEN {
                    self.open.pop_first();
                }
            }
            // Who takes the future may wait for it, unseen.
            Ok(CollectiveEvent::Waited | CollectiveEvent::FutureTaken) => {
                if let Some(handle) = self.open.remove(&came.record.number) {
                    handle.tell(true, None, cx);
                }
            }
            Ok(CollectiveEvent::Completed | CollectiveEvent::Failed) | Err(_) => {}
        }
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
