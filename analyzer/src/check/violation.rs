//! A violation, described while the process is still in the state that shows it.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use traincheck_schema::record::{ValueKind, VariableKind};

use crate::call::short;
use crate::relation::claim::Outcome;
use crate::relation::numbers::{Numbers, OutcomeId};
use crate::relation::sink::{Why, Window};
use crate::scene::variables::{Digest, VarId};
use crate::scene::{Frame, Scene};
use crate::situation::StageName;
use crate::source::Source;

/// No violation describes more variables than this.
const MOST_VARIABLES: usize = 1000;
/// Nor more of what held in place of what was expected.
const MOST_INSTEAD: usize = 3;

/// Where and how an invariant did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The process.
    pub process: String,
    /// Iteration in which it was decided.
    pub iteration: u32,
    /// Step in which it was.
    pub step: u32,
    /// Iteration and step in which it began, where that is earlier.
    pub began: Option<(u32, u32)>,
    /// Stage.
    pub stage: StageName,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time: u64,
    /// The calls that led to it, outermost first; the last one is the call concerned.
    pub stack: Vec<StackEntry>,
    /// What explains it.
    pub why: Why,
    /// What held in place of what was expected, where that is of the same kind.
    pub instead: Vec<Outcome>,
    /// The variables concerned.
    pub variables: Vec<VariableNote>,
    /// The ranks that it is over; `None`: it is of one process.
    pub ranks: Option<RanksNote>,
}

/// How the ranks of a job differ.
#[derive(Clone, Debug, PartialEq)]
pub struct RanksNote {
    /// Those that are not as the others; none: nobody can say which.
    pub departing: Vec<u32>,
    /// How many there are.
    pub of: u32,
    /// They differ; else what is wrong is of all of them together.
    pub differ: bool,
    /// What each of them has of the variable concerned, where that is a tensor.
    pub contents: Vec<Contents>,
}

/// A call on the stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StackEntry {
    /// What is called; `None`: the iteration itself.
    pub call: Option<String>,
    /// The file of the line that calls it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The function that the line is in.
    pub function: Option<String>,
}

/// What a gradient is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gradient {
    /// It was not looked at.
    Unknown,
    /// `None`.
    None,
    /// All elements are zero.
    Zero,
    /// It is not zero; its norm.
    NonZero(f32),
}

/// The contents of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contents {
    /// 128-bit hash of its contents.
    pub hash: (u64, u64),
    /// Euclidean norm.
    pub l2: f32,
    /// Elements that are NaN or infinite.
    pub non_finite: u32,
}

/// A variable concerned.
#[derive(Clone, Debug)]
pub struct VariableNote {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: VariableKind,
    /// At the beginning of the window, where it is about a change.
    pub before: Option<Contents>,
    /// Now.
    pub after: Option<Contents>,
    /// Its value, where it is a number.
    pub value: Option<f64>,
    /// Its gradient.
    pub gradient: Gradient,
    /// Whether it requires one.
    pub requires_grad: Option<bool>,
    /// Names of the optimizers that hold it; `None`: not known.
    pub held_by: Option<Vec<String>>,
}

impl Violation {
    /// Describes what is wrong with a window.
    pub(super) fn describe(
        window: &Window<'_>,
        expected: OutcomeId,
        process: &str,
        scene: &Scene,
        numbers: &Numbers,
        source: &dyn Source,
    ) -> Violation {
        let around = window.around.unwrap_or_else(|| scene.stack(window.at.thread, window.depth));
        let stack =
            around.iter().chain([window.at]).map(|frame| StackEntry::of(frame, numbers, source)).collect();
        let variables = window.variables.iter().take(MOST_VARIABLES).enumerate();
        let variables = variables
            .map(|(index, &id)| note(id, window.before.get(index).copied().flatten(), scene))
            .collect();
        Violation {
            process: window.ranks.map_or(process, |ranks| ranks.process).to_owned(),
            iteration: window.now.0,
            step: window.now.1,
            began: window.began.filter(|began| *began < window.now),
            stage: StageName::of(window.at.stage),
            time: window.at.time,
            stack,
            why: window.why,
            instead: instead(window, expected, numbers),
            variables,
            ranks: window.ranks.map(|ranks| RanksNote {
                departing: ranks.departing.to_vec(),
                of: ranks.of,
                differ: ranks.differ,
                contents: ranks.contents.iter().filter_map(|digest| contents(*digest)).collect(),
            }),
        }
    }
}

