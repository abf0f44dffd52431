//! What can be claimed: a relation says of every window of a subject that an outcome holds in it.
//!
//! A window is a stretch of the run: a call, a training iteration, the gap between two calls, two successive looks
//! at a variable. Everything else (counting, preconditions, levels, checking) is the same for all relations.

pub mod role_word;
mod text;

use std::fmt;

use serde::{Deserialize, Serialize};
use traincheck_schema::record::Role;

pub use text::short;

use crate::times::Times;

/// The relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationName {
    /// Every window of a call or iteration contains something.
    Contain,
    /// A call is preceded by another.
    Cover,
    /// A call is followed by another.
    Lead,
    /// Parameters, optimizers and modules belong together.
    Owned,
    /// An object gets its method.
    Lifecycle,
    /// A variable changes in every step.
    Moving,
    /// A variable does not change.
    Frozen,
    /// Numbers stay numbers, and gradients stay alive.
    Range,
    /// A module is called in evaluation mode.
    Mode,
    /// A function of the script changes parameters.
    Writes,
    /// What is the same stays the same.
    Consistent,
    /// What differs goes on to differ.
    Distinct,
    /// Something happens so and so often.
    Count,
    /// A learning rate follows its schedule.
    Schedule,
    /// A result has a type.
    Output,
    /// A property of a result is that of an argument.
    InputOutput,
    /// A result stays within a bound that the call was given.
    Threshold,
}

impl RelationName {
    /// As one word.
    pub fn word(self) -> &'static str {
        [
            "contain",
            "cover",
            "lead",
            "owned",
            "lifecycle",
            "moving",
            "frozen",
            "range",
            "mode",
            "writes",
            "consistent",
            "distinct",
            "count",
            "schedule",
            "output",
            "input_output",
            "threshold",
        ][self as usize]
    }
}

/// A function, and where it matters which, the object it is called on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Qualified name.
    pub function: String,
    /// What it does.
    #[serde(with = "role_word")]
    pub role: Role,
    /// Name of the optimizer, scheduler or scaler, `AdamW#2`; `None`: whichever.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            None => write!(f, "`{}`", short(&self.function)),
            Some(object) => write!(f, "`{}` of `{object}`", short(&self.function)),
        }
    }
}

/// In which sequence of calls neighbours are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Among the calls made by the same call.
    Same,
    /// Among all calls of the thread, as far as they are critical for training.
    Thread,
}

/// How often an object is to get its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// Between two steps of its optimizer.
    OptimizerStep,
    /// In every pass over the data.
    Pass,
    /// Before the second pass over the data begins.
    Once,
    /// Within so many steps of its optimizer (an optimizer itself: iterations), where no pass over data is known.
    Within {
        /// How many.
        steps: u32,
    },
    /// Before the first step of, or for, an optimizer whose model has been given a saved state.
    Resumed,
    /// Before the first call in evaluation mode.
    Evaluated,
}

/// What kind of object is to get its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Living {
    /// A learning-rate scheduler.
    Scheduler,
    /// An optimizer.
    Optimizer,
    /// A gradient scaler.
    Scaler,
    /// A root module with spectral norm, whose singular vectors are random until calls in training mode improve them.
    SpectralNorm,
}

/// What of a tensor is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// Its first dimension.
    Rows,
    /// The type of its numbers.
    Dtype,
}

