//! What every relation says about the claims that it makes: their words, and what follows from them.
//!
//! A relation has its subjects and outcomes in a file `claim.rs` of its own and implements these two traits for them.
//! [`super::claim`] puts the claims of all relations together.

use std::mem;

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

use super::bound::{Bound, Side};
use crate::call::Call;
use crate::situation::Fields;

/// A claim of one relation: in every window of the subject the outcome holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Statement<S, O> {
    /// What windows are of.
    pub subject: S,
    /// What holds in them.
    pub outcome: O,
}

/// Writes [`Says::calls`] and [`Says::calls_mut`] of a claim from one expression: its calls as a `Vec`, of references to
/// the claim's subject and outcome.
macro_rules! calls {
    (|$subject:ident, $outcome:ident| $calls:expr) => {
        fn calls(&self) -> Vec<&Call> {
            let ($subject, $outcome) = (&self.subject, &self.outcome);
            $calls
        }

        fn calls_mut(&mut self) -> Vec<&mut Call> {
            let ($subject, $outcome) = (&mut self.subject, &mut self.outcome);
            $calls
        }
    };
}

pub(super) use calls;

/// What windows are of.
pub trait About: Sized {
    /// The same with nothing of a program named: for [`ANY`](crate::call::ANY) class, function or variable. A window of
    /// the one is a window of the other. `None`: nothing can be said of whichever there is.
    ///
    /// A subject that names nothing to begin with, and of which something can be said in any program, is its own.
    fn general(&self) -> Option<Self> {
        None
    }

    /// Whether its windows are over the ranks of a job: a process alone has none.
    fn is_over_ranks(&self) -> bool {
        false
    }

    /// Which bound is learned of the numbers of its windows; `None`: its windows have no numbers.
    fn side(&self) -> Option<Side> {
        None
    }
}

/// What a claim says, and what follows from it.
pub trait Says {
    /// In words, without the precondition.
    fn text(&self) -> String;

    /// What held in place of what was expected, where this claim has the outcome that did.
    fn instead(&self) -> String {
        self.text()
    }

    /// Whether a violation can be an error of training; where not, the claim is at most a notice.
    fn is_critical(&self) -> bool;

    /// Which features of a situation its precondition may speak of.
    fn fields(&self) -> Fields {
        Fields::NONE
    }

    /// The calls that it names, those of the subject first.
    fn calls(&self) -> Vec<&Call> {
        Vec::new()
    }

    /// The same, of those that may be on an object of their own.
    fn calls_mut(&mut self) -> Vec<&mut Call> {
        Vec::new()
    }

    /// Whether it speaks of what no other program shares, like how a script is cut into functions.
    fn is_of_a_script(&self) -> bool {
        self.calls().iter().any(|call| call.role == Role::User)
    }

    /// The variable that it says changes (`true`) or stays as it is in every step.
    fn step_of_a_variable(&self) -> Option<(&str, bool)> {
        None
    }

    /// Other claims that say as much, the first choice first, and when they do.
    fn implied_by(&self) -> Vec<(Self, When)>
    where
        Self: Sized,
    {
        Vec::new()
    }

    /// The weaker claim that references fit as well which bear this one out hardly more often: fewer than two examples
    /// of this one for each of that one. Then it is the weaker one that counts.
    fn ambiguous_with(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Within how many steps it wants something, and the claim that it is apart from that number.
    fn within_steps(&self) -> Option<(u32, Self)>
    where
        Self: Sized,
    {
        None
    }

    /// The same claim without the objects that calls are made on; `None` if it names none.
    fn without_objects(&self) -> Option<Self>
    where
        Self: Sized + Clone,
    {
        let mut plain = self.clone();
        let mut named = false;
        for call in plain.calls_mut() {
            named |= call.object.take().is_some();
        }
        named.then_some(plain)
    }
}

/// What an outcome says without its subject.
pub trait Holds {
    /// The same with nothing of a program named; `None`: it says nothing then.
    fn general(&self) -> Option<Self>
    where
        Self: Sized + Clone,
    {
        Some(self.clone())
    }

    /// The literal thing that it speaks of, if it does. A number that is expressed through another quantity of the same
    /// run (its parameters, its world size, its first learning rate) is none.
    fn literal(&self) -> Option<Literal> {
        None
    }

    /// The bound that it says the number of the window keeps to.
    fn bound(&self) -> Option<Bound> {
        None
    }

    /// The outcome that says so of a bound; `None`: the relation has none such.
    fn of_bound(bound: Bound) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = bound;
        None
    }

    /// The call that it names.
    fn call(&self) -> Option<&Call> {
        None
    }

    /// The call that it says is made, in whatever mode.
    fn called(&self) -> Option<&Call> {
        None
    }

    /// Whether it is the same but for what it names, so that it says what holds in place of the other.
    fn is_alike(&self, other: &Self) -> bool
    where
        Self: Sized,
    {
        mem::discriminant(self) == mem::discriminant(other)
    }

    /// Whether it is no claim of its own, but says that a value was seen that makes others worth making.
    fn is_support(&self) -> bool {
        false
    }
}

/// When an invariant that could imply another does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// If it has no precondition, and a level that is as grave.
    Everywhere,
}

/// What references of one configuration cannot vary. A claim that speaks of such a thing is at most a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Literal {
    /// A number other than 0 or 1.
    Number,
    /// A learning rate.
    Rate,
}

impl Literal {
    /// What speaking of `number` is.
    pub fn number(number: f64) -> Option<Literal> {
        (number != 0.0 && number != 1.0).then_some(Literal::Number)
    }

    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Literal::Number => "a number other than 0 or 1",
            Literal::Rate => "a learning rate",
        }
    }
}
