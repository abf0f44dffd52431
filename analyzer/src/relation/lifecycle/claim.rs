//! What lifecycle claims.

use serde::{Deserialize, Serialize};

use crate::call::{ANY, class_name, named};
use crate::relation::statement::{About, Holds, Says, Statement, When};

/// What a window is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// An object that is to get its method, by class.
    Object {
        /// What it is.
        kind: TrackedKind,
        /// Full class name.
        class: String,
        /// How often.
        cadence: Cadence,
    },
    /// A module that a state is loaded into, by class.
    Loading {
        /// Full class name.
        class: String,
    },
    /// What a module that a state was loaded into makes of it, by class.
    Load {
        /// Full class name.
        class: String,
    },
}

/// Within so many iterations with a backward any program's optimizer is to step: more than gradients are accumulated.
const LONG: u32 = 64;

/// What kind of tracked object is to get its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackedKind {
    /// A learning-rate scheduler.
    Scheduler,
    /// An optimizer.
    Optimizer,
    /// A gradient scaler.
    Scaler,
    /// A root module with spectral norm, whose singular vectors are random until calls in training mode improve them.
    SpectralNorm,
    /// A root module that no optimizer trains.
    Copy,
}

impl TrackedKind {
    fn noun(self) -> &'static str {
        match self {
            TrackedKind::Scheduler => "a scheduler",
            TrackedKind::Optimizer => "an optimizer",
            TrackedKind::Scaler => "a gradient scaler",
            TrackedKind::SpectralNorm | TrackedKind::Copy => "a model",
        }
    }
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
    /// Within so many steps of its optimizer (an optimizer itself: iterations; a copy: of any), where no pass over data
    /// is known.
    Within {
        /// How many.
        steps: u32,
    },
    /// At least once, by the end of the run.
    Ever,
    /// Before the first step of, or for, an optimizer whose model has been given a saved state.
    Resumed,
    /// Before the first step of an optimizer whose scheduler has been given a saved state, or of a scheduler whose optimizer
    /// has.
    Restored,
    /// Before the first call in evaluation mode.
    Evaluated,
}

/// What holds in a window, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// `step` is called.
    Stepped,
    /// `load_state_dict` is called.
    Loaded,
    /// It is called in training mode.
    RanInTraining,
    /// A parameter of it changes.
    Changes,
    /// The state is not made of its own tensors.
    GivenAnother,
    /// Something of it belongs to the module.
    Takes,
}

/// In every window of the subject the outcome holds.
pub type Claim = Statement<Subject, Outcome>;

impl Claim {
    fn with_cadence(&self, cadence: Cadence) -> Claim {
        let mut claim = self.clone();
        if let Subject::Object { cadence: of, .. } = &mut claim.subject {
            *of = cadence;
        }
        claim
    }
}

impl About for Subject {
    fn general(&self) -> Option<Subject> {
        let (kind, class, cadence) = match self {
            Subject::Object { kind, class, cadence } => (kind, class, cadence),
            Subject::Loading { .. } => return Some(Subject::Loading { class: ANY.into() }),
            Subject::Load { .. } => return Some(Subject::Load { class: ANY.into() }),
        };
        // How often is up to the program: a phase of training has its own optimizer, and a scheduler may wait for its turn.
        let is_said = match cadence {
            Cadence::Ever | Cadence::Resumed | Cadence::Restored | Cadence::Evaluated => true,
            Cadence::Within { steps } => *kind == TrackedKind::Optimizer && *steps == LONG,
            Cadence::OptimizerStep | Cadence::Pass | Cadence::Once => false,
        };
        (is_said && needs_no_metric(class)).then(|| Subject::Object {
            kind: *kind,
            class: ANY.into(),
            cadence: *cadence,
        })
    }
}

impl Holds for Outcome {}

