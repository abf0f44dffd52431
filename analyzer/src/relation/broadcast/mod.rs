//! Broadcast: two tensors that a call is given, and that always had the same shape, still have it.
//!
//! What is computed element by element of a prediction (B, 1) and a target (B) is computed of all B x B pairs, without a
//! word. Shapes that are equal by chance may differ in another configuration; but then they cannot be broadcast against
//! each other, or only to one of the two. Only where both grow is it the error.
//!
//! In any program it is one in a loss, unless the two have as many dimensions: each was then given one on purpose, to compare
//! each with each.
pub mod claim;

use rustc_hash::FxHashMap;
use traincheck_schema::record::{Argument, Role, flags};

use crate::call::CallId;
use crate::call::roles::Roles;
use crate::relation::needs::Needs;
use crate::relation::numbers::{OutcomeId, SubjectId};
use crate::relation::observer::{Context, Kind, Observer, Told};
use crate::relation::sink::Window;
use crate::relation::support::loss::is_loss;
use crate::relation::support::streak::Streak;
use crate::relation::support::tensor::Described;
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::NOTHING;
use claim::{Outcome, Subject};

/// See the module.
pub const KIND: Kind = Kind {
    observer: || Box::new(Broadcast::default()),
    together: None,
    structural: false,
    values_needed: 0,
    needs: NEEDS,
    told: Told::NOTHING,
};

const NEEDS: Needs = Needs {
    calls: Roles::of(&[Role::ModuleCall, Role::User, Role::Other]),
    arguments: Roles::of(&[Role::ModuleCall, Role::User, Role::Other]),
    ..Needs::NOTHING
};

/// Tensors of one call that are compared with one another.
const MOST_TENSORS: usize = 4;

#[derive(Default)]
struct Broadcast {
    /// How many windows there were of a subject in calls of a function, and how many at the end in which both tensors grew.
    seen: FxHashMap<(SubjectId, CallId), (u32, Streak)>,
}

/// A tensor that a call is given.
struct Given {
    /// Text id of its name there.
    name: u32,
    dimensions: Vec<u64>,
    is_float: bool,
}

impl Observer for Broadcast {
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        if let TraceEvent::Given(frame, arguments) = event {
            let is_loss = is_loss(frame, cx.numbers);
            if is_loss || is_asked(frame) {
                self.given(frame, arguments, is_loss, cx);
            }
        }
    }
}

/// Whether it may be a loss: a function of the script, a module, a function of PyTorch's.
fn is_asked(frame: &Frame) -> bool {
    match frame.target.role {
        Role::ModuleCall => frame.flags & flags::OUTERMOST != 0,
        Role::User => frame.counts,
        Role::Other => true,
        _ => false,
    }
}

impl Broadcast {
    fn given(&mut self, frame: &Frame, arguments: &[Argument], is_loss: bool, cx: &mut Context<'_>) {
        let source = cx.source;
        let given = |argument: &Argument| {
            let described = Described::of(argument, source)?;
            let dimensions = described.dimensions().filter(|dimensions| !dimensions.is_empty())?;
            Some(Given { name: argument.name, dimensions, is_float: described.is_float() })
        };
        let tensors: Vec<Given> = arguments.iter().filter_map(given).take(MOST_TENSORS).collect();
        if is_loss && let [one, other, ..] = tensors.as_slice() {
            // Whole numbers may be class indices, with which nothing is computed element by element.
            let elementwise = one.is_float && other.is_float;
            let grow = elementwise
                && one.dimensions.len() != other.dimensions.len()
                && both_grow(&one.dimensions, &other.dimensions);
            let subject = cx.numbers.subject(Subject::Loss);
            let fits = [cx.numbers.outcome(Outcome::Fits)];
            let window = self.window(subject, &fits, !grow, grow, frame, cx.scene);
            cx.general(&window);
        }
        if !is_asked(frame) {
            return;
        }
        for (number, one) in tensors.iter().enumerate() {
            for other in &tensors[number + 1..] {
                let name = |id: u32| cx.source.entry(id).map(|entry| entry.text.clone()).unwrap_or_default();
                let call = cx.numbers.calls.get(frame.target.plain).clone();
                let pair = Subject::Pair { call, one: name(one.name), other: name(other.name) };
                let subject = cx.numbers.subject(pair);
                let same = one.dimensions == other.dimensions;
                let same_shape = [cx.numbers.outcome(Outcome::SameShape)];
                let grow = both_grow(&one.dimensions, &other.dimensions);
                cx.window(&self.window(subject, &same_shape, same, grow, frame, cx.scene));
            }
        }
    }

    /// What holds or does not, and whether both tensors grow: once or twice that may be chance.
    fn window<'a>(
        &mut self,
        subject: SubjectId,
        outcome: &'a [OutcomeId; 1],
        holds: bool,
        grow: bool,
        frame: &'a Frame,
        scene: &Scene,
    ) -> Window<'a> {
        let (ordinal, streak) = self.seen.entry((subject, frame.target.plain)).or_default();
        *ordinal = ordinal.saturating_add(1);
        streak.add(grow, (frame.iteration, frame.step));
        let mut window = Window::new(subject, NOTHING, frame, scene.depth(frame));
        if holds {
            window.held = outcome;
        } else if streak.is_accident() {
            window.inconclusive = outcome;
        }
        window.began = streak.began();
        window.cut = Scene::too_early(frame.iteration, *ordinal);
        window
    }
}

/// Whether two shapes broadcast to one that has more elements than either.
fn both_grow(one: &[u64], other: &[u64]) -> bool {
    let dimensions = one.len().max(other.len());
    let at = |shape: &[u64], from_last: usize| {
        shape.len().checked_sub(from_last + 1).map_or(1, |index| shape[index])
    };
    let (mut one_grows, mut other_grows) = (false, false);
    for from_last in 0..dimensions {
        match (at(one, from_last), at(other, from_last)) {
            (one, other) if one == other => {}
            (1, other) if other > 1 => one_grows = true,
            (one, 1) if one > 1 => other_grows = true,
            // They are not computed with element by element, or there are none.
            _ => return false,
        }
    }
    one_grows && other_grows
}

#[cfg(test)]
mod tests {
    use super::both_grow;

    #[test]
    fn shapes_broadcast_to_more_than_either_only_where_each_has_what_the_other_lacks() {
        assert!(both_grow(&[8, 1], &[8]) && both_grow(&[8], &[8, 1]) && both_grow(&[8, 1, 4], &[8, 4]));
        let others: [(&[u64], &[u64]); 10] = [
            (&[8], &[8]),
            (&[8, 1], &[8, 1]),
            (&[1], &[1, 1]),
            (&[1, 1], &[1]),
            (&[8, 3], &[3]),
            (&[1, 3], &[8, 3]),
            (&[64], &[32]),
            (&[8, 3], &[3, 8]),
            (&[0, 1], &[8]),
            (&[], &[8]),
        ];
        for (one, other) in others {
            assert!(!both_grow(one, other), "{one:?} {other:?}");
        }
    }
}
