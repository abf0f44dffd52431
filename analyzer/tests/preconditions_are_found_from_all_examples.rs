//! The search for preconditions finds the rule that made the examples, and never covers a counter-example.

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::{Recorder, learn};
use traincheck_analyzer::precondition::{
    Clause, Condition, Example, MOST_CLAUSES, Precondition, nearest, separate,
};
use traincheck_analyzer::situation::{Feature, Fields, Situation, Value};
use traincheck_schema::record::{Role, Stage, flags};

const FIELDS: Fields = Fields::of(&[
    Feature::Stage,
    Feature::Grad,
    Feature::AutocastCpu,
    Feature::Outermost,
    Feature::Mode,
    Feature::Matmul,
]);

/// One of the values of each feature, or its absence where it may be absent.
fn situations() -> impl Strategy<Value = Situation> {
    let stage = (0..3usize).prop_map(|n| Value::word(["init", "training", "evaluation"][n]));
    let autocast = prop::option::of((0..2usize).prop_map(|n| Value::word(["bfloat16", "float16"][n])));
    let mode = (0..3usize).prop_map(|n| Value::word(["none", "training", "evaluation"][n]));
    let matmul = prop::option::of((0..5usize).prop_map(|n| Value::word(format!("kind{n}"))));
    (stage, any::<bool>(), autocast, any::<bool>(), mode, matmul).prop_map(
        |(stage, grad, autocast, outermost, mode, matmul)| {
            let mut features = vec![
                (Feature::Stage, stage),
                (Feature::Grad, Value::Flag(grad)),
                (Feature::Outermost, Value::Flag(outermost)),
                (Feature::Mode, mode),
            ];
            features.extend(autocast.map(|value| (Feature::AutocastCpu, value)));
            features.extend(matmul.map(|value| (Feature::Matmul, value)));
            Situation::new(features)
        },
    )
}

/// Distinct situations.
fn universes(most: usize) -> impl Strategy<Value = Vec<Situation>> {
    prop::collection::btree_set(situations(), 1..most).prop_map(|set| set.into_iter().collect())
}

/// A condition that at least one situation meets.
fn condition_of(situation: &Situation, feature: Feature, kind: u8) -> Condition {
    match (situation.get(feature), kind % 3) {
        (None, _) => Condition::Exists { exists: false },
        (Some(_), 0) if matches!(feature, Feature::AutocastCpu | Feature::Matmul) => {
            Condition::Exists { exists: true }
        }
        (Some(value), _) => Condition::is(value),
    }
}

/// A rule of one or two clauses, each true of some situation.
fn rules() -> impl Strategy<Value = Precondition> {
    let feature = prop::sample::select(FIELDS.features().collect::<Vec<_>>());
    let clause =
        (situations(), prop::collection::vec((feature, any::<u8>()), 1..4)).prop_map(|(situation, named)| {
            let conditions =
                named.into_iter().map(|(feature, kind)| (feature, condition_of(&situation, feature, kind)));
            Clause { all_of: conditions.collect() }
        });
    prop::collection::vec(clause, 1..=MOST_CLAUSES).prop_map(|any_of| Precondition { any_of })
}

fn examples<'a>(universe: &'a [Situation], rule: &Precondition) -> Vec<Example<'a>> {
    let example = |situation| {
        let holds = rule.holds(situation);
        Example { situation, positive: u64::from(holds), negative: u64::from(!holds) }
    };
    universe.iter().map(example).collect()
}

/// Every clause that can be said with the values that occur.
fn all_clauses(universe: &[Situation], fields: Fields) -> Vec<Clause> {
    let mut clauses = vec![Clause::default()];
    for feature in fields.features() {
        let mut conditions: Vec<Option<Condition>> = vec![None];
        conditions.extend([true, false].map(|exists| Some(Condition::Exists { exists })));
        let values: Vec<&Value> = universe.iter().filter_map(|situation| situation.get(feature)).collect();
        conditions.extend(values.iter().map(|value| Some(Condition::is(value))));
        conditions.sort();
        conditions.dedup();
        clauses = clauses
            .iter()
            .flat_map(|clause| {
                conditions.iter().map(|condition| {
                    let mut all_of = clause.all_of.clone();
                    all_of.extend(condition.clone().map(|condition| (feature, condition)));
                    Clause { all_of }
                })
            })
            .collect();
    }
    clauses
}

