//! A share, as options have it.

/// A share that is neither nothing nor all.
pub fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("a share between 0 and 1, neither included, is expected: 0.02 for one run in 50".into()),
    }
}
