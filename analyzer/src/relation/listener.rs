//! Which events each relation is told: those of what it declares that it reads, so that none is told what it passes over.

use traincheck_schema::record::{Attribute, Role};

use super::needs::Needs;
use super::observer::{Context, Kind, Observer};
use crate::scene::TraceEvent;

// Topics, by number: what an event is about. One for each role or attribute where a range begins.
const CALLS: usize = 0;
const RETURNS: usize = CALLS + Role::ALL.len();
const ARGUMENTS: usize = RETURNS + Role::ALL.len();
const RESULTS: usize = ARGUMENTS + Role::ALL.len();
const STATES: usize = RESULTS + Role::ALL.len();
const CONSTRUCTIONS: usize = STATES + Attribute::Training as usize + 1;
const FILLS: usize = CONSTRUCTIONS + 1;
/// Iterations, looks, and the end: every relation hears of them.
const COURSE: usize = FILLS + 1;
const TOPICS: usize = COURSE + 1;

fn topic(event: &TraceEvent<'_>) -> usize {
    match event {
        TraceEvent::Enter(frame) | TraceEvent::Suspend(frame) | TraceEvent::Resume(frame) => {
            CALLS + frame.target.role as usize
        }
        TraceEvent::Leave(frame, _) => RETURNS + frame.target.role as usize,
        TraceEvent::Given(frame, _) => ARGUMENTS + frame.target.role as usize,
        TraceEvent::Gave(frame, _) => RESULTS + frame.target.role as usize,
        TraceEvent::State(change, _) => STATES + change.attribute as usize,
        TraceEvent::Created(..) => CONSTRUCTIONS,
        TraceEvent::Filled(_) => FILLS,
        TraceEvent::IterationBegan(_)
        | TraceEvent::IterationEnded(..)
        | TraceEvent::Looked(_)
        | TraceEvent::End => COURSE,
    }
}

/// Whether a relation with these needs hears of a topic.
fn hears(needs: &Needs, topic: usize) -> bool {
    let role = |first: usize| Role::ALL[topic - first];
    match topic {
        CALLS..RETURNS => needs.calls.has(role(CALLS)),
        RETURNS..ARGUMENTS => needs.all_returns || needs.calls.has(role(RETURNS)),
        ARGUMENTS..RESULTS => needs.arguments.has(role(ARGUMENTS)),
        RESULTS..STATES => needs.results.has(role(RESULTS)),
        STATES..CONSTRUCTIONS => {
            needs.variables.iter().any(|states| STATES + states.attribute as usize == topic)
        }
        CONSTRUCTIONS => needs.constructions,
        FILLS => needs.fills,
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
        let told = |topic| (0..kinds.len()).filter(|&at| hears(&kinds[at].needs, topic)).collect();
        Listeners {
            observers: kinds.iter().map(|kind| (kind.observer)()).collect(),
            of_topic: (0..TOPICS).map(told).collect(),
        }
    }

    /// Tells an event to those that hear of it.
    pub fn tell(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>) {
        for &at in &self.of_topic[topic(event)] {
            self.observers[at].observe(event, cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::roles::Roles;
    use crate::relation::needs::States;

    fn heard(needs: &Needs) -> Vec<usize> {
        (0..TOPICS).filter(|&topic| hears(needs, topic)).collect()
    }

    #[test]
    fn a_relation_hears_of_what_it_declares_and_of_nothing_else() {
        assert_eq!(heard(&Needs::NOTHING), [COURSE]);
        let needs = Needs {
            calls: Roles::of(&[Role::Backward]),
            results: Roles::of(&[Role::ModuleCall]),
            variables: &[States::GRADIENTS],
            fills: true,
            ..Needs::NOTHING
        };
        let backward = Role::Backward as usize;
        let result = RESULTS + Role::ModuleCall as usize;
        let gradient = STATES + Attribute::Grad as usize;
        assert_eq!(heard(&needs), [CALLS + backward, RETURNS + backward, result, gradient, FILLS, COURSE]);
    }

    #[test]
    fn one_that_follows_all_returns_hears_of_no_more_calls() {
        let needs = Needs { all_returns: true, ..Needs::NOTHING };
        let returns: Vec<usize> = (RETURNS..ARGUMENTS).chain([COURSE]).collect();
        assert_eq!(heard(&needs), returns);
    }
}
