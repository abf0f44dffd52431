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

#[test]
fn where_they_come_and_clean_runs_raise_no_alarm() {
    for form in ["tensor", "dict", "tuple", "half", "double"] {
        let temporary = folder();
        let path = |file: &str| temporary.path().join(file);
        let form = ("FORM", form);
        record(&path("one"), "1", &[form]);
        record(&path("two"), "2", &[form]);
        let invariants = path("invariants.json");
        let mut command = traincheck();
        finish(command.arg("infer").arg(path("one")).arg(path("two")).arg("-o").arg(&invariants)).exited(0);
        for (number, (wrong, iteration)) in [
            // Neither sampled, nor a power of two.
            ([("WHERE", "root"), ("ZERO", "37")], 37),
            // Without gradients.
            ([("WHERE", "evaluation"), ("ZERO", "39")], 39),
            // What a layer gives back is looked at in sampled iterations.
            ([("WHERE", "layer"), ("ZERO", "30,31,32,33")], 32),
        ]
        .into_iter()
        .enumerate()
        {
            let run = path(&format!("wrong-{number}"));
            record(&run, "3", &[&wrong[..], &[form]].concat());
            let found = alarms(&invariants, &run);
            assert_eq!(found, [("data-lost".to_owned(), iteration)], "{form:?} {wrong:?}");
        }
        for (seed, rows) in [("4", "16"), ("5", "24")] {
            let run = path(&format!("good-{seed}"));
            record(&run, seed, &[form, ("ROWS", rows)]);
            assert_eq!(alarms(&invariants, &run), [], "{form:?} {seed}");
        }
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
