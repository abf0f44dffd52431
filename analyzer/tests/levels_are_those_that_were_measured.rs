//! A notice that the rules are in doubt of is an alarm where enough clean runs did not break its kind, and whatever speaks of
//! it says so.
mod support;

use serde_json::{Value, json};
use support::scripts::{Error, Script};
use support::{checked, learn};
use traincheck_analyzer::difference::Difference;
use traincheck_analyzer::invariants::{Doubt, Invariants, Level, Rate};
use traincheck_analyzer::library::family::family;
use traincheck_analyzer::library::levels::{Applied, BUDGET, Levels};
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::report::{Report, Verdict, json, text as page};

const FAMILY: &str = "moving variable -> moves";

/// That parameters change, as if too little had spoken for it; nothing else is an alarm.
fn doubted() -> Invariants {
    let of = |seed| Script { seed, ..Script::default() }.run().finish();
    let mut learned = learn(&[of(11), of(12)]);
    for invariant in &mut learned.invariants {
        invariant.level = Level::Notice;
        invariant.doubt = (family(&invariant.claim) == FAMILY).then_some(Doubt::FewExamples);
    }
    learned.invariants.retain(|one| one.claim.relation() <= RelationName::Frozen);
    learned
}

/// Measured of other configurations: this family with this doubt, in 160 runs of which these violate it.
fn measured(doubt: &str, broken: &[&str]) -> Levels {
    let mut fared = json!({"runs": 160, "programs": 16, "claims": 480});
    if !broken.is_empty() {
        fared["broken"] = json!(broken);
    }
    let configuration =
        json!({"programs": 16, "runs": 160, "families": {}, "notices": {doubt: {FAMILY: fared}}});
    let levels = json!({
        "format": "traincheck-levels",
        "version": 2,
        "differences": {"configuration": configuration},
    });
    serde_json::from_value(levels).expect("levels")
}

/// The verdict on a run whose backbone is frozen, in words and for programs.
fn report(levels: &Levels, difference: Difference) -> (Verdict, String, Value) {
    let mut invariants = doubted();
    let applied = levels.apply(&mut invariants, difference, BUDGET);
    let trace = Script { seed: 3, error: Error::FrozenBackbone, ..Script::default() }.run().finish();
    let checked = checked(&invariants, &trace);
    let mut report = Report::new("run".into(), &invariants, &checked);
    report.measured = Some(applied);
    let mut text = String::new();
    page::write(&report, false, &mut text).expect("a string takes everything");
    (report.verdict, text, json::value(&report))
}

#[test]
fn what_enough_runs_do_not_break() {
    let (verdict, text, json) = report(&measured("few_examples", &[]), Difference::Configuration);
    assert_eq!(verdict, Verdict::Alarms, "{text}");
    for line in [
        "    An alarm as was measured: 0 of 160 clean runs of 16 programs violate such a claim.\n",
        "notices learned from runs of other configurations, of kinds that clean runs hardly ever break (docs/levels.md).\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let raised = json["difference"]["raised"].as_u64();
    assert!(raised.is_some_and(|raised| raised > 1), "{}", json["difference"]);
    let rate = json!({"runs": 160, "programs": 16, "broken": 0});
    assert_eq!(json["findings"][0]["invariants"][0]["measured"], rate);
    let of_it = json["invariants"].as_array().into_iter().flatten().filter(|one| one["measured"] == rate);
    let mut count = 0;
    for one in of_it {
        assert_eq!(
            (&one["level"], &one["doubt"], &one["family"]),
            (&json!("alarm"), &json!("few_examples"), &json!(FAMILY))
        );
        count += 1;
    }
    assert_eq!(Some(count), raised);
    let schema = serde_json::from_str(include_str!("../../docs/findings-schema.json")).expect("the schema");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let wrong: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_was_not_measured_stays_as_it_is() {
    for (doubt, broken, difference) in [
        ("few_examples", &["a/1", "b/1"][..], Difference::Configuration),
        ("ambiguous", &[], Difference::Configuration),
        ("few_examples", &[], Difference::Seed),
        ("few_examples", &[], Difference::Program),
    ] {
        let (verdict, text, json) = report(&measured(doubt, broken), difference);
        assert_ne!(verdict, Verdict::Alarms, "{text}");
        assert_eq!((&json["difference"]["lowered"], &json["difference"]["raised"]), (&json!(0), &json!(0)));
        assert!(!text.contains("measured"), "{text}");
    }
}

#[test]
fn what_no_error_can_break_is_never_an_alarm() {
    let mut invariants = doubted();
    invariants.invariants.iter_mut().for_each(|one| one.doubt = None);
    let applied = measured("few_examples", &[]).apply(&mut invariants, Difference::Configuration, BUDGET);
    assert_eq!(applied, Applied { difference: Difference::Configuration, lowered: 0, raised: 0 });
}

#[test]
fn an_explanation_says_for_which_runs() {
    let (levels, invariants) = (measured("few_examples", &[]), doubted());
    let decided = levels.decide(BUDGET);
    let expected = "measured: an alarm where it was learned from runs of other configurations (0 of 160 clean runs of 16 \
                    programs violate such)";
    for invariant in &invariants.invariants {
        assert_eq!(
            decided.text(invariant).as_deref(),
            invariant.doubt.map(|_| expected),
            "{}",
            invariant.text
        );
    }
}

#[test]
fn one_that_cannot_be_decided_says_nothing_of_the_length_of_a_run() {
    let of = |seed| Script { seed, ..Script::default() }.run().finish();
    let mut invariants = learn(&[of(11), of(12)]);
    let short = Script { epochs: 1, batches: 1, evaluate: false, ..Script::default() }.run().finish();
    let first = checked(&invariants, &short);
    let verdict = |invariants: &Invariants| Report::new("run".into(), invariants, &first).verdict;
    assert!(matches!(verdict(&invariants), Verdict::NoVerdict(why) if why.contains("too short")));
    let undecided = first.tallies.iter().map(|tally| tally.held + tally.violated == 0);
    for (invariant, undecided) in invariants.invariants.iter_mut().zip(undecided) {
        invariant.measured = undecided.then_some(Rate { runs: 160, programs: 16, broken: 0 });
    }
    assert_eq!(verdict(&invariants), Verdict::Clean);
}
