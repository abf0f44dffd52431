//! `traincheck stragglers` says which rank of a job the others wait for.

use std::fs;

use serde_json::{Value, json};
use traincheck_tests::{finish, folder, preloaded, script, traincheck};

#[test]
fn in_a_job_of_which_one_rank_becomes_slow() {
    let temporary = folder();
    let run = temporary.path().join("slow");
    let mut command = preloaded(&run);
    command.args(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]);
    command.arg(script("slow.py"));
    // However it ends: it is what comes before that is judged.
    finish(&mut command);
    let json = finish(traincheck().args(["stragglers", "--format", "json"]).arg(&run));
    assert_eq!(json.status.code(), Some(0), "{}", json.stderr);
    let found: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let first = &found["stragglers"]["ranks"][0];
    assert_eq!(first["rank"], 1, "{}", json.stdout);
    assert!(first["group_score"].as_f64() < found["stragglers"]["ranks"][1]["group_score"].as_f64());
    assert_eq!(found["stragglers"]["hosts"], 1);
    // It sleeps at the beginning of an iteration: what comes before that is the step of the last one.
    let stretches = first["slow"].as_array().expect("stretches");
    let spent = &stretches.last().expect("a stretch")["spent"][0];
    assert_eq!((&spent["call"]["call"], &spent["after"]), (&json!("torch.optim.sgd.SGD.step"), &json!(true)));
    let source = fs::read_to_string(script("slow.py")).expect("the script");
    let step = source.lines().position(|line| line.contains("optimizer.step()")).expect("a step");
    assert_eq!(spent["call"]["line"], step + 1, "{spent}");
    let text = finish(traincheck().arg("stragglers").arg(&run));
    assert!(text.stdout.contains("slow in iterations "), "{}", text.stdout);
}

#[test]
fn what_has_no_ranks_has_no_stragglers() {
    let temporary = folder();
    let run = temporary.path().join("alone");
    let mut command = preloaded(&run);
    command.args(["-c", "import torch; torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)"]);
    finish(&mut command).exited(0);
    let said = finish(traincheck().arg("stragglers").arg(&run));
    assert_eq!(said.status.code(), Some(2));
    assert!(said.stderr.contains("fewer than two processes of this run have a rank"), "{}", said.stderr);
}
