//! English for reports.

/// `1 window`, `2 windows`.
pub fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// With a capital letter at the beginning.
pub fn capitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_uppercase() + &text[1..])
}

/// With a small letter at the beginning.
pub fn uncapitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_lowercase() + &text[1..])
}
