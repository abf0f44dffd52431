//! Violations of one cause are one finding, and no consequence comes before its cause.
mod support;

use std::fs;
use std::path::Path;

use support::disk::{traincheck, write};
use support::learn;
use support::scripts::{Error, Script};
use traincheck_analyzer::call::Call;
use traincheck_analyzer::cause::{self, Causes};
use traincheck_analyzer::check::{Checked, StackEntry, Tally, Violation};
use traincheck_analyzer::invariants::{Evidence, FORMAT, Invariant, Invariants, Level, VERSION};
use traincheck_analyzer::precondition::Precondition;
use traincheck_analyzer::relation::claim::Claim;
use traincheck_analyzer::relation::sink::Why;
use traincheck_analyzer::relation::{contain, lead, moving};
use traincheck_analyzer::report::Report;
use traincheck_analyzer::situation::StageName;
use traincheck_schema::record::Role;

fn call(function: &str, role: Role) -> Call {
    Call { function: function.into(), role, object: None }
}

/// A function of the script that is called in every iteration.
fn contains(function: &str) -> Claim {
    let outcome = contain::claim::Outcome::Called { call: call(function, Role::User) };
    contain::claim::Claim { subject: contain::claim::Subject::Iteration, outcome }.into()
}

fn moves(name: &str) -> Claim {
    let subject = moving::claim::Subject::Variable { name: name.into() };
    moving::claim::Claim { subject, outcome: moving::claim::Outcome::Moves }.into()
}

fn clears() -> Claim {
    let outcome =
        contain::claim::Outcome::Called { call: call("torch.optim.sgd.SGD.zero_grad", Role::ZeroGrad) };
    contain::claim::Claim { subject: contain::claim::Subject::Iteration, outcome }.into()
}

fn violation(iteration: u32, why: Why) -> Violation {
    Violation {
        process: "host-1".into(),
        iteration,
        step: iteration,
        began: None,
        stage: StageName::Training,
        time: iteration.into(),
        stack: vec![StackEntry { call: None, file: None, line: None, function: None }],
        why,
        instead: Vec::new(),
        variables: Vec::new(),
        ranks: None,
    }
}

/// Titles or causes of the findings where these claims fail for the first time in these iterations, and how many
/// invariants each has.
fn found(failed: &[(Claim, Level, u32, Why)], causes: &Causes) -> Vec<(String, usize)> {
    let evidence = vec![Evidence { positive: 9, ..Evidence::default() }];
    let mut pairs: Vec<(Invariant, Tally)> = failed
        .iter()
        .map(|(claim, level, iteration, why)| {
            let mut tally = Tally::default();
            tally.violated = 1;
            tally.first = Some(violation(*iteration, *why));
            (Invariant::new(claim.clone(), Precondition::default(), *level, evidence.clone()), tally)
        })
        .collect();
    pairs.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    let (all, tallies): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let invariants = Invariants {
        format: FORMAT.into(),
        version: VERSION,
        runs: Vec::new(),
        excused: Vec::new(),
        invariants: all,
    };
    let checked = Checked { tallies, ..Checked::default() };
    let report = Report::judged("run".into(), &invariants, &checked, causes, None);
    let name = |cause: Option<&cause::Cause>, title: &str| cause.map_or(title.to_owned(), |c| c.id.clone());
    report.findings.iter().map(|f| (name(f.cause, &f.title), f.broken.len())).collect()
}

