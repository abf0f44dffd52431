//! Choosing invariants: by relation, level, function, variable, text.

use serde_json::Value;
use traincheck_settings::glob;

use crate::call::short;
use crate::invariants::{Invariant, Level};
use crate::relation::claim::Claim;

/// What invariants are chosen by; what is not given chooses all. In the texts `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The relation's name.
    pub relation: Option<String>,
    /// The level.
    pub level: Option<Level>,
    /// A function or class in the claim, by its full or short name.
    pub function: Option<String>,
    /// A variable in the claim, by its full name.
    pub variable: Option<String>,
    /// The text of the invariant.
    pub text: Option<String>,
}

impl Choice {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Choice::default()
    }

    /// Whether an invariant is chosen.
    pub fn takes(&self, invariant: &Invariant) -> bool {
        let named = |pattern: &Option<String>, of: fn(&Claim) -> Vec<String>| {
            pattern.as_ref().is_none_or(|pattern| {
                of(&invariant.claim).iter().any(|name| glob(pattern, name) || glob(pattern, short(name)))
            })
        };
        self.relation.as_ref().is_none_or(|relation| glob(relation, invariant.claim.relation().word()))
            && self.level.is_none_or(|level| level == invariant.level)
            && named(&self.function, functions)
            && named(&self.variable, variables)
            && self.text.as_ref().is_none_or(|text| glob(text, &invariant.text))
    }
}

/// Functions and classes that a claim names, in full.
pub fn functions(claim: &Claim) -> Vec<String> {
    texts(claim, &["function", "class"])
}

/// Variables that a claim names.
pub fn variables(claim: &Claim) -> Vec<String> {
    texts(claim, &["name", "variable", "other"])
}

/// The texts under these keys, as files have the claim: what new claims are made of is found without being listed here.
fn texts(claim: &Claim, keys: &[&str]) -> Vec<String> {
    fn collect(value: &Value, keys: &[&str], found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if keys.contains(&key.as_str()) => found.push(text.clone()),
                        _ => collect(value, keys, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, keys, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::to_value(claim).unwrap_or_default(), keys, &mut found);
    found
}

/// The invariant with this id, or the only one whose id begins so.
///
/// # Errors
/// What is wrong with the id.
pub fn by_id<'a>(invariants: &'a [Invariant], id: &str) -> Result<&'a Invariant, String> {
    if let Some(exact) = invariants.iter().find(|invariant| invariant.id == id) {
        return Ok(exact);
    }
    // Whoever writes no relation means the hash behind it.
    let begins = |invariant: &&Invariant| {
        let hash = invariant.id.rsplit('-').next().unwrap_or_default();
        !id.is_empty() && (invariant.id.starts_with(id) || hash.starts_with(id))
    };
    let mut found = invariants.iter().filter(begins);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(two)) => {
            let more = found.count();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            Err(format!("`{id}` begins the ids {} and {}{more}; write more of it", one.id, two.id))
        }
        (None, _) => Err(format!("no invariant has the id `{id}`, or one that begins so")),
    }
}