fn covered<'a>(examples: &'a [Example<'a>], holds: impl Fn(&Situation) -> bool) -> (usize, usize) {
    let within = || examples.iter().filter(|example| holds(example.situation));
    (
        within().filter(|example| example.positive > 0).count(),
        within().filter(|example| example.negative > 0).count(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_rule_that_made_the_examples_is_found(universe in universes(40), rule in rules()) {
        let examples = examples(&universe, &rule);
        let found = separate(&examples, FIELDS);
        if examples.iter().all(|example| example.positive == 0) {
            prop_assert_eq!(found, None);
        } else {
            let found = found.expect("there is a rule");
            prop_assert!(found.any_of.len() <= MOST_CLAUSES);
            for situation in &universe {
                prop_assert_eq!(found.holds(situation), rule.holds(situation), "{:?} in {:?}", found, situation);
            }
        }
    }

    #[test]
    fn nothing_that_is_found_covers_a_counter_example(
        universe in prop::collection::btree_map(situations(), (0u64..3, 0u64..2), 1..60), seed in any::<u64>()
    ) {
        let mut examples: Vec<Example<'_>> = universe
            .iter()
            .map(|(situation, &(positive, negative))| Example { situation, positive, negative })
            .collect();
        let found = separate(&examples, FIELDS);
        if let Some(found) = &found {
            let (positive, negative) = covered(&examples, |situation| found.holds(situation));
            prop_assert!(positive > 0 && negative == 0);
            prop_assert!(found.any_of.len() <= MOST_CLAUSES);
        } else {
            // Every situation is a clause of its own: nothing is found only if none is free of counter-examples.
            prop_assert!(examples.iter().all(|example| example.positive == 0 || example.negative > 0));
            let left = nearest(&examples, FIELDS).map(|(clause, left)| (clause, Some(left)));
            if let Some((clause, left)) = left {
                let within = examples.iter().filter(|example| clause.holds(example.situation));
                prop_assert_eq!(left, Some(within.map(|example| example.negative).sum()));
            }
        }
        // The order of the examples makes no difference.
        let mut random = seed | 1;
        for last in (1..examples.len()).rev() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            examples.swap(last, (random % (last as u64 + 1)) as usize);
        }
        prop_assert_eq!(separate(&examples, FIELDS), found);
    }

    #[test]
    fn no_other_precondition_covers_more_or_says_it_with_fewer_clauses(
        universe in prop::collection::btree_map(situations(), (0u64..2, 0u64..2), 1..9),
        fields in prop::sample::subsequence(FIELDS.features().collect::<Vec<_>>(), 1..3)
    ) {
        let fields = Fields::of(&fields);
        // As relations see them: what is not among the fields is blanked out, and examples are added up.
        let mut seen: BTreeMap<Situation, (u64, u64)> = BTreeMap::new();
        for (situation, (positive, negative)) in universe {
            let features = situation.features().iter().filter(|(feature, _)| fields.has(*feature)).cloned();
            let sum = seen.entry(Situation::new(features.collect())).or_default();
            *sum = (sum.0 + positive, sum.1 + negative);
        }
        let examples: Vec<Example<'_>> = seen
            .iter()
            .map(|(situation, &(positive, negative))| Example { situation, positive, negative })
            .collect();
        let universe: Vec<Situation> = seen.keys().cloned().collect();
        let clauses: Vec<Clause> = all_clauses(&universe, fields)
            .into_iter()
            .filter(|clause| covered(&examples, |situation| clause.holds(situation)).1 == 0)
            .collect();
        let mut best = (0, std::cmp::Reverse(0));
        for (index, one) in clauses.iter().enumerate() {
            for other in &clauses[index..] {
                let (positive, _) =
                    covered(&examples, |situation| one.holds(situation) || other.holds(situation));
                best = best.max((positive, std::cmp::Reverse(if one == other { 1 } else { 2 })));
            }
        }
        match separate(&examples, fields) {
            None => prop_assert_eq!(best.0, 0),
            Some(found) if found.any_of.is_empty() => {
                prop_assert!(examples.iter().all(|example| example.negative == 0));
            }
            Some(found) => {
                let (positive, negative) = covered(&examples, |situation| found.holds(situation));
                prop_assert_eq!((positive, negative), (best.0, 0));
                prop_assert_eq!(found.any_of.len(), best.1.0);
            }
        }
    }
}

#[test]
fn a_great_many_situations_take_a_bounded_search() {
    let flag = |feature, yes| (feature, Value::Flag(yes));
    let universe: Vec<Situation> = (0..2048i64)
        .map(|n| {
            Situation::new(vec![
                flag(Feature::Grad, n % 3 == 0),
                flag(Feature::Outermost, n % 5 == 0),
                (Feature::Stage, Value::word(["init", "training"][usize::from(n % 7 == 0)])),
                (Feature::DefaultDtype, Value::word(format!("type {}", n % 41))),
                (Feature::Matmul, Value::word(format!("kind {n}"))),
            ])
        })
        .collect();
    let examples: Vec<Example<'_>> = universe
        .iter()
        .enumerate()
        .map(|(n, situation)| {
            let failed = u64::from(n * 2_654_435_761 % 11 == 0);
            Example { situation, positive: 1 - failed, negative: failed }
        })
        .collect();
    let found = separate(&examples, FIELDS).expect("some situations are free of counter-examples");
    let (positive, negative) = covered(&examples, |situation| found.holds(situation));
    assert!(positive > 1 && negative == 0, "{positive} {negative}");
}

#[test]
fn settings_of_the_process_are_named_only_where_they_make_a_difference() {
    let of = |grad: bool, autocast: Option<&str>| {
        let autocast = autocast.map(|dtype| (Feature::AutocastCpu, Value::word(dtype)));
        let features = [(Feature::Grad, Value::Flag(grad)), (Feature::Deterministic, Value::word("on"))];
        Situation::new(features.into_iter().chain(autocast).collect())
    };
    let fields = Fields::GRAD.and(Fields::NUMERICS);
    let (on, off, without) = (of(true, Some("bfloat16")), of(true, None), of(false, None));
    let example = |situation, positive, negative| Example { situation, positive, negative };
    let text = |examples: &[Example<'_>]| separate(examples, fields).unwrap().text();
    let by_autocast = text(&[example(&on, 5, 0), example(&off, 0, 5)]);
    assert_eq!(
        by_autocast.as_deref(),
        Some("gradients are enabled and autocast for the CPU is on in bfloat16")
    );
    let by_grad = text(&[example(&on, 5, 0), example(&off, 5, 0), example(&without, 0, 5)]);
    assert_eq!(by_grad.as_deref(), Some("gradients are enabled"));
}

#[test]
fn a_precondition_is_readable_json() {
    let conditions = [
        (Feature::Stage, Condition::Word("training".into())),
        (Feature::Grad, Condition::Flag(true)),
        (Feature::AutocastCpu, Condition::Exists { exists: true }),
    ];
    let precondition = Precondition { any_of: vec![Clause { all_of: conditions.into_iter().collect() }] };
    let json = serde_json::to_string(&precondition).unwrap();
    assert_eq!(json, r#"[{"stage":"training","grad":true,"autocast_cpu":{"exists":true}}]"#);
    assert_eq!(serde_json::from_str::<Precondition>(&json).unwrap(), precondition);
    for bad in [r#"[{"color":"red"}]"#, r#"[{"autocast_cpu":{"exists":true,"is":"x"}}]"#, r#"[{"grad":[]}]"#]
    {
        assert!(serde_json::from_str::<Precondition>(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_a_module_does_only_under_autocast_is_learned_so() {
    let run = |calls: u32| {
        let mut record = Recorder::default();
        (record.iteration, record.stage) = (5, Stage::Training);
        for call in 0..calls {
            let cast = call % 3 == 0;
            record.under(if cast { "autocast(cpu, bfloat16) matmul=high" } else { "matmul=high" });
            let autocast = if cast { flags::AUTOCAST } else { 0 };
            record.enter("__main__.Net.__call__", Role::ModuleCall, 0, flags::OUTERMOST | autocast);
            if cast {
                record.call("__main__.cast_back", Role::User, 0);
            }
            record.exit(false);
        }
        record.finish(5, None)
    };
    let invariants = learn(&[run(20), run(31)]);
    let texts: Vec<&str> = invariants.invariants.iter().map(|invariant| invariant.text.as_str()).collect();
    let wanted = "In every call of `Net.__call__`, `cast_back` is called, where";
    let found = texts.iter().find(|text| text.starts_with(wanted)).unwrap_or_else(|| panic!("{texts:?}"));
    assert!(found.ends_with("and autocast for the CPU is on in bfloat16"), "{found}");
    assert!(!found.contains("matrix"), "{found}");
}
