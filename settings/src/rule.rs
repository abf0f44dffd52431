//! What functions of libraries do that traincheck does not know: rows for the function table.

use std::fmt;

use traincheck_schema::record::Role;

use crate::file::Value;
use crate::problem::{Place, did_you_mean, quoted};
use crate::table::Fault;
use crate::words::{
    CapturePolicy, Counter, ObservationPoint, ObservationPoints, Receiver, RecordedArguments, Word,
};
use crate::{Pattern, Profile};

/// A function, or a family of them, and what its calls mean. What is not said follows from the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRule {
    /// Matches the module of the code that runs.
    pub module: Pattern,
    /// Matches the qualified name of the code that runs.
    pub function: Pattern,
    /// What it does.
    pub role: Role,
    /// What `self` is.
    pub object: Option<Receiver>,
    /// Whether its return is the end of the construction of `self`, which is followed from there on.
    pub constructs: Option<bool>,
    /// Which count of open calls it moves; inner none: it moves none.
    pub counted: Option<Option<Counter>>,
    /// Where something is looked at.
    pub looks: Option<ObservationPoints>,
    /// Which arguments and results are recorded.
    pub arguments: Option<RecordedArguments>,
    /// Which calls are recorded.
    pub capture: Option<CapturePolicy>,
    /// The smallest profile that records it.
    pub profile: Option<Profile>,
}

/// The keys of a rule with what they say, for messages and for the guide. The first three are needed.
pub const KEYS: &[(&str, &str, &str)] = &[
    ("module", "a pattern of the module's name", "needed"),
    ("function", "a pattern of the qualified name of the code that runs", "needed"),
    ("role", "what the function does", "needed"),
    ("object", "what `self` is", "no object that is followed"),
    (
        "constructs",
        "`true`: when it returns, `self` was constructed, and is followed from then on",
        "by role",
    ),
    ("counted", "the count of open calls that it moves, or `nothing`", "by role"),
    ("looks", "a list of observation points", "by role"),
    ("arguments", "which arguments and results are recorded", "by role"),
    ("capture", "which calls are recorded", "`every_call`; for the role `user`: `rate_limited`"),
    ("profile", "the smallest profile that records it", "by role"),
];

/// What `counted` says where nothing is counted.
pub(crate) const NOTHING: &str = "nothing";

impl FunctionRule {
    /// A rule that leaves everything to the role.
    pub fn new(module: Pattern, function: Pattern, role: Role) -> FunctionRule {
        FunctionRule {
            module,
            function,
            role,
            object: None,
            constructs: None,
            counted: None,
            looks: None,
            arguments: None,
            capture: None,
            profile: None,
        }
    }
}

impl fmt::Display for FunctionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} = {}", self.module, self.function, self.role.word())?;
        let words = [
            ("object", self.object.map(|object| object.word().to_owned())),
            ("constructs", self.constructs.map(|constructs| constructs.to_string())),
            ("counted", self.counted.map(|counted| counted.map_or(NOTHING, Counter::word).to_owned())),
            ("looks", self.looks.map(|looks| format!("[{}]", looks.words().join(" ")))),
            ("arguments", self.arguments.map(|arguments| arguments.word().to_owned())),
            ("capture", self.capture.map(|capture| capture.word().to_owned())),
            ("profile", self.profile.map(|profile| profile.name().to_owned())),
        ];
        words.iter().try_for_each(|(key, word)| match word {
            Some(word) => write!(f, " {key}={word}"),
            None => Ok(()),
        })
    }
}

