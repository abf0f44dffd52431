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

/// Behind the ranks of an attempt of a job, where there were earlier ones: ` in attempt 2 of the job, the last`.
pub fn in_attempt(number: Option<u32>) -> String {
    number.map_or_else(String::new, |number| format!(" in attempt {number} of the job, the last"))
}

/// A name that people chose, in one line: line breaks and other control characters are written as escapes.
pub fn printable(name: &str) -> String {
    let escaped =
        |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.into() };
    name.chars().map(escaped).collect()
}

/// A number with three digits that count: `13.5`, `0.00213`, `4.1e-9`.
pub fn significant(number: f64) -> String {
    let magnitude = if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 };
    if !(-4..6).contains(&magnitude) {
        return format!("{number:.2e}");
    }
    let text = format!("{number:.*}", (2 - magnitude).max(0) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// With a capital letter at the beginning.
pub fn capitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_uppercase() + &text[1..])
}

/// With a small letter at the beginning.
pub fn uncapitalised(text: &str) -> String {
    text.get(..1).map_or_else(|| text.to_owned(), |first| first.to_lowercase() + &text[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let text = [0.0, 1.0, 13.4543, 0.002_134, 123_456.0, 4.111e-9, 1.5e30, 0.25].map(significant);
        assert_eq!(text, ["0", "1", "13.5", "0.00213", "123456", "4.11e-9", "1.50e30", "0.25"]);
    }
}
