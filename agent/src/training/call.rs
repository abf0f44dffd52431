//! A function that is recorded, and a call of it between its entry and its return.

use super::calls::Calls;
use super::functions::{Meaning, Recorded, Signal};
use super::points::{At, Rows};
use super::samples::Samples;
use crate::interpreter::api::Object;
use traincheck_schema::record::Event;
use traincheck_settings::Profile;

/// A recorded call that has not returned, as all calls of its thread know it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    /// Its id.
    pub call: u64,
    /// Identity of the code that runs, to tell recursion.
    pub code: usize,
    /// The place of the user's code it came from.
    pub site: u32,
}

/// A function as it is called on objects of one type: `AdamW.step` is another than `SGD.step`.
#[derive(Debug)]
pub struct Function {
    /// Dictionary id.
    pub name: u32,
    /// What its calls mean.
    pub means: Meaning,
    /// Which arguments and results are recorded: of calls that are not outermost, and of those that are.
    pub arguments: [Recorded; 2],
    /// What is looked at, at its entry and at its return.
    pub at_entry: Rows,
    /// See `at_entry`.
    pub at_return: Rows,
    /// `self` is needed when it returns.
    pub keeps_self: bool,
    /// Calls of it that are recorded with arguments and results outside of sampled iterations.
    pub samples: Samples,
    /// The results of outermost calls that are no samples are looked at, too.
    pub looks_at_results: bool,
}

// SAFETY: the samples are only touched by threads that hold the GIL.
unsafe impl Sync for Function {}

impl Function {
    /// One whose calls mean `means` in this profile, under the name with this dictionary id.
    pub fn new(name: u32, means: Meaning, profile: Profile) -> Function {
        let at_return = Rows::of(means.looks, At::Return);
        let full = profile == Profile::Full;
        let arguments = [false, true].map(|outermost| Recorded::of(means.arguments, full, outermost));
        Function {
            name,
            means,
            arguments,
            at_entry: Rows::of(means.looks, At::Entry),
            at_return,
            keeps_self: means.constructs || means.signal == Some(Signal::ModeChange) || at_return.need_self(),
            samples: Samples::default(),
            looks_at_results: means.signal == Some(Signal::ModuleCall)
                && arguments[1].returned
                && profile >= Profile::Training,
        }
    }
}

/// A call, between its entry and its return: a recorded one, or one of which only is known what it fills.
pub struct Entered {
    /// Its entry; of one that is not recorded, nothing.
    pub event: Event,
    /// What runs.
    pub function: &'static Function,
    /// It among the open calls of its thread.
    pub open: Open,
    /// `self`, with a reference of the agent's where it is needed at the return; null otherwise.
    pub this: Object,
    /// Whether it has that reference.
    pub owns_this: bool,
    /// No other call of its counter was around it.
    pub outermost: bool,
    /// What is recorded of its arguments and results.
    pub recorded: Recorded,
    /// Of its result the tensors are that can be looked at, although it is no sample.
    pub looks_at_result: bool,
    /// It is what parameters are filled by while it runs.
    pub fills: bool,
    /// It is one of those that are timed.
    pub timed: bool,
}

impl Entered {
    /// Whether it is recorded.
    #[inline]
    pub fn is_recorded(&self) -> bool {
        self.event.call != 0
    }

    /// It fills nothing any more.
    #[inline]
    pub fn stops_to_fill(&self, calls: &Calls) {
        if self.fills {
            calls.filled_by.set(0);
        }
    }

    /// Whether the code that runs is this one, by its identity.
    pub fn is_of(&self, identity: usize) -> bool {
        self.open.code == identity
    }
}
