//! A network that gives back nothing but zeros in one call raises an alarm there, by two good runs, whatever it gives them back in.

use serde_json::Value;
use std::path::Path;
use traincheck_schema::record::{Argument, Direction, Role, tensor};
use traincheck_tests::{ProcessTrace, Trace, finish, folder, preloaded, script, traincheck};

/// Variables of the environment.
type Variables<'a> = &'a [(&'a str, &'a str)];

fn record(run: &Path, seed: &str, variables: Variables<'_>) {
    let mut command = preloaded(run);
    command.env("SEED", seed).envs(variables.iter().copied()).arg(script("zeros_once.py"));
    finish(&mut command).exited(0);
}

/// Cause and first iteration of each alarm.
fn alarms(invariants: &Path, run: &Path) -> Vec<(String, u64)> {
    let mut command = traincheck();
    command.arg("check").arg("-i").arg(invariants).args(["--format", "json"]).arg(run);
    let report: Value = serde_json::from_str(&finish(&mut command).stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings").iter();
    let alarms = findings.filter(|finding| finding["level"] == "alarm");
    let of = |finding: &Value| {
        let cause = finding["cause"].as_str().unwrap_or_default().to_owned();
        (cause, finding["first"]["iteration"].as_u64().expect("an iteration"))
    };
    alarms.map(of).collect()
}

/// Learns from two good runs, and checks runs with zeros, each with the iteration in which they are found, and good ones with
/// these seeds and rows.
fn judged(form: &str, wrong: &[(&str, &str, u64)], good: &[(&str, &str)]) {
    let temporary = folder();
    let path = |file: &str| temporary.path().join(file);
    let form = ("FORM", form);
    record(&path("one"), "1", &[form]);
    record(&path("two"), "2", &[form]);
    let invariants = path("invariants.json");
    let mut command = traincheck();
    finish(command.arg("infer").arg(path("one")).arg(path("two")).arg("-o").arg(&invariants)).exited(0);
    for &(place, zero, iteration) in wrong {
        let run = path(&format!("wrong-{place}"));
        record(&run, "3", &[form, ("WHERE", place), ("ZERO", zero)]);
        let expected = [("data-lost".to_owned(), iteration)];
        assert_eq!(alarms(&invariants, &run), expected, "{form:?}: {place} {zero}");
    }
    for (seed, rows) in good {
        let run = path(&format!("good-{seed}"));
        record(&run, seed, &[form, ("ROWS", rows)]);
        assert_eq!(alarms(&invariants, &run), [], "{form:?}: {seed}");
    }
}

#[test]
fn where_they_come_and_clean_runs_raise_no_alarm() {
    let wrong = [
        // Neither sampled, nor a power of two.
        ("root", "37", 37),
        // Without gradients.
        ("evaluation", "39", 39),
        // What a layer gives back is looked at in sampled iterations.
        ("layer", "30,31,32,33", 32),
    ];
    judged("tensor", &wrong, &[("4", "16"), ("5", "24")]);
}

#[test]
fn in_containers_and_in_other_types() {
    for form in ["dict", "tuple", "half", "double"] {
        judged(form, &[("root", "37", 37)], &[("4", "16")]);
    }
}

/// What calls of the module gave back, in the iterations in which they are looked at.
fn results<'a>(trace: &'a ProcessTrace, function: &str) -> Vec<&'a Argument> {
    let is_result = |argument: &&Argument| {
        argument.direction == Direction::Result as u8
            && trace.role(argument.function) == Some(Role::ModuleCall)
            && trace.name(argument.function) == function
    };
    trace.arguments.iter().filter(is_result).collect()
}

#[test]
fn the_largest_magnitude_is_recorded_in_every_iteration_of_the_outermost_module_alone() {
    let temporary = folder();
    record(temporary.path(), "1", &[("ZERO", "37")]);
    let trace = Trace::read(temporary.path()).only();
    let roots = results(&trace, "__main__.Net.__call__");
    assert_eq!(roots.len(), 60 + 20);
    let is_known = |result: &&Argument| result.flags & tensor::LARGEST_KNOWN != 0;
    assert!(roots.iter().all(|result| is_known(result) && result.flags & tensor::NOT_FINITE == 0));
    let zero = roots.iter().filter(|result| result.largest == 0.0);
    assert_eq!(zero.map(|result| result.iteration).collect::<Vec<_>>(), [37]);
    let layers = results(&trace, "torch.nn.modules.linear.Linear.__call__");
    assert!(layers.len() < 40 && layers.iter().all(is_known), "{}", layers.len());
}
