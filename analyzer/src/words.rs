//! English for reports.

/// Why nothing was recorded.
pub const NOTHING_RECORDED: &str = "no module (torch.nn.Module) was called with gradients and no optimizer was constructed, or \
                                    nothing could be hooked (traincheck doctor says which); what trains tensors by hand cannot \
                                    be judged";

/// `1 window`, `2 windows`, `2 processes`.
pub fn plural(count: u64, noun: &str) -> String {
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}

/// A name that people chose, in one line: line breaks and other control characters are written as escapes.
pub fn printable(name: &str) -> String {
    let escaped =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    name.chars().map(escaped).collect()
}

/// With a capital letter at the beginning.
pub fn capitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_uppercase() + &text[1..])
}

/// With a small letter at the beginning.
pub fn uncapitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_lowercase() + &text[1..])
}
