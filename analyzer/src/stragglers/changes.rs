//! Where a series of numbers changes its level: by binary segmentation, so that no threshold has to be chosen for what is
//! slow. A part of stragglers.
//!
//! A stretch is cut in two where that lowers the squared distances from the means the most, if by more than chance does. How
//! much that is follows from how far each number is from the one before it, which says little of levels. Before that each
//! number gives way to the median of those around it: one or two that are far from all others are no level.

/// No stretch is shorter, in numbers.
const SHORTEST: usize = 5;
/// How many numbers before and behind one are around it.
const AROUND: usize = 2;
/// What a change has to explain, in variances times the logarithm of the length of the series.
const PRICE: f64 = 10.0;
/// The median distance of two numbers that are drawn from one normal distribution, in its standard deviations.
const DISTANCE: f64 = 0.954;

/// The beginnings of the stretches, the first of which is 0.
pub fn stretches(series: &[f64]) -> Vec<usize> {
    let distances: Vec<f64> = series.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let deviation = median(&distances) / DISTANCE;
    let around = |at: usize| &series[at.saturating_sub(AROUND)..(at + AROUND + 1).min(series.len())];
    let smooth: Vec<f64> = (0..series.len()).map(|at| median(around(at))).collect();
    let chance = PRICE * deviation * deviation * (series.len().max(2) as f64).ln();
    let mut begins = Vec::new();
    let mut open = vec![(0, series.len())];
    while let Some((begin, end)) = open.pop() {
        match cut(&smooth[begin..end], chance) {
            Some(at) => open.extend([(begin + at, end), (begin, begin + at)]),
            None => begins.push(begin),
        }
    }
    begins
}

/// Where to cut a stretch, if that explains more than `chance` does.
fn cut(stretch: &[f64], chance: f64) -> Option<usize> {
    let count = stretch.len();
    let mean = stretch.iter().sum::<f64>() / count as f64;
    // Where the sum of what comes before is furthest from its share, two means explain the most.
    let (mut sum, mut best) = (0.0, (chance, None));
    for (at, number) in (1..count).zip(stretch) {
        sum += number - mean;
        let explained = sum * sum * count as f64 / (at as f64 * (count - at) as f64);
        // Of numbers that are all the same rounding leaves something, too.
        let counts = explained > f64::EPSILON * mean * mean * count as f64;
        if at >= SHORTEST && count - at >= SHORTEST && counts && explained > best.0 {
            best = (explained, Some(at));
        }
    }
    best.1
}

/// The median; of none 0.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers around a level, the same every time.
    fn around(level: f64, count: usize) -> impl Iterator<Item = f64> {
        (0..count).map(move |at| level + [0.0, 0.3, -0.2, 0.1, -0.4, 0.2, 0.5][at % 7])
    }

    #[test]
    fn a_level_that_changes_is_found_and_noise_is_none() {
        assert_eq!(stretches(&around(5.0, 100).collect::<Vec<_>>()), [0]);
        let twice: Vec<f64> = around(5.0, 40).chain(around(9.0, 30)).chain(around(5.0, 30)).collect();
        assert_eq!(stretches(&twice), [0, 40, 70]);
        let one: Vec<f64> = around(5.0, 50).chain([80.0]).chain(around(5.0, 50)).collect();
        assert_eq!(stretches(&one), [0], "one number is no level");
        assert_eq!(stretches(&[]), [0]);
        assert_eq!(stretches(&[2.0; 50]), [0]);
    }

    #[test]
    fn a_change_in_a_long_series_is_found_where_it_is() {
        let long: Vec<f64> = around(1.0, 5000).chain(around(2.0, 5000)).collect();
        assert_eq!(stretches(&long), [0, 5000]);
    }
}
