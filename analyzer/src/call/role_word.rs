//! Roles as words, for files.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use traincheck_schema::record::Role;

/// In the order of their numbers, one for each.
const WORDS: [&str; Role::ALL.len()] = [
    "other",
    "user",
    "module_call",
    "mode_change",
    "backward",
    "autograd_grad",
    "optimizer_step",
    "zero_grad",
    "optimizer_init",
    "scheduler_step",
    "scheduler_init",
    "clip_grad",
    "scaler_scale",
    "scaler_unscale",
    "scaler_step",
    "scaler_update",
    "autocast",
    "grad_mode",
    "loader_init",
    "loader_iter",
    "loader_next",
    "distributed",
    "save",
    "load",
    "load_state",
    "state_dict",
    "seed",
    "requires_grad",
    "module_move",
    "no_sync",
];

/// The word for `role`.
pub fn word(role: Role) -> &'static str {
    WORDS[role as usize]
}

/// Writes the word.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*role))
}

/// Reads it.
///
/// # Errors
/// If the word names no role.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let text = String::deserialize(deserializer)?;
    WORDS
        .iter()
        .position(|word| *word == text)
        .and_then(|number| Role::try_from(number as u16).ok())
        .ok_or_else(|| D::Error::custom(format!("`{text}` is not a role of a function")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_word_of_its_own() {
        for (number, role) in Role::ALL.iter().enumerate() {
            assert_eq!(*role as usize, number);
            assert_eq!(WORDS.iter().position(|known| *known == word(*role)), Some(number));
        }
    }
}
