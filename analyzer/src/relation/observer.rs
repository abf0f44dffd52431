//! What follows a trace for one relation, and what it works with.

use super::names::Names;
use super::needs::Needs;
use super::sink::{Sink, Window};
use crate::scene::{Frame, Scene, TraceEvent};
use crate::situation::{Feature, Fields, NOTHING, SituationId, TraitsId, Value};
use crate::source::Source;

/// What an observer works with.
pub struct Context<'a> {
    /// The process at this moment.
    pub scene: &'a Scene,
    /// Numbers of subjects and outcomes.
    pub names: &'a mut Names,
    /// Where windows go.
    pub sink: &'a mut dyn Sink,
    /// For texts.
    pub source: &'a dyn Source,
}

impl Context<'_> {
    /// Hands a window to the sink.
    pub fn window(&mut self, window: &Window<'_>) {
        self.sink.window(window, self.scene, self.names, self.source);
    }

    /// The situation of a window that is about the call `frame`, as far as `fields` says: give those that the claim's
    /// precondition may speak of. It costs one look-up. A window without a precondition has the situation [`NOTHING`].
    pub fn situation(&mut self, frame: &Frame, fields: Fields) -> SituationId {
        self.situation_of(frame, fields, NOTHING)
    }

    /// The same with what the relation knows itself, see [`Context::traits`]. Only features that are among `fields`
    /// count.
    pub fn situation_of(&mut self, frame: &Frame, fields: Fields, traits: TraitsId) -> SituationId {
        self.names.situations.of(frame.features(), fields, traits, self.source)
    }

    /// The number of features that the relation adds of its own: attributes of a variable, or, for a window about
    /// two things, pairs of them ([`Value::pair`]). Keep the number where the thing is met often.
    ///
    /// ```text
    /// let traits = cx.traits(&[(Feature::Kind, Value::word("buffer")), (Feature::Dimensions, Value::Number(4))]);
    /// let situation = cx.situation_of(frame, FIELDS, traits);
    /// ```
    pub fn traits(&mut self, features: &[(Feature, Value)]) -> TraitsId {
        self.names.situations.traits(features)
    }
}

/// Turns trace events into windows. It does not know whether they are learned from or checked.
pub trait Observer {
    /// Observes one event.
    fn observe(&mut self, event: &TraceEvent<'_>, cx: &mut Context<'_>);
}

/// What is fixed about a relation, beside its claims.
pub struct Kind {
    /// A new observer, at the start of a process.
    pub observer: fn() -> Box<dyn Observer>,
    /// Whether it follows from how training works, so that one example is enough.
    pub structural: bool,
    /// How many values the references must have seen for a claim to be worth making: what never varies is equal by
    /// chance, and a bound that is never reached bounds nothing.
    pub values_needed: usize,
    /// What it reads of a trace.
    pub needs: Needs,
}
