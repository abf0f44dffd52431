//! Preconditions: where a claim applies, said about the features of a situation.
mod search;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::situation::{Feature, Situation, Value};

pub use search::{Example, nearest, separate};

/// The most clauses that a precondition has.
pub const MOST_CLAUSES: usize = 2;

/// What a feature has to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Condition {
    /// This flag.
    Flag(bool),
    /// This word.
    Word(String),
    /// There, whatever it is, or absent.
    Exists {
        /// Which.
        exists: bool,
    },
}

impl Condition {
    /// Exactly this value.
    pub fn is(value: &Value) -> Condition {
        match value {
            Value::Flag(flag) => Condition::Flag(*flag),
            Value::Word(word) => Condition::Word(word.clone()),
        }
    }

    /// Whether a feature with this value, or without one, is so.
    pub fn holds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Condition::Exists { exists }, value) => *exists == value.is_some(),
            (_, None) => false,
            (Condition::Flag(flag), Some(value)) => *value == Value::Flag(*flag),
            (Condition::Word(word), Some(Value::Word(value))) => word == value,
            _ => false,
        }
    }
}

/// A conjunction: every feature that is named must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clause {
    /// By feature.
    pub all_of: BTreeMap<Feature, Condition>,
}

impl Clause {
    /// Whether it is true in a situation.
    pub fn holds(&self, situation: &Situation) -> bool {
        self.all_of.iter().all(|(feature, condition)| condition.holds(situation.get(*feature)))
    }

    /// In words.
    pub fn text(&self) -> String {
        let parts: Vec<String> =
            self.all_of.iter().map(|(feature, is)| condition_text(*feature, is)).collect();
        parts.join(" and ")
    }
}

/// When a claim applies: always (no clause), or where at least one of at most two clauses is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Precondition {
    /// The clauses.
    pub any_of: Vec<Clause>,
}

impl Precondition {
    /// Whether the claim applies in a situation.
    pub fn holds(&self, situation: &Situation) -> bool {
        self.any_of.is_empty() || self.any_of.iter().any(|clause| clause.holds(situation))
    }

    /// In words, or nothing for "always".
    pub fn text(&self) -> Option<String> {
        if self.any_of.is_empty() {
            return None;
        }
        Some(self.any_of.iter().map(Clause::text).collect::<Vec<_>>().join(", or "))
    }
}

fn condition_text(feature: Feature, condition: &Condition) -> String {
    let not = |yes: bool| if yes { "" } else { "not " };
    let on = |yes: bool| if yes { "on" } else { "off" };
    match (feature, condition) {
        (Feature::Grad, Condition::Flag(yes)) => {
            format!("gradients are {}", if *yes { "enabled" } else { "disabled" })
        }
        (Feature::Mode, Condition::Word(mode)) if mode == "none" => "no module is called".into(),
        (Feature::Mode, Condition::Word(mode)) => format!("the module is in {mode} mode"),
        (Feature::Outermost, Condition::Flag(yes)) => {
            format!("it is {}the outermost module call", not(*yes))
        }
        (Feature::Inference, Condition::Flag(yes)) => format!("inference mode is {}", on(*yes)),
        (Feature::Autocast, Condition::Flag(yes)) => format!("autocast is {}", on(*yes)),
        (Feature::AutocastCpu, Condition::Exists { exists }) => {
            format!("autocast for the CPU is {}", on(*exists))
        }
        (Feature::AutocastCuda, Condition::Exists { exists }) => {
            format!("autocast for CUDA is {}", on(*exists))
        }
        (Feature::AutocastCpu, Condition::Word(dtype)) => format!("autocast for the CPU is on in {dtype}"),
        (Feature::AutocastCuda, Condition::Word(dtype)) => format!("autocast for CUDA is on in {dtype}"),
        (Feature::Deterministic, Condition::Exists { exists }) => {
            format!("deterministic algorithms are {}", on(*exists))
        }
        (Feature::Deterministic, Condition::Word(word)) if word == "on" => {
            "deterministic algorithms are required".into()
        }
        (Feature::NoSync, Condition::Exists { exists: false }) => {
            "gradients are reduced over the ranks".into()
        }
        (Feature::NoSync, Condition::Exists { exists: true }) => {
            "gradients are not reduced over the ranks".into()
        }
        (Feature::Matmul, Condition::Exists { exists: false }) => {
            "matrix products have the highest precision".into()
        }
        (Feature::DefaultDtype, Condition::Exists { exists: false }) => "the default type is float32".into(),
        (feature, condition) => {
            let noun = noun(feature);
            match condition {
                Condition::Flag(yes) => format!("{noun} is {yes}"),
                Condition::Word(word) => format!("{noun} is {word}"),
                Condition::Exists { exists: true } => format!("{noun} is known"),
                Condition::Exists { exists: false } => format!("{noun} is not known"),
            }
        }
    }
}

fn noun(feature: Feature) -> &'static str {
    match feature {
        Feature::Stage => "the stage",
        Feature::Grad => "whether gradients are enabled",
        Feature::Mode => "the mode of the module",
        Feature::Outermost => "whether it is the outermost module call",
        Feature::Inference => "inference mode",
        Feature::Autocast => "autocast",
        Feature::AutocastCpu => "the type of autocast for the CPU",
        Feature::AutocastCuda => "the type of autocast for CUDA",
        Feature::Deterministic => "the setting of deterministic algorithms",
        Feature::Matmul => "the precision of matrix products",
        Feature::DefaultDtype => "the default type",
        Feature::NoSync => "no_sync",
    }
}
