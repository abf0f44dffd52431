//! What of a trace is damaged or was never recorded, and what could not be judged because of it.

use std::fmt;

/// A place at which a trace is not what was written, or from which on nothing was written, although the job went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, the offset and what is wrong there, in words.
    pub what: String,
    /// The last iteration that was read before it; 0: none had begun.
    pub after: u32,
    /// The iteration from which on the trace is whole again; `None`: from `after` on nothing is.
    pub until: Option<u32>,
}

impl Damage {
    /// Damage that was met after so many iterations, and of which it is not yet known where it ends.
    pub fn new(what: String, after: u32) -> Damage {
        Damage { what, after, until: None }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { what, after, until } = self;
        write!(out, "{what}; not judged: ")?;
        match until {
            None if *after == 0 => write!(out, "the whole process"),
            None => write!(out, "iteration {after} and all after it"),
            Some(0) => write!(out, "what precedes the first iteration"),
            Some(until) if until == after => write!(out, "iteration {after}"),
            Some(until) => write!(out, "iterations {after} to {until}"),
        }
    }
}
