//! Situations: what is known about a window, as features with values, and a small number for each.
//!
//! Examples are counted per situation, so a precondition can be checked against every example there ever was, and
//! neither their order nor the number of threads can change it. What would tell one run from another without meaning
//! anything (ids, addresses, processes, threads, iterations) is no feature.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use traincheck_schema::record::{DictKind, Stage, flags};

use crate::interner::Interner;
use crate::source::Source;

/// Distinct situations that are told apart in one process; what comes beyond is [`TOO_MANY`].
const MOST_SITUATIONS: usize = 1 << 16;
/// Lookups that are remembered. A hostile trace may have a new context in every event.
const MOST_KNOWN: usize = 1 << 18;

/// What a precondition can speak about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Feature {
    /// `init`, `training`, `evaluation` or `checkpointing`.
    Stage,
    /// Whether gradients are enabled.
    Grad,
    /// Mode of the module that is called: `none` (no module is called), `training` or `evaluation`.
    Mode,
    /// Whether it is a module call with no other around it.
    Outermost,
    /// Whether inference mode is on.
    Inference,
    /// Whether autocast is on for any device.
    Autocast,
    /// The type that autocast uses on the CPU; absent: it is off there.
    AutocastCpu,
    /// The type that autocast uses on CUDA devices; absent: it is off there.
    AutocastCuda,
    /// `on` or `warn`; absent: deterministic algorithms are not asked for.
    Deterministic,
    /// Precision of matrix products where it is not the highest.
    Matmul,
    /// The default type of elements where it is not float32.
    DefaultDtype,
    /// Present under `no_sync` of a data-parallel module: gradients are not reduced over the ranks.
    NoSync,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 12] = [
        Feature::Stage,
        Feature::Grad,
        Feature::Mode,
        Feature::Outermost,
        Feature::Inference,
        Feature::Autocast,
        Feature::AutocastCpu,
        Feature::AutocastCuda,
        Feature::Deterministic,
        Feature::Matmul,
        Feature::DefaultDtype,
        Feature::NoSync,
    ];
}

/// Which features the preconditions of a relation may speak about. The others are blanked out before counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(u32);

impl Fields {
    /// Nothing: the claim holds always or not at all.
    pub const NONE: Fields = Fields(0);
    /// Whether gradients are enabled.
    pub const GRAD: Fields = Fields::of(&[Feature::Grad]);
    /// Stage and grad mode.
    pub const STAGE_AND_GRAD: Fields = Fields::of(&[Feature::Stage, Feature::Grad]);
    /// What a module call has: stage, grad mode, module mode, outermost.
    pub const MODULE_CALL: Fields =
        Fields::of(&[Feature::Stage, Feature::Grad, Feature::Mode, Feature::Outermost]);
    /// How numbers are computed: inference mode, autocast, determinism, precision, default type, no reduction.
    pub const NUMERICS: Fields = Fields::of(&[Feature::Inference, Feature::Autocast]).and(Fields::CONTEXT);
    const CONTEXT: Fields = Fields::of(&[
        Feature::AutocastCpu,
        Feature::AutocastCuda,
        Feature::Deterministic,
        Feature::Matmul,
        Feature::DefaultDtype,
        Feature::NoSync,
    ]);

    /// These.
    pub const fn of(features: &[Feature]) -> Fields {
        let (mut bits, mut index) = (0, 0);
        while index < features.len() {
            bits |= 1 << features[index] as u32;
            index += 1;
        }
        Fields(bits)
    }

    /// These and those.
    pub const fn and(self, other: Fields) -> Fields {
        Fields(self.0 | other.0)
    }

    /// Whether it is among them.
    pub const fn has(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 == 1
    }

    /// Them, in order.
    pub fn features(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.into_iter().filter(move |feature| self.has(*feature))
    }
}

/// The value of a feature.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A word.
    Word(String),
}

impl Value {
    /// A word.
    pub fn word(word: impl Into<String>) -> Value {
        Value::Word(word.into())
    }
}

/// Features with their values, in the order of the features; a feature that is absent has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Feature, Value>", into = "BTreeMap<Feature, Value>")]
pub struct Situation(Arc<[(Feature, Value)]>);

impl From<BTreeMap<Feature, Value>> for Situation {
    fn from(features: BTreeMap<Feature, Value>) -> Situation {
        Situation(features.into_iter().collect())
    }
}

impl From<Situation> for BTreeMap<Feature, Value> {
    fn from(situation: Situation) -> BTreeMap<Feature, Value> {
        situation.0.iter().cloned().collect()
    }
}

