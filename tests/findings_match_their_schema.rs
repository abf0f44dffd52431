//! What `check --format json` prints is what `docs/findings-schema.json` promises.

use std::fs;
use std::path::Path;

use serde_json::Value;
use traincheck_tests::{finish, folder, pipeline, preloaded, repository, traincheck};

fn record(run: &Path, arguments: &[&str]) {
    finish(preloaded(run).arg(pipeline("digits.py")).args(["--epochs", "3"]).args(arguments)).exited(0);
}

#[test]
fn clean_and_caught() {
    let schema = fs::read_to_string(repository().join("docs/findings-schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("a schema in JSON");
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");

    let temporary = folder();
    let at = |name: &str| temporary.path().join(name);
    record(&at("good"), &["--seed", "1"]);
    record(&at("bad"), &["--seed", "2", "--bug", "no-zero-grad"]);
    finish(traincheck().arg("infer").arg(at("good")).arg("-o").arg(at("invariants.json"))).exited(0);

    for (run, code, findings) in [("good", 0, false), ("bad", 1, true)] {
        let mut command = traincheck();
        command.arg("check").arg(at(run)).arg("-i").arg(at("invariants.json")).args(["--format", "json"]);
        let report: Value = serde_json::from_str(&finish(&mut command).exited(code).stdout).expect("JSON");
        let errors: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{run}: {errors:#?}\n{report:#}");
        let found = report["findings"].as_array().expect("a list of findings");
        assert_eq!(!found.is_empty(), findings, "{report:#}");
    }
    // A schema that allows anything would prove nothing.
    assert!(!validator.is_valid(&serde_json::json!({})));
    assert!(!validator.is_valid(&serde_json::json!({ "findings": "none" })));
}