impl Says for Claim {
    fn text(&self) -> String {
        let (kind, class, cadence) = match &self.subject {
            Subject::Object { kind, class, cadence } => (kind, class, cadence),
            Subject::Loading { class } => {
                let class = named(class, "model");
                return format!("whenever a state is loaded into a {class}, it is not the module's own");
            }
            Subject::Load { class } => {
                let class = named(class, "model");
                return format!("whenever a state is loaded into a {class}, something of it belongs there");
            }
        };
        let class = match class.as_str() {
            ANY => kind.noun().to_owned(),
            class => format!("a `{}`", class_name(class)),
        };
        let subject = match cadence {
            Cadence::Ever => format!("by the end of the run, for {class}"),
            Cadence::OptimizerStep => format!("between every two steps of the optimizer of {class}"),
            Cadence::Pass => format!("in every pass over the training data, for {class}"),
            Cadence::Once => format!("before the second pass over the training data, for {class}"),
            Cadence::Resumed if *kind == TrackedKind::Optimizer => {
                format!("before the first step of {class} whose model's state was loaded")
            }
            Cadence::Resumed => {
                format!("before the first step of {class} whose model's or optimizer's state was loaded")
            }
            Cadence::Restored if *kind == TrackedKind::Optimizer => {
                format!("before the first step of {class} whose scheduler's state was loaded")
            }
            Cadence::Restored => {
                format!("before the first step of {class} whose optimizer's state was loaded")
            }
            Cadence::Evaluated => {
                format!("before the first call of {class} with spectral norm in evaluation mode")
            }
            Cadence::Within { steps } if *kind == TrackedKind::Optimizer => {
                format!("within {steps} iterations with a backward, for {class}")
            }
            Cadence::Within { steps } if *kind == TrackedKind::Copy => {
                return format!(
                    "within {steps} steps, a parameter of {class} that no optimizer trains changes"
                );
            }
            Cadence::Within { steps } => format!("within {steps} steps of the optimizer of {class}"),
        };
        let outcome = match self.outcome {
            Outcome::Stepped => "`step` is called",
            Outcome::Loaded => "`load_state_dict` is called",
            Outcome::RanInTraining => "it is called in training mode",
            Outcome::Changes => "a parameter of it changes",
            Outcome::GivenAnother => "the state is another's",
            Outcome::Takes => "something of the state belongs to it",
        };
        format!("{subject}, {outcome}")
    }

    fn is_critical(&self) -> bool {
        let Subject::Object { kind, class, cadence } = &self.subject else { return true };
        match (cadence, kind) {
            (Cadence::Resumed | Cadence::Restored | Cadence::Evaluated, _) => true,
            // That a scaler is idle shows in the iterations that lack its step.
            (_, TrackedKind::Scheduler) => needs_no_metric(class),
            (_, TrackedKind::Optimizer | TrackedKind::Copy) => true,
            (_, TrackedKind::Scaler | TrackedKind::SpectralNorm) => false,
        }
    }

    /// The strongest cadence is kept.
    fn implied_by(&self) -> Vec<(Claim, When)> {
        let Subject::Object { cadence, .. } = self.subject else { return Vec::new() };
        let stronger: &[Cadence] = match cadence {
            Cadence::OptimizerStep | Cadence::Resumed | Cadence::Evaluated | Cadence::Ever => &[],
            Cadence::Restored => &[Cadence::Resumed],
            Cadence::Pass => &[Cadence::OptimizerStep],
            Cadence::Once => &[Cadence::OptimizerStep, Cadence::Pass],
            Cadence::Within { .. } => &[Cadence::OptimizerStep, Cadence::Pass, Cadence::Once],
        };
        stronger.iter().map(|&cadence| (self.with_cadence(cadence), When::Always)).collect()
    }

    /// A scheduler that steps once in a pass of one step: which of the two it follows cannot be seen, so the weaker one
    /// is the one to rely on.
    fn ambiguous_with(&self) -> Option<Claim> {
        let is_each = matches!(self.subject, Subject::Object { cadence: Cadence::OptimizerStep, .. });
        is_each.then(|| self.with_cadence(Cadence::Pass))
    }

    fn within_steps(&self) -> Option<(u32, Claim)> {
        match self.subject {
            Subject::Object { cadence: Cadence::Within { steps }, .. } => {
                Some((steps, self.with_cadence(Cadence::Within { steps: 0 })))
            }
            Subject::Object { .. } | Subject::Loading { .. } | Subject::Load { .. } => None,
        }
    }
}

/// ReduceLROnPlateau does: it does not step where evaluation is switched off.
fn needs_no_metric(class: &str) -> bool {
    !class.ends_with("ReduceLROnPlateau")
}
