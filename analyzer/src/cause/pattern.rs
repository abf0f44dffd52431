//! Patterns of violations: parts of an invariant and of what was seen, as files have them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use traincheck_settings::glob;

use crate::check::Violation;
use crate::relation::claim::{Claim, RelationName};
use crate::relation::sink::Why;

/// More variables of one violation are not looked at.
const MOST_VARIABLES: usize = 100;
/// What is known of a variable.
const FACTS: [&str; 4] = ["name", "kind", "gradient", "requires_grad"];

/// A violated claim, or one that might be.
#[derive(Clone, Debug)]
pub struct Sign {
    claim: Value,
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    why: Value,
    variables: Vec<Value>,
}

impl Sign {
    /// A claim and its first violation.
    pub fn of(claim: &Claim, first: &Violation) -> Sign {
        let variables = first.variables.iter().take(MOST_VARIABLES).map(|note| note.facts()).collect();
        let why = serde_json::to_value(first.why).unwrap_or_default();
        Sign { seen: Some(Seen { why, variables }), ..Sign::expected(claim) }
    }

    /// A claim that might be violated, for whatever reason.
    pub fn expected(claim: &Claim) -> Sign {
        Sign { claim: serde_json::to_value(claim).unwrap_or_default(), seen: None }
    }
}

/// What a violation must be like. Everything that is named must be so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pattern {
    relation: Option<Value>,
    subject: Option<Value>,
    outcome: Option<Value>,
    why: Option<Value>,
    variable: Option<Value>,
    except: Option<Box<Pattern>>,
}

impl Pattern {
    /// Whether a violation is like that.
    pub(super) fn fits(&self, sign: &Sign) -> bool {
        let of_claim = |pattern: &Option<Value>, part: &str| {
            pattern
                .as_ref()
                .is_none_or(|pattern| sign.claim.get(part).is_some_and(|value| is_part(pattern, value)))
        };
        of_claim(&self.relation, "relation")
            && of_claim(&self.subject, "subject")
            && of_claim(&self.outcome, "outcome")
            && sign.seen.as_ref().is_none_or(|seen| {
                self.why.as_ref().is_none_or(|why| is_part(why, &seen.why))
                    && self
                        .variable
                        .as_ref()
                        .is_none_or(|pattern| seen.variables.iter().any(|v| is_part(pattern, v)))
            })
            && self.except.as_ref().is_none_or(|except| !except.fits(sign))
    }

    /// Whether there is anything that it can fit.
    pub(super) fn check(&self) -> Result<(), String> {
        // What was seen says little without what was expected, and `explain` has to tell what a claim would prove.
        if [&self.relation, &self.subject, &self.outcome].iter().all(|part| part.is_none()) {
            return Err("a pattern has to name a relation, subject or outcome".into());
        }
        self.check_names()
    }

    fn check_names(&self) -> Result<(), String> {
        known("relation", self.relation.as_ref(), &[read::<RelationName>])?;
        let relations = RelationName::ALL.iter().copied().filter(|relation| {
            self.relation.as_ref().is_none_or(|pattern| is_part(pattern, &Value::from(relation.word())))
        });
        let subjects: Vec<_> =
            relations.clone().map(|of| move |value| of.read_subject(value).map(drop)).collect();
        known("subject", self.subject.as_ref(), &subjects)?;
        let outcomes: Vec<_> = relations.map(|of| move |value| of.read_outcome(value).map(drop)).collect();
        known("outcome", self.outcome.as_ref(), &outcomes)?;
        known("why", self.why.as_ref(), &[read::<Why>])?;
        if let Some(variable) = &self.variable {
            let fields = variable.as_object().ok_or("variable: it is a table, `variable.kind = ...`")?;
            if let Some(unknown) = fields.keys().find(|key| !FACTS.contains(&key.as_str())) {
                return Err(format!("variable: there is no `{unknown}`, only {}", FACTS.join(", ")));
            }
        }
        self.except.as_ref().map_or(Ok(()), |except| except.check_names())
    }
}

/// Whether `value` has everything that `pattern` names.
fn is_part(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Array(any), _) => any.iter().any(|pattern| is_part(pattern, value)),
        (Value::Object(fields), Value::Object(of)) => {
            fields.iter().all(|(key, pattern)| of.get(key).is_some_and(|value| is_part(pattern, value)))
        }
        (Value::String(pattern), Value::String(text)) => glob(pattern, text),
        (Value::Number(pattern), Value::Number(number)) => pattern.as_f64() == number.as_f64(),
        _ => pattern == value,
    }
}

fn read<T: DeserializeOwned>(value: Value) -> serde_json::Result<()> {
    serde_json::from_value::<T>(value).map(drop)
}

/// Whether the names in a pattern are known to one of `readers`, each of its alternatives tried once.
fn known<R>(what: &str, pattern: Option<&Value>, readers: &[R]) -> Result<(), String>
where
    R: Fn(Value) -> serde_json::Result<()>,
{
    let Some(pattern) = pattern else { return Ok(()) };
    for turn in 0..alternatives(pattern) {
        let Some(one) = alternative(pattern, turn) else { continue };
        // A pattern need not name everything.
        let wrong = |read: &R| {
            let error = read(one.clone()).err().map(|error| error.to_string())?;
            (!error.starts_with("missing field")).then_some(error)
        };
        let wrong: Vec<String> = readers.iter().map_while(wrong).collect();
        if wrong.len() == readers.len() {
            // Whoever knows the variant says what else is wrong.
            let telling = wrong.iter().find(|error| !error.starts_with("unknown variant"));
            let error = telling.or(wrong.first()).map_or("there is none", String::as_str);
            return Err(format!("{what}: {error}"));
        }
    }
    Ok(())
}

/// The length of the longest list in a pattern.
fn alternatives(pattern: &Value) -> usize {
    match pattern {
        Value::Array(any) => any.len().max(any.iter().map(alternatives).max().unwrap_or(0)),
        Value::Object(fields) => fields.values().map(alternatives).max().unwrap_or(1),
        _ => 1,
    }
}

/// A pattern with one element of each list; without the texts that stand for several.
fn alternative(pattern: &Value, turn: usize) -> Option<Value> {
    match pattern {
        Value::Array(any) if any.is_empty() => None,
        Value::Array(any) => alternative(&any[turn % any.len()], turn),
        Value::Object(fields) => {
            let fields =
                fields.iter().filter_map(|(key, pattern)| Some((key.clone(), alternative(pattern, turn)?)));
            Some(Value::Object(fields.collect()))
        }
        Value::String(text) if text.contains('*') => None,
        other => Some(other.clone()),
    }
}
