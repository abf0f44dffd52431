//! Which events each relation is told: those of what it declares, so that none is told what it passes over.

use traincheck_schema::record::{Attribute, Role, VariableKind};

use super::observer::{Context, Kind, Observer};
use crate::scene::{Scene, TraceEvent};

// Topics, by number: what an event is about. One for each role, or attribute and kind of variables, where a range begins.
const CALLS: usize = 0;
const RETURNS: usize = CALLS + Role::ALL.len();
const ARGUMENTS: usize = RETURNS + Role::ALL.len();
const RESULTS: usize = ARGUMENTS + Role::ALL.len();
const STATES: usize = RESULTS + Role::ALL.len();
const CONSTRUCTIONS: usize = STATES + (Attribute::Training as usize + 1) * VariableKind::ALL.len();
const FILLS: usize = CONSTRUCTIONS + 1;
const LOOKS: usize = FILLS + 1;
const COLLECTIVES: usize = LOOKS + 1;
/// Iterations, and the end: every relation hears of them.
const COURSE: usize = COLLECTIVES + 1;
const TOPICS: usize = COURSE + 1;

fn topic(event: &TraceEvent<'_>, scene: &Scene) -> usize {
    match event {
        TraceEvent::Enter(frame) | TraceEvent::Suspend(frame) | TraceEvent::Resume(frame) => {
            CALLS + frame.target.role as usize
        }
        TraceEvent::Leave(frame, _) => RETURNS + frame.target.role as usize,
        TraceEvent::Given(frame, _) => ARGUMENTS + frame.target.role as usize,
        TraceEvent::Gave(frame, _) => RESULTS + frame.target.role as usize,
        TraceEvent::State(change, _) => states(change.attribute, scene.variables.get(change.variable).kind),
        TraceEvent::Created(..) => CONSTRUCTIONS,
        TraceEvent::Filled(_) => FILLS,
        TraceEvent::Looked(_) => LOOKS,
        TraceEvent::Collective(_) => COLLECTIVES,
        TraceEvent::IterationBegan(_) | TraceEvent::IterationEnded(..) | TraceEvent::End => COURSE,
    }
}

fn states(attribute: Attribute, kind: VariableKind) -> usize {
    STATES + attribute as usize * VariableKind::ALL.len() + kind as usize
}

/// Whether a relation of this kind hears of a topic.
fn hears(kind: &Kind, topic: usize) -> bool {
    let Kind { needs, told, .. } = kind;
    let role = |first: usize| Role::ALL[topic - first];
    match topic {
        CALLS..RETURNS => told.entries.has(role(CALLS)),
        RETURNS..ARGUMENTS => told.returns.has(role(RETURNS)),
        ARGUMENTS..RESULTS => needs.arguments.has(role(ARGUMENTS)),
        RESULTS..STATES => needs.results.has(role(RESULTS)),
        STATES..CONSTRUCTIONS => {
            told.states.iter().any(|(attribute, of)| of.iter().any(|kind| states(*attribute, *kind) == topic))
        }
        CONSTRUCTIONS => needs.constructions,
        FILLS => needs.fills,
        LOOKS => told.looks,
        COLLECTIVES => needs.collectives,
        _ => true,
    }
}

/// The observers of some relations.
pub struct Listeners {
    observers: Vec<Box<dyn Observer>>,
    /// By topic, which of them hear of it.
    of_topic: Vec<Vec<usize>>,
}

impl Listeners {
    /// New observers of these relations.
    pub fn new(kinds: &[&Kind]) -> Listeners {
        Listeners::that(hears, kinds)
    }

    /// The same, told of everything. They are to say the same: what they do not declare is nothing to them.
    pub fn of_everything(kinds: &[&Kind]) -> Listeners {
        Listeners::that(|_, _| true, kinds)
    }

    fn that(hears: impl Fn(&Kind, usize) -> bool, kinds: &[&Kind]) -> Listeners {
        let told = |topic| (0..kinds.len()).filter(|&at| hears(kinds[at], topic)).collect();
        Listeners {
            observers: kinds.iter().map(|kind| (kind.observer)()).collect(),
            of_topic: (0..TOPICS).map(told).collect(),
        }
    }

    /// Whether anybody hears of collectives.
    pub fn hear_of_collectives(&self) -> bool {
        !self.of_topic[COLLECTIVES].is_empty()
    }

    /// Tells an event to those that hear of it.
    pub fn tell(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        // Where ranks are gone over side by side nobody listens: what is asked of them is in their scenes.
        if self.observers.is_empty() {
            return;
        }
        for &at in &self.of_topic[topic(event, cx.scene)] {
            self.observers[at].observe(event, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::roles::Roles;
    use crate::relation::claim::RelationName;
    use crate::relation::needs::{EVERY_RELATION, Needs};
    use crate::relation::observer::Told;

    struct Deaf;

    impl Observer for Deaf {
        fn observe(&mut self, _: &TraceEvent<'_>, _: &mut Context<'_>) {}
    }

    fn heard(needs: Needs, told: Told) -> Vec<usize> {
        let kind = Kind {
            observer: || Box::new(Deaf),
            together: None,
            structural: false,
            values_needed: 0,
            needs,
            told,
        };
        (0..TOPICS).filter(|&topic| hears(&kind, topic)).collect()
    }

    #[test]
    fn a_relation_hears_of_what_it_declares_and_of_nothing_else() {
        assert_eq!(heard(Needs::NOTHING, Told::NOTHING), [COURSE]);
        let roles = Roles::of(&[Role::Backward]);
        let needs = Needs {
            results: Roles::of(&[Role::ModuleCall]),
            fills: true,
            collectives: true,
            ..Needs::NOTHING
        };
        let told = Told {
            entries: roles,
            returns: roles,
            states: &[(Attribute::Grad, &[VariableKind::Parameter])],
            looks: true,
        };
        let backward = Role::Backward as usize;
        let result = RESULTS + Role::ModuleCall as usize;
        let gradient = states(Attribute::Grad, VariableKind::Parameter);
        let all = [CALLS + backward, RETURNS + backward, result, gradient, FILLS, LOOKS, COLLECTIVES, COURSE];
        assert_eq!(heard(needs, told), all);
    }

    #[test]
    fn a_relation_is_told_of_nothing_that_it_does_not_need() {
        for name in RelationName::ALL {
            let Kind { needs, told, .. } = crate::relation::kind(*name);
            let calls = needs.calls.and(EVERY_RELATION.calls);
            assert_eq!(told.entries.and(calls), calls, "{}", name.word());
            for (attribute, kinds) in told.states {
                for kind in *kinds {
                    let mut needed = needs.variables.iter().filter(|states| states.attribute == *attribute);
                    assert!(needed.any(|states| states.of.contains(kind)), "{}: {kind:?}", name.word());
                }
            }
        }
    }
}
