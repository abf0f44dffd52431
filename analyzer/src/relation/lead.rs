//! Lead: after every A, before the next A or the return of the call that made it, there is a B.

use traincheck_schema::record::Role;

use super::sequence::{self, Levels, Sequence};
use super::{Cx, Kind, Relation, kept};
use crate::claim::{Outcome, RelationName, Subject};
use crate::names::{CallId, FastMap, OutcomeId, SubjectId};
use crate::scene::{Cut, Frame, Moment, Scene};
use crate::sink::Window;
use crate::situation::Fields;

/// See the module.
pub const KIND: Kind = Kind {
    name: RelationName::Lead,
    new: || Box::new(Lead::default()),
    structural: false,
    fields: |_| FIELDS,
    critical,
};

const FIELDS: Fields = Fields::STAGE_AND_GRAD;

/// What a script does after its last step may be left out when it stops early; what makes a gradient useful may not.
fn critical(subject: &Subject, outcome: &Outcome) -> bool {
    let (Subject::After { call: earlier }, Outcome::Called { call: later }) = (subject, outcome) else {
        return false;
    };
    match earlier.role {
        Role::Backward => matches!(later.role, Role::OptimizerStep | Role::ScalerStep),
        Role::ScalerUnscale => later.role == Role::ScalerStep,
        Role::ScalerStep => later.role == Role::ScalerUpdate,
        _ => false,
    }
}

#[derive(Clone, Copy, Debug)]
struct CallNumbers {
    after: SubjectId,
    called: OutcomeId,
    role: Role,
    seen: u32,
}

#[derive(Default)]
struct Lead {
    levels: Levels,
    numbers: FastMap<CallId, CallNumbers>,
    held: Vec<OutcomeId>,
}

impl Relation for Lead {
    fn hear(&mut self, moment: &Moment<'_>, cx: &mut Cx<'_>) {
        match moment {
            Moment::Enter(frame) if sequence::is_neighbour(frame) => self.enter(frame, cx),
            Moment::Leave(frame, cut) => {
                if let Some(level) = self.levels.close(frame.thread, frame.call) {
                    self.level_ended(&level, cx.scene.depth(frame) + 1, *cut, cx);
                }
            }
            _ => {}
        }
    }
}

impl Lead {
    fn enter(&mut self, frame: &Frame, cx: &mut Cx<'_>) {
        let id = frame.target.plain;
        self.numbers.entry(id).or_insert_with(|| {
            let call = cx.names.calls.get(id).clone();
            CallNumbers {
                after: cx.names.subject(RelationName::Lead, Subject::After { call: call.clone() }),
                role: call.role,
                called: cx.names.outcome(Outcome::Called { call }),
                seen: 0,
            }
        });
        let parent = sequence::parent(frame, cx.scene);
        let mut levels = std::mem::take(&mut self.levels);
        let level = levels.level(frame.thread, parent);
        if let (since, true) = level.since(id)
            && let Some(last) = level.last(id)
        {
            self.example(since, id, last, cx.scene.depth(frame), None, cx);
        }
        level.push(id, frame);
        self.levels = levels;
    }

    /// The last call of each kind ends with its level.
    fn level_ended(&mut self, level: &Sequence, depth: usize, cut: Option<Cut>, cx: &mut Cx<'_>) {
        for &id in level.calls() {
            if let Some(last) = level.last(id) {
                self.example(level.since(id).0, id, last, depth, cut, cx);
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
        cx: &mut Cx<'_>,
    ) {
        let numbers = self.numbers.get_mut(&id).expect("looked up on entry");
        if !sequence::is_critical(numbers.role) {
            return;
        }
        numbers.seen = numbers.seen.saturating_add(1);
        let early = Scene::too_early(last.iteration, numbers.seen);
        let (subject, role) = (numbers.after, numbers.role);
        self.held.clear();
        self.held.extend(since.iter().map(|call| self.numbers[call].called));
        let weak = if role == Role::Backward { kept::excused(&self.held, cx.names) } else { Vec::new() };
        let mut window = Window::new(subject, cx.situation(last, FIELDS), last, depth);
        window.held = &self.held;
        window.weak = &weak;
        window.cut = cut.or(cx.scene.lost_since(last.losses)).or(early);
        cx.window(&window);
    }
}
