//! How often something may happen that was seen so often.

/// The largest rate at which so few cases (`seen` of `of`) or fewer have at least one chance in twenty: an upper bound of
/// 95 % confidence (Clopper and Pearson 1934, one-sided). 1 where nothing was tried.
pub fn upper_bound(seen: u64, of: u64) -> f64 {
    if seen >= of {
        return 1.0;
    }
    let (mut low, mut high) = (0.0, 1.0);
    // Each turn halves the interval: below what is printed after 40.
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if at_most(seen, of, middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}

/// The probability of no more than `seen` cases among `of` at this rate.
fn at_most(seen: u64, of: u64, rate: f64) -> f64 {
    let odds = rate / (1.0 - rate);
    // In logarithms: of 1,000 tries none is too improbable for a number.
    let mut term = of as f64 * (-rate).ln_1p();
    let mut sum = term.exp();
    for case in 0..seen {
        term += ((of - case) as f64 / (case + 1) as f64 * odds).ln();
        sum += term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_tables_say() {
        for (seen, of, bound) in
            [(0, 10, 0.2589), (1, 10, 0.3942), (0, 300, 0.0099), (3, 300, 0.0256), (2, 2, 1.0)]
        {
            let found = upper_bound(seen, of);
            assert!((found - bound).abs() < 5e-4, "{seen} of {of}: {found}");
        }
    }
}