impl Situation {
    /// Of these features; of one that is named twice the first counts.
    pub fn new(mut features: Vec<(Feature, Value)>) -> Situation {
        features.sort_by_key(|(feature, _)| *feature);
        features.dedup_by_key(|(feature, _)| *feature);
        Situation(features.into())
    }

    /// The value of a feature.
    pub fn get(&self, feature: Feature) -> Option<&Value> {
        self.0.iter().find(|(of, _)| *of == feature).map(|(_, value)| value)
    }

    /// All of them.
    pub fn features(&self) -> &[(Feature, Value)] {
        &self.0
    }
}

/// What an event itself says of the situation in which it happened.
#[derive(Clone, Copy, Debug)]
pub struct EventFeatures {
    /// The stage.
    pub stage: u8,
    /// Flags of the event.
    pub flags: u16,
    /// Dictionary id of the context, or 0.
    pub context: u32,
}

/// Number of a [`Situation`].
pub type SituationId = u32;

/// The situation of which nothing is said.
pub const NOTHING: SituationId = 0;
/// Stands for all situations that are too many to be told apart.
pub const TOO_MANY: SituationId = u32::MAX;

/// The situations of one process, numbered.
#[derive(Debug)]
pub struct Situations {
    all: Interner<Situation>,
    known: FxHashMap<(u64, Fields), SituationId>,
}

impl Default for Situations {
    fn default() -> Self {
        let mut all = Interner::default();
        all.intern(&Situation::default());
        Situations { all, known: FxHashMap::default() }
    }
}

impl Situations {
    /// The situation with this number; nothing of [`TOO_MANY`].
    pub fn get(&self, id: SituationId) -> &Situation {
        self.all.get(if id == TOO_MANY { NOTHING } else { id })
    }

    /// The situation of what happened at `event`, as far as `fields` says.
    pub fn of(&mut self, event: EventFeatures, fields: Fields, source: &dyn Source) -> SituationId {
        if fields == Fields::NONE {
            return NOTHING;
        }
        let context = if fields.0 & Fields::CONTEXT.0 == 0 { 0 } else { event.context };
        let key = (u64::from(context) << 32 | u64::from(event.stage) << 16 | u64::from(event.flags), fields);
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let mut features = read(event, context, source);
        features.retain(|(feature, _)| fields.has(*feature));
        let situation = Situation::new(features);
        let id = if self.all.len() >= MOST_SITUATIONS && !self.all.contains(&situation) {
            TOO_MANY
        } else {
            self.all.intern(&situation)
        };
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(key, id);
        id
    }
}

/// The features that an event has itself.
fn read(event: EventFeatures, context: u32, source: &dyn Source) -> Vec<(Feature, Value)> {
    let is = |flag| event.flags & flag != 0;
    let mode = match (is(flags::MODULE_TRAIN), is(flags::MODULE_EVAL)) {
        (true, _) => "training",
        (false, true) => "evaluation",
        (false, false) => "none",
    };
    let mut features = vec![
        (Feature::Stage, Value::word(StageName::of(event.stage).word())),
        (Feature::Grad, Value::Flag(is(flags::GRAD))),
        (Feature::Mode, Value::word(mode)),
        (Feature::Outermost, Value::Flag(is(flags::OUTERMOST))),
        (Feature::Inference, Value::Flag(is(flags::INFERENCE))),
        (Feature::Autocast, Value::Flag(is(flags::AUTOCAST))),
    ];
    let entry = source.entry(context).filter(|entry| entry.kind == DictKind::Context as u8);
    features.extend(entry.iter().flat_map(|entry| read_context(&entry.text)));
    features
}

/// The features in the text of a context, `autocast(cpu, bfloat16) deterministic matmul=high`. What is not known is
/// passed over.
fn read_context(text: &str) -> Vec<(Feature, Value)> {
    // The only blanks within a part follow a comma.
    let text = text.replace(", ", ",");
    let part = |part: &str| {
        let inside = |start| part.strip_prefix(start).and_then(|rest: &str| rest.strip_suffix(')'));
        let word = |feature, word: &str| Some((feature, Value::word(word)));
        if let Some(dtype) = inside("autocast(cpu,") {
            return word(Feature::AutocastCpu, dtype);
        }
        if let Some(dtype) = inside("autocast(cuda,") {
            return word(Feature::AutocastCuda, dtype);
        }
        match part.split_once('=') {
            Some(("matmul", precision)) => word(Feature::Matmul, precision),
            Some(("default_dtype", dtype)) => word(Feature::DefaultDtype, dtype),
            Some(_) => None,
            None if part == "deterministic" => word(Feature::Deterministic, "on"),
            None if part == "deterministic(warn)" => word(Feature::Deterministic, "warn"),
            None if part == "no_sync" => word(Feature::NoSync, "on"),
            None => None,
        }
    };
    text.split_whitespace().filter_map(part).collect()
}

