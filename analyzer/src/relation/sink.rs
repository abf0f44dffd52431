//! Where windows go: inference counts them, checking compares them with invariants.

use serde::{Deserialize, Serialize};

use super::numbers::{Numbers, OutcomeId, SubjectId};
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Cut, Frame, Scene};
use crate::situation::SituationId;
use crate::source::Source;

/// What explains that an outcome does not hold; in reports and in the table of causes by its name there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Nothing beyond the claim itself.
    #[default]
    Nothing,
    /// The variable requires no gradient.
    RequiresNoGrad,
    /// It has no gradient although it requires one.
    NoGradient,
    /// The variable requires no gradient, and no optimizer holds any parameter of its model.
    #[serde(rename = "model_is_trained_by_no_optimizer")]
    Untrained,
    /// It has a gradient and no optimizer holds it.
    #[serde(rename = "held_by_no_optimizer")]
    HeldByNone,
    /// More than one optimizer holds it.
    #[serde(rename = "held_by_several_optimizers")]
    HeldByMany,
    /// The optimizer holds it and no module that ran reaches it.
    #[serde(rename = "belongs_to_no_module_that_ran")]
    Unreached,
    /// The module ran in evaluation mode.
    #[serde(rename = "module_in_evaluation_mode")]
    EvaluationMode,
    /// What is missing between two calls was made since the later one came last, but before the earlier one.
    CalledTooEarly,
    /// No optimizer has stepped so far.
    NoStepSoFar,
    /// The scheduler steps several times in a pass over the data.
    SeveralTimesAPass,
    /// The optimizer of the scheduler has not stepped so far.
    OptimizerNeverStepped,
    /// Ranks differ that never were the same.
    ApartFromTheStart,
    /// They trained it by gradients that differ.
    GradientsDiffer,
    /// They trained it by the same gradient, and yet they differ.
    SameGradients,
}

/// The ranks of a job that a window is over.
#[derive(Clone, Copy, Debug)]
pub struct Ranks<'a> {
    /// Those that are not as the others; none: nobody can say which.
    pub departing: &'a [u32],
    /// How many there are.
    pub of: u32,
    /// What is wrong, if it is wrong, is that they differ; else it is of all of them together.
    pub differ: bool,
    /// The process of the one that it is reported at: `HOST-PID`.
    pub process: &'a str,
    /// What each of them has of the variable that the window is about, where that is a tensor.
    pub contents: &'a [Digest],
}

/// A stretch of the run about which something may be claimed.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// What it is about.
    pub subject: SubjectId,
    /// Its situation: [`super::observer::Context::situation`], or [`crate::situation::NOTHING`].
    pub situation: SituationId,
    /// What holds in it. Everything else does not.
    pub held: &'a [OutcomeId],
    /// The number that is measured in it, if one is: a size of [`super::bound`].
    pub number: Option<i32>,
    /// What does not hold and yet counts as no violation: inference takes it for a counter-example, checking for
    /// undecided.
    pub inconclusive: &'a [OutcomeId],
    /// Why it gives no verdict, if it gives none.
    pub cut: Option<Cut>,
    /// The call it is reported at.
    pub at: &'a Frame,
    /// How many calls of that thread are around the call.
    pub depth: usize,
    /// Those calls, outermost first, where they may have been left since; `None`: they are open.
    pub around: Option<&'a [Frame]>,
    /// Iteration and step at which it is decided.
    pub now: (u32, u32),
    /// Iteration and step in which it began, where that is earlier.
    pub began: Option<(u32, u32)>,
    /// What explains that an outcome does not hold.
    pub why: Why,
    /// The variables concerned.
    pub variables: &'a [VarId],
    /// Their contents at the beginning of the window, where the claim is about a change; as long as `variables`.
    pub before: &'a [Option<Digest>],
    /// The ranks that it is over; `None`: it is of one process.
    pub ranks: Option<Ranks<'a>>,
}

impl<'a> Window<'a> {
    /// A window with no more than what every window has.
    #[inline]
    pub fn new(subject: SubjectId, situation: SituationId, at: &'a Frame, depth: usize) -> Window<'a> {
        Window {
            subject,
            situation,
            held: &[],
            number: None,
            inconclusive: &[],
            cut: None,
            at,
            depth,
            around: None,
            now: (at.iteration, at.step),
            began: None,
            why: Why::Nothing,
            variables: &[],
            before: &[],
            ranks: None,
        }
    }
}

/// Takes windows in.
pub trait Sink {
    /// Whether anything would be done with windows of this subject.
    fn wants(&self, subject: SubjectId, numbers: &mut Numbers) -> bool;
    /// Takes one.
    fn window(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, source: &dyn Source);
    /// Takes one that is of use for general claims only.
    fn general(&mut self, window: &Window<'_>, scene: &Scene, numbers: &mut Numbers, source: &dyn Source);
    /// Hears that a function is no longer recorded.
    fn thinned(&mut self, function: &str);
    /// Hears that there are no more records.
    fn end(&mut self, scene: &Scene, numbers: &Numbers) {
        let _ = (scene, numbers);
    }
}
