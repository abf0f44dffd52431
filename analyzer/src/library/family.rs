//! Claims of one family: those of one relation that differ in nothing but what they name.

use serde_json::Value;

use crate::relation::claim::Claim;

/// The fields of a claim that have a word from a list, not a name or number of a program.
const WORDS: [&str; 7] = ["of", "is", "role", "kind", "level", "cadence", "begins"];

/// The family of a claim, in words: relation, what its windows are of, and what holds in them, with the roles of calls.
pub fn family(claim: &Claim) -> String {
    let mut words = vec![claim.relation().word().to_owned()];
    let parts = (serde_json::to_value(claim.subject()), serde_json::to_value(claim.outcome()));
    if let (Ok(subject), Ok(outcome)) = parts {
        add(&subject, &mut words);
        words.push("->".into());
        add(&outcome, &mut words);
    }
    if claim.is_general() {
        words.push("(general)".into());
    }
    words.join(" ")
}

/// The words that tell a family apart, what a part is of first.
fn add(value: &Value, words: &mut Vec<String>) {
    let Value::Object(fields) = value else { return };
    for name in WORDS {
        match fields.get(name) {
            Some(Value::String(word)) => words.push(word.clone()),
            // A cadence with a number.
            Some(Value::Object(cadence)) => words.extend(cadence.keys().cloned()),
            _ => {}
        }
    }
    let inner = fields.iter().filter(|(name, value)| value.is_object() && !WORDS.contains(&name.as_str()));
    for (name, value) in inner {
        words.push(name.clone());
        add(value, words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        family(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    #[test]
    fn it_has_the_roles_of_calls_and_none_of_the_names() {
        let call = |function: &str, role: &str| format!(r#"{{"function": "{function}", "role": "{role}"}}"#);
        let between = |first: &str| {
            of(&format!(
                r#"{{"relation": "cover", "subject": {{"of": "between", "earlier": {}, "later": {}}},
                    "outcome": {{"is": "called", "call": {}}}}}"#,
                call(first, "backward"),
                call("Adam.step", "optimizer_step"),
                call("clip", "clip_grad"),
            ))
        };
        let expected = "cover between earlier backward later optimizer_step -> called call clip_grad";
        assert_eq!(between("Tensor.backward"), expected);
        assert_eq!(between("my_backward"), expected);
        let moving = r#"{"relation": "moving", "subject": {"of": "variable", "name": "Net.a"}, "outcome": {"is": "moves"}}"#;
        assert_eq!(of(moving), "moving variable -> moves");
        let general =
            r#"{"relation": "owned", "subject": {"of": "root", "class": "*"}, "outcome": {"is": "held"}}"#;
        assert_eq!(of(general), "owned root -> held (general)");
    }
}
