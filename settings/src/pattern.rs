//! Patterns of function names.

use std::fmt;

/// A name, `package.module.Class.method`, in which each `*` stands for any text, dots included. By
/// default one that matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, if it can match no name.
    pub fn new(text: &str) -> Result<Pattern, String> {
        const FORM: &str = "write names as in `package.module.Class.method`, with `*` for any text";
        if text.is_empty() {
            return Err(format!("an empty pattern matches nothing; {FORM}"));
        }
        // `<locals>` and `<lambda>` are parts of names.
        let wrong = |c: &char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '*' | '<' | '>'));
        if let Some(wrong) = text.chars().find(wrong) {
            return Err(format!("{text:?} has {wrong:?} in it, which is in no name; {FORM}"));
        }
        Ok(Pattern(text.to_owned()))
    }

    /// Whether it matches all of `name`.
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.0, name)
    }

    /// Whether it names one function and no others.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `pattern`, in which each `*` stands for any text, matches all of `text`. Takes time in proportion to the
/// product of the lengths at most.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last star is, and how much of the text it has taken: it takes more if what follows fails.
    let mut star = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}