/// [`Stage`] in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Before the first iteration.
    Init,
    /// In an iteration.
    Training,
    /// In evaluation mode or without gradients.
    Evaluation,
    /// While saving.
    Checkpointing,
}

impl StageName {
    /// The name of a recorded stage.
    pub fn of(stage: u8) -> StageName {
        const STAGES: [StageName; 4] =
            [StageName::Init, StageName::Training, StageName::Evaluation, StageName::Checkpointing];
        STAGES[usize::from(stage.min(Stage::Checkpointing as u8))]
    }
    /// As one word.
    pub fn word(self) -> &'static str {
        ["init", "training", "evaluation", "checkpointing"][self as usize]
    }
}

#[cfg(test)]
mod tests {
    use traincheck_schema::record::DictEntry;

    use super::*;
    use crate::source::MemoryTrace;

    #[test]
    fn the_features_are_in_the_order_of_their_numbers() {
        for (index, feature) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, index);
        }
    }

    #[test]
    fn a_context_is_read_as_the_format_says() {
        let read = read_context(
            "autocast(cpu, bfloat16) deterministic(warn) matmul=high default_dtype=float64 no_sync",
        );
        let word = |feature, word| (feature, Value::word(word));
        let expected = [
            word(Feature::AutocastCpu, "bfloat16"),
            word(Feature::Deterministic, "warn"),
            word(Feature::Matmul, "high"),
            word(Feature::DefaultDtype, "float64"),
            word(Feature::NoSync, "on"),
        ];
        assert_eq!(read, expected);
        assert_eq!(read_context("autocast(xpu, float16) new=thing ) ( autocast(cpu,"), []);
    }

    fn context(id: u32, text: &str) -> DictEntry {
        let (text, file, type_name) = (text.into(), String::new(), String::new());
        DictEntry { id, kind: DictKind::Context as u8, detail: 0, line: 0, owner: 0, text, file, type_name }
    }

    fn under(flags: u16, context: u32) -> EventFeatures {
        EventFeatures { stage: Stage::Training as u8, flags, context }
    }

    #[test]
    fn a_situation_has_what_the_fields_say_and_one_number() {
        let trace =
            MemoryTrace { dictionary: vec![context(1, "autocast(cpu, bfloat16)")], ..Default::default() };
        let source = trace.source();
        let mut situations = Situations::default();
        let on = under(flags::GRAD | flags::AUTOCAST, 1);
        let off = under(flags::GRAD | flags::RAISED, 0);
        let mut of = |event, fields| situations.of(event, fields, &source);
        assert_eq!(of(on, Fields::NONE), NOTHING);
        let grad = of(on, Fields::GRAD);
        assert_eq!(of(off, Fields::GRAD), grad, "what is not asked for makes no difference");
        let (cast, plain) = (of(on, Fields::NUMERICS), of(off, Fields::NUMERICS));
        assert_ne!(cast, plain);
        let word = Value::word("bfloat16");
        assert_eq!(situations.get(cast).get(Feature::AutocastCpu), Some(&word));
        assert_eq!(situations.get(cast).get(Feature::Autocast), Some(&Value::Flag(true)));
        assert_eq!(situations.get(cast).get(Feature::Grad), None);
        assert_eq!(situations.get(plain).get(Feature::AutocastCpu), None);
    }

    #[test]
    fn contexts_without_end_are_bounded() {
        let dictionary = (1..=70_000).map(|id| context(id, &format!("matmul=kind{id}"))).collect();
        let trace = MemoryTrace { dictionary, ..Default::default() };
        let source = trace.source();
        let mut situations = Situations::default();
        let ids: Vec<SituationId> =
            (1..=70_000).map(|id| situations.of(under(0, id), Fields::NUMERICS, &source)).collect();
        assert_eq!(ids[69_999], TOO_MANY);
        assert!(situations.all.len() <= MOST_SITUATIONS);
        assert_eq!(situations.get(TOO_MANY).features(), []);
        assert_eq!(situations.of(under(0, 5), Fields::NUMERICS, &source), ids[4]);
    }
}
