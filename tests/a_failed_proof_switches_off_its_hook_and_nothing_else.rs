//! What does not prove to be what the agent believes is not used: that hook is off, the others and the training go on.

use std::collections::BTreeMap;

use serde_json::Value;
use traincheck_tests::{finish, pipeline, plain, python, script, traincheck};

/// The losses and the weights.
fn results(output: &str) -> Vec<&str> {
    let results = |line: &&str| line.starts_with("loss ") || line.starts_with("weights ");
    output.lines().filter(results).collect()
}

#[test]
fn proofs_that_fail_one_by_one() {
    let arguments = ["--iterations", "5"];
    let undisturbed = finish(plain().arg(pipeline("mlp.py")).args(arguments)).exited(0).stdout;
    assert_eq!(results(&undisturbed).len(), 6);

    let cases: [(&str, &[(&str, &str)]); 2] = [
        (
            "variables,modes",
            &[
                ("variables", "the gradient of a known parameter is not found"),
                ("modes", "known modes are not read correctly"),
                ("initialisation", "tensors cannot be read"),
            ],
        ),
        (
            "ops,user scopes",
            &[
                ("ops", "known ops were not seen by their names"),
                ("user scopes", "a known user scope was not seen by its name"),
                ("autograd nodes", "known ops were not seen by their names"),
            ],
        ),
    ];
    for (broken, reasons) in cases {
        let mut command = traincheck();
        command.args(["doctor", "--json", "--"]).arg(python()).arg(pipeline("mlp.py")).args(arguments);
        command.env("PYTHONPATH", script("broken")).env("TRAINCHECK_TEST_BREAK", broken);
        let finished = finish(&mut command).exited(2);
        assert_eq!(results(&finished.stderr), results(&undisturbed), "with broken {broken}");

        let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let off = report["hooks"].as_array().expect("hooks").iter().filter(|hook| hook["state"] == "off");
        let off: BTreeMap<_, _> =
            off.map(|hook| (hook["name"].as_str().unwrap(), hook["why"].as_str().unwrap())).collect();
        assert_eq!(off, reasons.iter().copied().collect(), "with broken {broken}");
        // What is on goes on.
        assert!(report["recorded"]["calls"].as_u64() > Some(0), "{report:#}");
        let seen = |what: &str| report["recorded"][what].as_u64().expect("a count");
        // Streams of random numbers are variables too, but no tensors. Of parameters the model alone has six.
        assert_eq!(seen("variables") >= 6, broken != "variables,modes", "{report:#}");
        assert_eq!(seen("ops") > 0, broken != "ops,user scopes", "{report:#}");
    }
}