/// A function that is called says nothing about one that is not.
fn instead(window: &Window<'_>, expected: OutcomeId, numbers: &Numbers) -> Vec<Outcome> {
    let expected = numbers.outcomes().get(expected);
    if expected.call().is_some() {
        return Vec::new();
    }
    if let Some((bound, number)) = expected.bound().zip(window.number) {
        return expected.with_bound(bound.at(number)).into_iter().collect();
    }
    let held = window.held.iter().map(|&held| numbers.outcomes().get(held));
    held.filter(|held| held.is_alike(expected)).take(MOST_INSTEAD).cloned().collect()
}

impl VariableNote {
    /// What is known of it beside its contents, as an object for reports and for the table of causes.
    pub fn facts(&self) -> Value {
        let kind = match self.kind {
            VariableKind::Parameter => "parameter",
            VariableKind::Buffer => "buffer",
            VariableKind::Unreached => "unreached_parameter",
            VariableKind::Hyperparameter => "hyperparameter",
            VariableKind::Mode => "mode",
            VariableKind::OptimizerState => "optimizer_state",
            VariableKind::SchedulerState => "scheduler_state",
            VariableKind::ScalerState => "scaler_state",
            VariableKind::Rng => "rng",
            VariableKind::Loss => "loss",
            VariableKind::Batch => "batch",
            VariableKind::Worker => "worker",
            VariableKind::ParameterAttribute => "parameter_attribute",
        };
        let gradient = match self.gradient {
            Gradient::Unknown => "unknown",
            Gradient::None => "none",
            Gradient::Zero => "zero",
            Gradient::NonZero(_) => "nonzero",
        };
        json!({
            "name": self.name,
            "kind": kind,
            "gradient": gradient,
            "requires_grad": self.requires_grad,
            "held_by": self.held_by,
        })
    }
}

/// `train.py:31 in main: Adam.step`.
impl fmt::Display for StackEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = self.call.as_deref().map_or("iteration", short);
        match (&self.file, self.line, &self.function) {
            (Some(file), Some(line), function) => {
                let function = function.as_deref().map_or("?", short);
                write!(out, "{file}:{line} in {function}: {call}")
            }
            _ => out.write_str(call),
        }
    }
}

impl StackEntry {
    /// That of a call.
    pub fn of(frame: &Frame, numbers: &Numbers, source: &dyn Source) -> StackEntry {
        let call = (frame.name != 0).then(|| numbers.calls.get(frame.target.plain).function.clone());
        StackEntry::called(call, frame.site, source)
    }

    /// That of a call from `site`, the dictionary id of a line.
    pub fn called(call: Option<String>, site: u32, source: &dyn Source) -> StackEntry {
        let site = source.entry(site);
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        StackEntry {
            call,
            file: site.and_then(|site| text(&site.file)),
            line: site.map(|site| site.line).filter(|&line| line != 0),
            function: site.and_then(|site| text(&site.text)),
        }
    }
}

fn note(id: VarId, before: Option<Digest>, scene: &Scene) -> VariableNote {
    let variable = scene.variables.get(id);
    let gradient = match variable.grad {
        None => Gradient::Unknown,
        Some(grad) => match grad.kind {
            ValueKind::None => Gradient::None,
            ValueKind::Tensor if grad.all_zero() => Gradient::Zero,
            ValueKind::Tensor => Gradient::NonZero(grad.l2),
            _ => Gradient::Unknown,
        },
    };
    let object_name = |&id: &u32| scene.object(id).map_or_else(|| format!("object {id}"), |o| o.name.clone());
    VariableNote {
        name: variable.name.clone(),
        kind: variable.kind,
        before: before.and_then(contents),
        after: variable.data.and_then(contents),
        value: variable.value,
        gradient,
        requires_grad: variable.requires_grad,
        held_by: variable.held_by.as_ref().map(|holders| holders.iter().map(object_name).collect()),
    }
}

fn contents(digest: Digest) -> Option<Contents> {
    (digest.kind == ValueKind::Tensor).then_some(Contents {
        hash: digest.hash,
        l2: digest.l2,
        non_finite: digest.non_finite,
    })
}