/// Reads the tables of rules. Those that are wrong are left out.
pub(crate) fn rules(value: &Value, faults: &mut Vec<Fault>) -> Vec<FunctionRule> {
    let Value::List(tables) = value else {
        let what = format!("{value} is not a list of tables; write `[[rules]]` above each rule");
        faults.push((None, what));
        return Vec::new();
    };
    let mut rules = Vec::new();
    for (table, place) in tables {
        let Value::Table(entries) = table else {
            let what = format!("{table} is not a table; write `[[rules]]` above each rule");
            faults.push((Some(place.clone()), what));
            continue;
        };
        let before = faults.len();
        let mut rule = FunctionRule::new(Pattern::default(), Pattern::default(), Role::Other);
        for (key, value, place) in entries {
            faults.extend(rule.set(key, value, place));
        }
        if faults.len() == before {
            let is_said = |needed: &str| entries.iter().any(|(key, ..)| key == needed);
            match rule.fits_together(is_said) {
                Ok(()) => rules.push(rule),
                Err(what) => faults.push((Some(place.clone()), what)),
            }
        }
    }
    rules
}

impl FunctionRule {
    /// Takes over the value of one key; what is wrong with it is given back.
    fn set(&mut self, key: &str, value: &Value, place: &Place) -> Vec<Fault> {
        let set = match key {
            "module" => text(value).and_then(Pattern::new).map(|found| self.module = found),
            "function" => text(value).and_then(Pattern::new).map(|found| self.function = found),
            "role" => word(value).map(|found| self.role = found),
            "object" => word(value).map(|found| self.object = Some(found)),
            "constructs" => match value {
                Value::Flag(flag) => {
                    self.constructs = Some(*flag);
                    Ok(())
                }
                other => Err(format!("{other} is neither `true` nor `false`")),
            },
            "counted" => match value {
                Value::Text(text) if text == NOTHING => Ok(None),
                other => word(other).map(Some).map_err(|what| format!("{what}, {NOTHING}")),
            }
            .map(|found| self.counted = Some(found)),
            "looks" => return self.looks(value, place),
            "arguments" => word(value).map(|found| self.arguments = Some(found)),
            "capture" => word(value).map(|found| self.capture = Some(found)),
            "profile" => word(value).map(|found| self.profile = Some(found)),
            _ => {
                let keys = || KEYS.iter().map(|(key, ..)| *key);
                let hint = did_you_mean(key, keys());
                let what = format!(
                    "a rule has no {}{hint}; its keys are {}",
                    quoted(key),
                    keys().collect::<Vec<_>>().join(", ")
                );
                return vec![(Some(place.clone()), what)];
            }
        };
        set.err().into_iter().map(|what| (Some(place.clone()), format!("`{key}`: {what}"))).collect()
    }

    fn looks(&mut self, value: &Value, place: &Place) -> Vec<Fault> {
        let Value::List(points) = value else {
            let what = format!("`looks`: {value} is not a list of texts; write for example [\"after_step\"]");
            return vec![(Some(place.clone()), what)];
        };
        let mut found: Vec<ObservationPoint> = Vec::new();
        let mut faults = Vec::new();
        for (point, place) in points {
            match word(point) {
                Ok(point) => found.push(point),
                Err(what) => faults.push((Some(place.clone()), format!("`looks`: {what}"))),
            }
        }
        self.looks = Some(ObservationPoints::of(&found));
        faults
    }

    /// Whether all fits together of what is said.
    fn fits_together(&self, is_said: impl Fn(&str) -> bool) -> Result<(), String> {
        if !["module", "function", "role"].into_iter().all(is_said) {
            return Err("a rule needs `module`, `function` and `role`".to_owned());
        }
        let has_attributes = matches!(self.object, Some(Receiver::Scheduler | Receiver::Scaler));
        if self.looks.is_some_and(|looks| looks.has(ObservationPoint::Attributes)) && !has_attributes {
            return Err("`looks`: \"attributes\" needs `object = \"scheduler\"` or `\"scaler\"`".to_owned());
        }
        if self.constructs == Some(true)
            && matches!(self.object, None | Some(Receiver::Module | Receiver::LoaderIterator))
        {
            return Err(
                "`constructs`: needs an `object` that is an optimizer, scheduler, loader or scaler; \
                        modules are found when they are called"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

fn text(value: &Value) -> Result<&str, String> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(format!("{other} is not a text")),
    }
}

fn word<W: Word>(value: &Value) -> Result<W, String> {
    text(value).and_then(W::read)
}