fn names(found: &[(String, usize)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

/// The causes that are built in and one that is a consequence of others: that `log` is not called.
fn with_a_consequence() -> Causes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    let row = "[[cause]]\nid = \"log-missing\"\ntitle = \"Nothing is logged\"\nadvice = \"Log.\"\n\
               consequence = true\nproof = [{ outcome.is = \"called\", outcome.call.function = \"*.log\" }]\n";
    fs::write(&path, row).unwrap();
    Causes::read(Some(&path)).unwrap()
}

#[test]
fn what_no_cause_explains_is_grouped_by_what_it_is_about() {
    use Level::{Alarm, Notice};
    let helper = lead::claim::Claim {
        subject: lead::claim::Subject::After { call: call("main.step", Role::User) },
        outcome: lead::claim::Outcome::Called { call: call("main.helper", Role::User) },
    };
    let failed = [
        (contains("main.helper"), Alarm, 4, Why::Nothing),
        (helper.into(), Notice, 2, Why::Nothing),
        (contains("main.other"), Notice, 2, Why::Nothing),
        (moves("Net.a.weight"), Alarm, 3, Why::Nothing),
        (moves("Net.b.weight"), Alarm, 3, Why::Nothing),
        (moves("Teacher.a.weight"), Alarm, 3, Why::Nothing),
    ];
    let found = found(&failed, cause::built_in());
    let counts: Vec<usize> = found.iter().map(|(_, count)| *count).collect();
    // Two variables of one model, one of another, one call that is missing in two places, another call.
    assert_eq!(counts, [2, 1, 2, 1], "{found:?}");
    assert!(found[2].0.contains("helper") && found[3].0.contains("other"), "{found:?}");
}

#[test]
fn known_causes_come_before_unknown_ones_and_consequences() {
    use Level::{Alarm, Notice};
    let causes = with_a_consequence();
    let failed = [
        (contains("main.log"), Alarm, 2, Why::Nothing),
        (contains("main.helper"), Alarm, 3, Why::Nothing),
        (clears(), Alarm, 7, Why::Nothing),
        (moves("Net.a.weight"), Alarm, 5, Why::RequiresNoGrad),
        (contains("main.first"), Notice, 1, Why::Nothing),
    ];
    let found = found(&failed, &causes);
    let helper = "`main.helper` is not called where it was in the reference runs";
    let first = "`main.first` is not called where it was in the reference runs";
    let order = ["frozen-parameters", "gradients-not-cleared", "log-missing", helper, first];
    assert_eq!(names(&found), order);
}

#[test]
fn of_two_in_one_iteration_the_one_with_more_behind_it_comes_first() {
    use Level::Alarm;
    let failed = [
        (clears(), Alarm, 3, Why::Nothing),
        (moves("Net.a.weight"), Alarm, 3, Why::RequiresNoGrad),
        (moves("Net.a.bias"), Alarm, 3, Why::RequiresNoGrad),
    ];
    let found = found(&failed, cause::built_in());
    assert_eq!(names(&found), ["frozen-parameters", "gradients-not-cleared"]);
    assert_eq!(found[0].1, 2);
}

#[test]
fn a_gradient_mode_that_is_not_set_says_what_to_try() {
    let entered = call("torch.autograd.grad_mode.no_grad.__enter__", Role::GradMode);
    let outcome = contain::claim::Outcome::Called { call: entered };
    let claim = contain::claim::Claim { subject: contain::claim::Subject::Iteration, outcome }.into();
    let found = found(&[(claim, Level::Alarm, 3, Why::Nothing)], cause::built_in());
    assert_eq!(names(&found), ["gradient-mode"]);
}

#[test]
fn a_notice_proves_no_cause_for_an_alarm() {
    use Level::{Alarm, Notice};
    let changes = contain::claim::Claim {
        subject: contain::claim::Subject::Update {
            call: call("torch.optim.sgd.SGD.step", Role::OptimizerStep),
        },
        outcome: contain::claim::Outcome::ParameterChanges,
    };
    // A step that changes nothing is a symptom of frozen parameters, where these are an alarm.
    let failed = |level| {
        [
            (changes.clone().into(), Alarm, 2, Why::Nothing),
            (moves("Net.a.weight"), level, 2, Why::RequiresNoGrad),
        ]
    };
    assert_eq!(names(&found(&failed(Alarm), cause::built_in())), ["frozen-parameters"]);
    let found = found(&failed(Notice), cause::built_in());
    assert_eq!(names(&found), ["step-changes-nothing", "frozen-parameters"]);
}

fn check(folder: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    traincheck(&[&["check", "bad", "-i", "invariants.json"][..], more].concat(), folder, "1")
}

#[test]
fn rows_of_ones_own_come_first_and_replace_those_that_are_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let of = |seed, error| Script { seed, error, ..Script::default() }.run().finish();
    let invariants = learn(&[of(1, Error::None), of(2, Error::None)]);
    invariants.write(&folder.path().join("invariants.json")).unwrap();
    write(&of(4, Error::NoZeroGrad), &folder.path().join("bad"), true);
    let row = |id: &str, pattern: &str| {
        format!(
            "[[cause]]\nid = \"{id}\"\ntitle = \"T\"\nadvice = \"A.\"\nlink = \"L\"\nproof = [{{ {pattern} }}]\n"
        )
    };
    let with = |text: String| {
        fs::write(folder.path().join("own.toml"), text).unwrap();
        check(folder.path(), &["--causes", "own.toml"])
    };
    assert!(check(folder.path(), &[]).1.contains("ALARM: Gradients are not cleared"));
    for id in ["mine", "gradients-not-cleared"] {
        let (code, stdout, stderr) = with(row(id, "outcome.call.role = \"zero_grad\""));
        assert_eq!((code, stderr.as_str()), (Some(1), ""));
        assert!(
            stdout.contains("ALARM: T.") && stdout.contains("Try: A.") && stdout.contains("See: L"),
            "{stdout}"
        );
        assert!(stdout.contains("Verdict: 1 alarm."), "{stdout}");
    }
    let (code, stdout, stderr) = with(row("mine", "outcome.is = \"calls\""));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("own.toml:1: cause `mine`: outcome: unknown variant `calls`"), "{stderr}");
    let (code, _, stderr) = check(folder.path(), &["--causes", "missing.toml"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("missing.toml"), "{stderr}");
}