/// What a window is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An iteration with a backward.
    Iteration,
    /// A call, from its entry to its return.
    Call {
        /// Of what.
        call: Call,
    },
    /// An optimizer step whose parameters were looked at on entry and on return.
    Update {
        /// The step.
        call: Call,
    },
    /// What came since the call before of the same kind.
    Before {
        /// The call that ends the window.
        call: Call,
        /// The sequence.
        level: Level,
        /// Whether the first call, with nothing of its kind before it, counts too.
        first: bool,
    },
    /// What came between the last call of one kind and one of another.
    Between {
        /// The call that begins the window: the last one before the other.
        earlier: Call,
        /// The call that ends it.
        later: Call,
    },
    /// What came until the next call of the same kind, or until the calls end.
    After {
        /// The call that begins the window.
        call: Call,
    },
    /// A root module, by class.
    Root {
        /// Full class name.
        class: String,
    },
    /// An optimizer, by class.
    Optimizer {
        /// Full class name.
        class: String,
    },
    /// An object that is to get its method, by class.
    Object {
        /// What it is.
        kind: Living,
        /// Full class name.
        class: String,
        /// How often.
        cadence: Cadence,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// The gradient of a parameter, when a backward returns.
    Gradient {
        /// Name of the parameter.
        name: String,
    },
    /// An outermost call of a module without gradients.
    Inference {
        /// The function of the script that makes it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        caller: Option<Call>,
        /// Full class name of the module.
        class: String,
    },
    /// A tensor that a module gives back, with gradients.
    Result {
        /// Name of the module, `Net.head`.
        module: String,
        /// The place in the result: `result[0]`.
        place: String,
        /// The autocast that is on somewhere in the iteration.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        under: Option<String>,
    },
    /// What a call makes of what it is given.
    Mapping {
        /// The call.
        call: Call,
        /// The place in its result.
        place: String,
        /// What is compared.
        property: Property,
    },
    /// A call that is given a bound.
    Bound {
        /// The call.
        call: Call,
        /// The argument that is the bound.
        argument: String,
    },
    /// From one step to the next, with calls of functions of the script in between that are given a model.
    Around {
        /// All of them, in order of name.
        calls: Vec<Call>,
    },
    /// A loader of data.
    Loader {
        /// Its name.
        name: String,
    },
    /// The workers of a loader.
    Workers {
        /// Name of the loader.
        loader: String,
    },
    /// The calls of one function in a stretch of the run.
    Calls {
        /// Of what.
        call: Call,
        /// The stretch.
        per: Stretch,
    },
    /// A scheduler, by class, in the training of a model.
    Scheduler {
        /// Full class name.
        class: String,
        /// Full class name of the model.
        model: String,
    },
    /// The iterations from one step of the optimizers to the next, where they are several.
    Accumulation {
        /// Full class name of the model.
        model: String,
    },
    /// A loss whose gradient is added to those of earlier iterations.
    AccumulatedLoss {
        /// Full class name of the model.
        model: String,
        /// What computes it, as autograd calls it: `NllLoss`.
        node: String,
    },
    /// A learning rate, where it changes.
    RateChange {
        /// Its name.
        name: String,
    },
    /// A learning rate, from the first to the last iteration of a pass over the training data.
    RateInPass {
        /// Its name.
        name: String,
    },
    /// A learning rate after so many steps of schedulers.
    Scheduled {
        /// Name of the learning rate.
        name: String,
        /// How many.
        steps: u32,
    },
}

/// In what calls are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "stretch", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stretch {
    /// An iteration with a backward.
    Iteration,
    /// From one step of an optimizer to its next.
    Step,
    /// A call of a function of the script.
    Call {
        /// Of what.
        call: Call,
    },
}

/// What holds in a window, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The function is called.
    Called {
        /// Which.
        call: Call,
    },
    /// The module is called, and is in training mode.
    CalledInTraining {
        /// Which.
        call: Call,
    },
    /// The module call that begins it is in training mode.
    BeginsInTraining,
    /// At least one parameter of the optimizer changes.
    ParameterChanges,
    /// Every parameter with a gradient is held by an optimizer.
    Held,
    /// By one optimizer only.
    HeldOnce,
    /// Every parameter that is held belongs to a module that ran.
    Reached,
    /// `step` is called.
    Stepped,
    /// `load_state_dict` is called.
    Loaded,
    /// It is called in training mode.
    RanInTraining,
    /// The variable changes.
    Moves,
    /// The variable, which requires no gradient, does not change.
    StaysFrozen,
    /// The buffer does not change.
    StaysConstant,
    /// No parameter changes.
    ParametersStay,
    /// No buffer changes.
    BuffersStay,
    /// The loss at which backward began is finite.
    LossFinite,
    /// So are the gradients that it left.
    GradientsFinite,
    /// So are the parameters that the step leaves.
    ParametersFinite,
    /// Not all of its elements are zero.
    GradientLives,
    /// The module is in evaluation mode.
    InEvaluation,
    /// A parameter that an optimizer holds changes.
    Written,
    /// The parameter is the same tensor as another one.
    SharesStorage {
        /// Name of the other.
        with: String,
    },
    /// A parameter that a loaded state set is as it was loaded.
    StaysLoaded,
    /// Models of the class share no parameter with another model.
    SharesNothing,
    /// The gradient is not that of the step before.
    GradientDiffers,
    /// The batch is not the one before.
    BatchDiffers,
    /// What one worker gives is not what another gives.
    WorkersDiffer,
    /// It happens so often.
    Happens {
        /// How often.
        times: Times,
    },
    /// No backward begins at a loss that another one began at.
    LossesDiffer,
    /// The optimizer steps after as many iterations as before.
    StepsInTime,
    /// The loss is divided, or multiplied, before backward.
    Scaled,
    /// It is so many thousandths of what it was at first.
    Thousandths {
        /// How many.
        of_first: u32,
    },
    /// Where it steps, its optimizer has, if any has.
    WorksOnWhatSteps,
    /// A scheduler's step has changed it, or a state that is loaded.
    ByScheduler,
    /// It does not change.
    Stays,
    /// It is of this type.
    Dtype {
        /// PyTorch's name of it, without `torch.`.
        dtype: String,
    },
    /// It lies on a device of this kind.
    Device {
        /// Such as `cuda`.
        device: String,
    },
    /// It requires a gradient.
    RequiresGrad,
    /// The property of the result is that of the argument.
    Kept,
    /// What is measured is no more than the bound.
    Within,
    /// No claim of its own: that this value was seen makes others worth making.
    Saw {
        /// The value.
        value: String,
    },
}

