//! Whether what comes out of a collective adds up to what went in.

use traincheck_schema::record::{Collective, CollectiveKind, ReduceKind, collective};

/// Whether it adds up what ranks put in.
pub(super) fn is_sum(record: &Collective) -> bool {
    matches!(ReduceKind::try_from(record.reduce), Ok(ReduceKind::Sum | ReduceKind::Avg))
}

/// Whether the elements that ranks got have the sum that they must have, up to rounding; `None`: nothing can be said, for that is not
/// kept by this kind, or some have no sum that is known. `root` is the place of the root.
///
/// The sum of all elements is linear, so a reduction keeps it, whatever the order in which a backend adds; what is only moved keeps
/// it, too.
pub(super) fn adds_up(
    kind: CollectiveKind,
    given: &[Collective],
    got: &[Collective],
    root: Option<usize>,
    size: usize,
) -> Option<bool> {
    // A norm that is too large for its type is kept as the largest of the type, and says nothing of how much is rounded.
    let is_known = |record: &Collective| record.has(collective::SUM) && record.l2 < f32::MAX;
    let total = |records: &[Collective]| -> Option<f64> {
        let total: Option<f64> = records.iter().map(|record| is_known(record).then_some(record.sum)).sum();
        total.filter(|total| total.is_finite())
    };
    let of_root = |records: &[Collective]| total(std::slice::from_ref(records.get(root?)?));
    let first = given.first()?;
    let (expected, found) = match kind {
        CollectiveKind::AllReduce | CollectiveKind::Reduce if is_sum(first) => {
            let all = total(given)?;
            let is_mean = first.reduce == ReduceKind::Avg as u8;
            let expected = if is_mean { all / size as f64 } else { all };
            let found =
                if kind == CollectiveKind::Reduce { of_root(got)? } else { total(got)? / size as f64 };
            (expected, found)
        }
        CollectiveKind::AllGather | CollectiveKind::AllGatherIntoTensor => {
            (total(given)?, total(got)? / size as f64)
        }
        CollectiveKind::AllToAllSingle => (total(given)?, total(got)?),
        CollectiveKind::Gather => (total(given)?, of_root(got)?),
        CollectiveKind::Scatter => (of_root(given)?, total(got)?),
        _ => return None,
    };
    Some((found - expected).abs() <= room(given, size))
}

/// By how much sums may differ. Each of N elements of a reduction is rounded once for every rank, to the precision of its type, and no
/// sum of N magnitudes is more than their norm times the root of N (Cauchy-Schwarz).
fn room(given: &[Collective], size: usize) -> f64 {
    let largest = |record: &Collective| f64::from(record.l2) * (record.elements_in as f64).sqrt();
    let magnitudes: f64 = given.iter().map(largest).sum();
    let precision = match given.first().map_or(0, |first| first.element_type) {
        7 => f64::EPSILON,
        6 => f64::from(f32::EPSILON),
        // bfloat16 has 8 significant bits, float16 11.
        15 => 2.0_f64.powi(-7),
        _ => 2.0_f64.powi(-10),
    };
    // Norms are kept in single precision, sums in double.
    magnitudes * (precision * size as f64 + 1e-12)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sum: f64, l2: f32) -> Collective {
        Collective {
            flags: collective::CONTENTS | collective::SUM,
            element_type: 6,
            elements_in: 100,
            reduce: ReduceKind::Sum as u8,
            sum,
            l2,
            ..Collective::EMPTY
        }
    }

    #[test]
    fn a_sum_is_that_of_what_went_in_and_a_mean_its_part() {
        let given = [of(1.5, 2.0), of(-4.0, 1.0)];
        let kind = CollectiveKind::AllReduce;
        assert_eq!(adds_up(kind, &given, &[of(-2.5, 1.0); 2], None, 2), Some(true));
        assert_eq!(adds_up(kind, &given, &[of(-2.500_001, 1.0); 2], None, 2), Some(true), "rounded");
        assert_eq!(adds_up(kind, &given, &[of(1.5, 1.0); 2], None, 2), Some(false), "of one rank alone");
        let mean = given.map(|record| Collective { reduce: ReduceKind::Avg as u8, ..record });
        assert_eq!(adds_up(kind, &mean, &[of(-1.25, 1.0); 2], None, 2), Some(true));
        assert_eq!(adds_up(kind, &mean, &[of(-2.5, 1.0); 2], None, 2), Some(false));
    }

    #[test]
    fn what_is_moved_keeps_its_sum() {
        let given = [of(1.5, 2.0), of(-4.0, 1.0)];
        let gathered = [of(-2.5, 1.0); 2];
        assert_eq!(adds_up(CollectiveKind::AllGather, &given, &gathered, None, 2), Some(true));
        let to_root = [Collective::EMPTY, of(-2.5, 1.0)];
        assert_eq!(adds_up(CollectiveKind::Gather, &given, &to_root, Some(1), 2), Some(true));
        assert_eq!(adds_up(CollectiveKind::Gather, &given, &to_root, None, 2), None, "which is the root?");
        let exchanged = [of(-4.0, 1.0), of(1.5, 2.0)];
        assert_eq!(adds_up(CollectiveKind::AllToAllSingle, &given, &exchanged, None, 2), Some(true));
        assert_eq!(
            adds_up(CollectiveKind::Scatter, &given, &[of(2.0, 1.0), of(-0.5, 1.0)], Some(0), 2),
            Some(true)
        );
    }

    #[test]
    fn of_other_reductions_and_what_has_no_sum_nothing_is_said() {
        let largest = [Collective { reduce: ReduceKind::Max as u8, ..of(1.0, 1.0) }; 2];
        assert_eq!(adds_up(CollectiveKind::AllReduce, &largest, &largest, None, 2), None);
        let large = [of(1e60, f32::MAX); 2];
        assert_eq!(adds_up(CollectiveKind::AllReduce, &large, &large, None, 2), None);
        let largest = [of(f64::MAX, 1.0); 2];
        assert_eq!(adds_up(CollectiveKind::AllGather, &largest, &largest, None, 2), None);
        let not_finite = [of(1.0, 1.0), Collective { flags: collective::CONTENTS, ..of(0.0, 1.0) }];
        assert_eq!(adds_up(CollectiveKind::AllReduce, &not_finite, &[of(1.0, 1.0); 2], None, 2), None);
        assert_eq!(adds_up(CollectiveKind::Barrier, &largest, &largest, None, 2), None);
    }
}
