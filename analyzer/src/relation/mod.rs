//! The relations: one file each, one line each in [`TABLE`].
//!
//! A relation hears the moments of a run and hands windows to a sink. It does not know whether it is learning or
//! checking.
mod between;
mod consistent;
mod contain;
mod count;
mod cover;
mod described;
mod distinct;
mod frozen;
mod input_output;
mod kept;
mod lead;
mod lifecycle;
mod mode;
mod moving;
mod output;
mod owned;
mod range;
mod resumed;
mod schedule;
mod sequence;
mod steps;
mod storages;
mod threshold;
mod writes;

use crate::claim::{Outcome, RelationName, Subject};
use crate::names::Names;
use crate::scene::{Frame, Moment, Scene};
use crate::sink::{Sink, Window};
use crate::situation::{Feature, Fields, NOTHING, SituationId, TraitsId, Value};
use crate::source::Source;

/// What a relation works with.
pub struct Cx<'a> {
    /// The process at this moment.
    pub scene: &'a Scene,
    /// Numbers of subjects and outcomes.
    pub names: &'a mut Names,
    /// Where windows go.
    pub sink: &'a mut dyn Sink,
    /// For texts.
    pub source: &'a dyn Source,
}

impl Cx<'_> {
    /// Hands a window to the sink.
    pub fn window(&mut self, window: &Window<'_>) {
        self.sink.window(window, self.scene, self.names, self.source);
    }

    /// The situation of a window that is about the call `frame`, as far as `fields` says: give the relation's own
    /// [`Kind::fields`]. It costs one look-up. A window without a precondition has the situation
    /// [`NOTHING`].
    pub fn situation(&mut self, frame: &Frame, fields: Fields) -> SituationId {
        self.situation_of(frame, fields, NOTHING)
    }

    /// The same with what the relation knows itself, see [`Cx::traits`]. Only features that are among `fields`
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

/// Turns moments into windows.
pub trait Relation {
    /// Hears of one moment.
    fn hear(&mut self, moment: &Moment<'_>, cx: &mut Cx<'_>);
}

/// What is fixed about a relation.
pub struct Kind {
    /// Its name.
    pub name: RelationName,
    /// A new one, at the start of a process.
    pub new: fn() -> Box<dyn Relation>,
    /// Whether it follows from how training works, so that one example is enough.
    pub structural: bool,
    /// Which features of a situation its preconditions may speak about.
    pub fields: fn(&Subject) -> Fields,
    /// Whether a violation can be an error of training; where not, it is at most a notice.
    pub critical: fn(&Subject, &Outcome) -> bool,
}

/// All relations.
pub const TABLE: &[Kind] = &[
    contain::KIND,
    cover::KIND,
    lead::KIND,
    owned::KIND,
    lifecycle::KIND,
    moving::KIND,
    frozen::KIND,
    range::KIND,
    mode::KIND,
    writes::KIND,
    consistent::KIND,
    distinct::KIND,
    count::KIND,
    schedule::KIND,
    output::KIND,
    input_output::KIND,
    threshold::KIND,
];

/// The fixed part of the relation `name`.
pub fn kind(name: RelationName) -> &'static Kind {
    &TABLE[name as usize]
}

/// A part of the relations. None of them knows of another, so several passes over the same records, each with a part,
/// say together what one pass with all of them says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which part, from 0.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl Part {
    /// All of them.
    pub const WHOLE: Part = Part { number: 0, of: 1 };
}

/// One of each in this part.
pub fn part(part: Part) -> Vec<Box<dyn Relation>> {
    TABLE.iter().skip(part.number).step_by(part.of.max(1)).map(|kind| (kind.new)()).collect()
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn the_table_is_in_the_order_of_the_names() {
        for (index, kind) in TABLE.iter().enumerate() {
            assert_eq!(kind.name as usize, index);
        }
    }
}
