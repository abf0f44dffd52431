//! The reports on each error, as people and programs see them.
mod support;

use serde_json::Value;
use support::scripts::{Error, Script};
use support::torch::Torch;
use support::{checked, learn, text, with_library};
use traincheck_analyzer::check::Status;
use traincheck_analyzer::invariants::Invariants;
use traincheck_analyzer::relation::claim::RelationName;
use traincheck_analyzer::report::{Report, json, text as page};
use traincheck_analyzer::source::MemoryTrace;

const ERRORS: &[(&str, Error)] = &[
    ("no_zero_grad", Error::NoZeroGrad),
    ("stale_optimizer", Error::StaleOptimizer),
    ("no_scheduler", Error::NoScheduler),
    ("frozen_backbone", Error::FrozenBackbone),
    ("eval_after_first_evaluation", Error::EvalAfterFirstEvaluation),
    ("eval_from_the_start", Error::EvalFromTheStart),
    ("no_step", Error::NoStep),
    ("no_backward", Error::NoBackward),
    ("head_not_in_optimizer", Error::HeadNotInOptimizer),
    ("clean", Error::None),
];

fn learned() -> Invariants {
    let of = |seed| Script { seed, ..Script::default() }.run().finish();
    let mut invariants = learn(&[of(11), of(12)]);
    // These are about reports: a new relation need not change them.
    invariants.invariants.retain(|invariant| invariant.claim.relation() <= RelationName::Frozen);
    invariants
}

fn trace(error: Error) -> MemoryTrace {
    Script { seed: 3, error, ..Script::default() }.run().finish()
}

fn report_json(invariants: &Invariants, trace: &MemoryTrace) -> Value {
    let checked = checked(invariants, trace);
    json::value(&Report::new("run".into(), invariants, &checked))
}

#[test]
fn the_text_of_each_error() {
    let invariants = learned();
    for (name, error) in ERRORS {
        insta::assert_snapshot!(*name, support::text(&invariants, &trace(*error)));
    }
}

#[test]
fn a_name_with_a_line_break_is_in_one_line() {
    let checked = checked(&learned(), &trace(Error::NoStep));
    let mut learned = learned();
    learned.runs.iter_mut().for_each(|run| run.name = "good\nrun".into());
    let report = Report::new("bad\n\u{1b}[2Jrun".into(), &learned, &checked);
    let mut text = String::new();
    page::write(&report, false, &mut text).expect("a string takes everything");
    assert!(text.starts_with("Run `bad\\n\\u{1b}[2Jrun`: "), "{text}");
    assert!(text.contains("in good\\nrun"), "{text}");
}

#[test]
fn a_finding_fits_on_a_screen() {
    let invariants = learned();
    for (name, error) in ERRORS {
        let text = support::text(&invariants, &trace(*error));
        // Head, verdict and one finding: a terminal of 32 lines.
        assert!(text.lines().count() <= 32, "{name}:\n{text}");
    }
}

#[test]
fn text_of_a_run_that_was_killed_with_notices_and_statuses() {
    let invariants = learned();
    let trace = Script { seed: 3, error: Error::NoZeroGrad, ..Script::default() }.run().killed(0.5);
    let checked = checked(&invariants, &trace);
    let report = Report::new("run".into(), &invariants, &checked);
    let mut text = String::new();
    page::write(&report, true, &mut text).unwrap();
    text.push('\n');
    page::write_statuses(&report, &mut text).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn a_finding_as_json() {
    let report = report_json(&learned(), &trace(Error::FrozenBackbone));
    insta::assert_json_snapshot!(report["findings"][0]);
}

#[test]
fn the_json_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/findings-schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let invariants = learned();
    for (name, error) in ERRORS {
        let report = report_json(&invariants, &trace(*error));
        let wrong: Vec<String> =
            validator.iter_errors(&report).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
    let mut broken = report_json(&invariants, &trace(Error::NoStep));
    broken["findings"][0]["level"] = "catastrophe".into();
    assert!(!validator.is_valid(&broken), "the schema accepts anything");
}

#[test]
fn every_invariant_ends_in_one_of_four_ways_and_all_are_reported() {
    let invariants = learned();
    let trace =
        Script { seed: 3, evaluate: false, error: Error::FrozenBackbone, ..Script::default() }.run().finish();
    let report = report_json(&invariants, &trace);
    let statuses = report["invariants"].as_array().unwrap();
    assert_eq!(statuses.len(), invariants.invariants.len());
    let count = |level: &str, status: &str| {
        statuses.iter().filter(|s| s["level"] == level && s["status"] == status).count() as u64
    };
    for level in ["alarm", "notice"] {
        for status in ["violated", "held", "undecided", "not_triggered"] {
            assert_eq!(report["counts"][level][status], count(level, status), "{level} {status}");
        }
    }
    assert!(
        count("alarm", "violated") > 0 && count("alarm", "held") > 0 && count("alarm", "not_triggered") > 0
    );
}

#[test]
fn a_run_that_is_too_short_gives_no_verdict() {
    let invariants = learned();
    let report = report_json(
        &invariants,
        &Script { epochs: 1, batches: 1, evaluate: false, ..Script::default() }.run().finish(),
    );
    assert_eq!((&report["verdict"], &report["exit_code"]), (&"no_verdict".into(), &2.into()));
    let empty = report_json(&invariants, &MemoryTrace::default());
    assert_eq!((&empty["verdict"], &empty["exit_code"]), (&"no_verdict".into(), &2.into()));
    assert!(text(&invariants, &MemoryTrace::default()).contains("No verdict"));
}

#[test]
fn a_run_that_was_not_recorded_is_not_said_to_be_too_short() {
    let invariants = learned();
    let why = |trace: &MemoryTrace| report_json(&invariants, trace)["why_no_verdict"].clone();
    let short = Script { epochs: 1, batches: 1, evaluate: false, ..Script::default() }.run().finish();
    let mut whole = Script { seed: 3, ..Script::default() }.run().finish();
    assert_eq!(why(&whole), Value::Null);
    whole.batches.iter_mut().for_each(|batch| batch.lost = 1);
    let undecided = "more than half of the alarm-level invariants are undecided";
    assert_eq!(why(&short), format!("the run is too short: {undecided}"));
    assert_eq!(why(&whole), format!("too much of the run was not recorded: {undecided}"));
}

#[test]
fn the_schema_knows_every_relation() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/findings-schema.json")).unwrap();
    let known = schema["$defs"]["relation"]["enum"].as_array().unwrap();
    for relation in RelationName::ALL {
        assert!(known.iter().any(|name| name == relation.word()), "{}", relation.word());
    }
}

#[test]
fn a_verdict_says_where_little_was_tested() {
    let mut torch = Torch::new(1);
    let model = torch.model("Net", &["body.weight", "head.weight"]);
    let optimizer = torch.optimizer("SGD", &[model]);
    for _ in 0..30 {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    let trace = torch.finish();
    // The library with no more than so many of what this run has something for.
    let verdict = |most: usize| {
        let mut library = with_library(Invariants::default(), None);
        let mut tallies = checked(&library, &trace).tallies.into_iter();
        let mut tested = 0;
        library.invariants.retain(|_| {
            let triggered = tallies.next().is_some_and(|tally| tally.status() != Status::NotTriggered);
            tested += usize::from(triggered);
            !triggered || tested <= most
        });
        text(&library, &trace).lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(verdict(usize::MAX), "Verdict: clean.");
    let little = verdict(2);
    assert!(little.starts_with("Verdict: clean, as far as 2 of "), "{little}");
    assert!(little.ends_with(" alarm-level invariants can tell: the rest was not tested."), "{little}");
}