/// What references of one configuration cannot vary. A claim that speaks of such a thing is at most a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Literal {
    /// A number other than 0 or 1.
    Number,
    /// A shape.
    Shape,
    /// A count per pass over the data, or per run.
    Count,
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
            Literal::Shape => "a shape",
            Literal::Count => "a count per pass or run",
            Literal::Rate => "a learning rate",
        }
    }
}

impl Outcome {
    /// The literal thing that it speaks of, if it does. A number that is expressed through another quantity of the
    /// same run (its parameters, its world size, its first learning rate) is none.
    ///
    /// This is the one place where it is decided, so it names every outcome.
    pub fn literal(&self) -> Option<Literal> {
        match self {
            Outcome::Called { .. }
            | Outcome::CalledInTraining { .. }
            | Outcome::BeginsInTraining
            | Outcome::ParameterChanges
            | Outcome::Held
            | Outcome::HeldOnce
            | Outcome::Reached
            | Outcome::Stepped
            | Outcome::Loaded
            | Outcome::RanInTraining
            | Outcome::Moves
            | Outcome::StaysFrozen
            | Outcome::StaysConstant
            | Outcome::ParametersStay
            | Outcome::BuffersStay
            | Outcome::LossFinite
            | Outcome::GradientsFinite
            | Outcome::ParametersFinite
            | Outcome::GradientLives
            | Outcome::InEvaluation
            | Outcome::Written
            | Outcome::SharesStorage { .. }
            | Outcome::StaysLoaded
            | Outcome::SharesNothing
            | Outcome::GradientDiffers
            | Outcome::BatchDiffers
            | Outcome::WorkersDiffer
            | Outcome::LossesDiffer
            | Outcome::StepsInTime
            | Outcome::Scaled
            | Outcome::WorksOnWhatSteps
            | Outcome::ByScheduler
            | Outcome::Dtype { .. }
            | Outcome::Device { .. }
            | Outcome::RequiresGrad
            | Outcome::Kept
            | Outcome::Within
            | Outcome::Saw { .. }
            | Outcome::Stays => None,
            Outcome::Happens { times: Times::Number(number) } => Literal::number(f64::from(*number)),
            Outcome::Happens { .. } => None,
            Outcome::Thousandths { .. } => Some(Literal::Rate),
        }
    }
}

/// A claim: in every window of `subject` the `outcome` holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The relation that makes it.
    pub relation: RelationName,
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub outcome: Outcome,
}

impl Claim {
    /// The calls it mentions.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        let subject: Vec<&Call> = match &self.subject {
            Subject::Call { call }
            | Subject::Update { call }
            | Subject::Before { call, .. }
            | Subject::After { call } => vec![call],
            Subject::Mapping { call, .. } | Subject::Bound { call, .. } => vec![call],
            Subject::Between { earlier, later } => vec![earlier, later],
            Subject::Inference { caller, .. } => caller.iter().collect(),
            Subject::Around { calls } => calls.iter().collect(),
            Subject::Calls { call, per: Stretch::Call { call: within } } => vec![call, within],
            Subject::Calls { call, .. } => vec![call],
            _ => Vec::new(),
        };
        let outcome = match &self.outcome {
            Outcome::Called { call } | Outcome::CalledInTraining { call } => Some(call),
            _ => None,
        };
        subject.into_iter().chain(outcome)
    }

    /// The same claim without the objects that calls are made on; `None` if it names none.
    pub fn without_objects(&self) -> Option<Claim> {
        let mut plain = self.clone();
        let mut named = false;
        let mut strip = |call: &mut Call| named |= call.object.take().is_some();
        match &mut plain.subject {
            Subject::Call { call }
            | Subject::Update { call }
            | Subject::Before { call, .. }
            | Subject::After { call } => strip(call),
            Subject::Between { earlier, later } => {
                strip(earlier);
                strip(later);
            }
            _ => {}
        }
        match &mut plain.outcome {
            Outcome::Called { call } | Outcome::CalledInTraining { call } => strip(call),
            _ => {}
        }
        named.then_some(plain)
    }
}
