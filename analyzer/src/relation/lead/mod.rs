//! Lead: after every A, before the next A or the return of the call that made it, there is a B.
pub mod claim;

use traincheck_schema::record::Role;

use crate::call::roles::Roles;
use crate::call::{Call, CallId};
use crate::relation::needs::Needs;
use crate::relation::numbers::{Numbers, OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::accumulation;
use crate::relation::support::by_call::{ByCall, OfCall};
use crate::relation::support::sequence::{self, CRITICAL, Levels, NEIGHBOURS, Sequence};
use crate::scene::{Cut, Frame, Scene, TraceEvent};
use claim::{FIELDS, Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Lead::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: TOLD,
};

const NEEDS: Needs = Needs { calls: NEIGHBOURS, contexts: claim::FIELDS, ..Needs::NOTHING };

const TOLD: Told = Told { entries: NEIGHBOURS, returns: Roles::ALL, ..Told::NOTHING };

#[derive(Clone, Copy, Debug)]
struct CallNumbers {
    after: SubjectId,
    called: OutcomeId,
    role: Role,
    seen: u32,
}

impl OfCall for CallNumbers {
    fn of(call: Call, numbers: &mut Numbers) -> CallNumbers {
        CallNumbers {
            after: numbers.subject(Subject::After { call: call.clone() }),
            role: call.role,
            called: numbers.outcome(Outcome::Called { call }),
            seen: 0,
        }
    }
}

#[derive(Default)]
struct Lead {
    levels: Levels<1>,
    by_call: ByCall<CallNumbers>,
    held: Vec<OutcomeId>,
}

impl Observer for Lead {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        match event {
            TraceEvent::Enter(frame) if sequence::is_neighbour(frame) => self.enter(frame, cx),
            TraceEvent::Leave(frame, cut) => {
                if let Some(level) = self.levels.close(frame.thread, frame.call) {
                    self.level_ended(&level[0], cx.scene.depth(frame) + 1, *cut, cx);
                    self.levels.reuse(level);
                }
            }
            _ => {}
        }
    }
}

impl Lead {
    fn enter(&mut self, frame: &Frame, cx: &mut Context<'_>) {
        let id = frame.target.plain;
        let parent = sequence::parent(frame, cx.scene);
        let mut levels = std::mem::take(&mut self.levels);
        let [level] = levels.level(frame.thread, parent);
        if let (since, Some(last)) = level.since(id) {
            self.example(since, id, last, cx.scene.depth(frame), None, cx);
        }
        level.push(id, frame);
        self.levels = levels;
    }

    /// The last call of each kind ends with its level.
    fn level_ended(&mut self, level: &Sequence, depth: usize, cut: Option<Cut>, cx: &mut Context<'_>) {
        for &id in level.calls() {
            if let (since, Some(last)) = level.since(id) {
                self.example(since, id, last, depth, cut, cx);
            }
        }
    }

    fn example(
        &mut self,
        since: &[CallId],
        id: CallId,
        last: &Frame,
        depth: usize,
        cut: Option<Cut>,
        cx: &mut Context<'_>,
    ) {
        let numbers = self.by_call.of(id, cx.numbers);
        if !CRITICAL.has(numbers.role) {
            return;
        }
        numbers.seen = numbers.seen.saturating_add(1);
        let early = Scene::too_early(last.iteration, numbers.seen);
        let (subject, role) = (numbers.after, numbers.role);
        self.held.clear();
        self.held.extend(since.iter().map(|call| self.by_call.of(*call, cx.numbers).called));
        let inconclusive =
            if role == Role::Backward { accumulation::excused(&self.held, cx.numbers) } else { Vec::new() };
        let mut window = Window::new(subject, cx.situation(last, FIELDS), last, depth);
        window.held = &self.held;
        window.inconclusive = &inconclusive;
        window.cut = cut.or(cx.scene.lost_since(last.losses)).or(early);
        cx.window(&window);
    }
}
