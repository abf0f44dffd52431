//! What follows a trace for one relation, and what it works with.

use traincheck_schema::record::{Attribute, VariableKind};

use super::needs::Needs;
use super::numbers::{Numbers, SubjectId};
use super::sink::{Sink, Window};
use super::together::Together;
use crate::call::roles::Roles;
use crate::scene::{Frame, Scene, TraceEvent};
#[cfg(doc)]
use crate::situation::NOTHING;
use crate::situation::{Fields, SituationId};
use crate::source::Source;

/// What an observer works with.
pub struct Context<'a> {
    /// The process at this moment.
    pub scene: &'a Scene,
    /// Numbers of subjects and outcomes.
    pub numbers: &'a mut Numbers,
    /// Where windows go.
    pub sink: &'a mut dyn Sink,
    /// For texts.
    pub source: &'a dyn Source,
}

impl Context<'_> {
    /// Whether anything would be done with windows of this subject.
    #[inline]
    pub fn wants(&mut self, subject: SubjectId) -> bool {
        self.sink.wants(subject, self.numbers)
    }

    /// Hands a window to the sink.
    #[inline]
    pub fn window(&mut self, window: &Window<'_>) {
        self.sink.window(window, self.scene, self.numbers, self.source);
    }

    /// Hands over a window that any program has, and of which no claim about one program is to be learned.
    #[inline]
    pub fn general(&mut self, window: &Window<'_>) {
        self.sink.general(window, self.scene, self.numbers, self.source);
    }

    /// The situation of a window that is about the call `frame`, as far as `fields` says: give those that the claim's
    /// precondition may speak of. It costs one look-up. A window without a precondition has the situation [`NOTHING`].
    pub fn situation(&mut self, frame: &Frame, fields: Fields) -> SituationId {
        self.numbers.situations.of(frame.features(), fields, self.source)
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
    /// What it says of all ranks of a job together, if it does.
    pub together: Option<OverRanks>,
    /// Whether it follows from how training works, so that one example is enough.
    pub structural: bool,
    /// How many values the references must have seen for a claim to be worth making: what never varies is equal by
    /// chance, and a bound that is never reached bounds nothing.
    pub values_needed: usize,
    /// What it reads of a trace.
    pub needs: Needs,
    /// What its observer is told of.
    pub told: Told,
}

/// What is fixed about a relation over ranks.
pub struct OverRanks {
    /// A new observer, at the start of a job.
    pub observer: fn() -> Box<dyn Together>,
    /// What it reads of a trace, in scenes: there is nothing that it is told of.
    pub needs: Needs,
}

/// Of what a relation needs, what its observer is told of one by one as it happens, beside constructions, fills, arguments
/// and results, of which it is told as declared there. All else it finds in the scene when it asks: to tell it of what it
/// passes over would be most of what a pass costs.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Calls with these roles, where they are entered, suspended and resumed.
    pub entries: Roles,
    /// Calls with these roles, where they are left.
    pub returns: Roles,
    /// What looks find of variables of these kinds.
    pub states: &'static [(Attribute, &'static [VariableKind])],
    /// Whether also that a look has told everything.
    pub looks: bool,
}

impl Told {
    /// None of it.
    pub const NOTHING: Told = Told { entries: Roles::NONE, returns: Roles::NONE, states: &[], looks: false };
}
