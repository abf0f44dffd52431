//! Where a job hangs, or fails of a collective that is not the same on all ranks, `traincheck hang` names the rank that the
//! others wait for, the collective, and where each rank is: also of a job that was killed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use traincheck_tests::{finish, folder, preloaded, script, traincheck};

/// A job that hangs is left to itself for so long.
const HANGS_FOR: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(120);

/// Starts both ranks of `waits.py`.
fn ranks(run: &Path, mode: &str) -> [Child; 2] {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
    [0, 1].map(|rank| {
        let mut command = preloaded(run);
        command.arg(script("waits.py")).arg(mode);
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    })
}

/// `S`, `T`, ...: the state of the process.
fn state(child: &Child) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until one rank is no longer at work, gives the other time to wait for it, and kills both.
fn until_it_hangs(ranks: &mut [Child; 2]) {
    let begun = Instant::now();
    let is_gone = |child: &mut Child| {
        state(child).is_none_or(|state| state == 'T') || child.try_wait().expect("its status").is_some()
    };
    while !ranks.iter_mut().any(is_gone) {
        assert!(begun.elapsed() < LONGEST, "nothing happens");
        sleep(Duration::from_millis(100));
    }
    sleep(HANGS_FOR);
    kill(ranks);
}

fn kill(ranks: &mut [Child; 2]) {
    for child in ranks {
        let _ = child.kill();
        child.wait().expect("it ends");
    }
}

/// What `traincheck hang` says: as text, and its JSON.
fn hang(run: &Path) -> (String, Value) {
    let said = finish(traincheck().arg("hang").arg(run));
    let json = finish(traincheck().args(["hang", "--format", "json"]).arg(run));
    assert_eq!(
        (said.status.code(), json.status.code()),
        (Some(1), Some(1)),
        "{}{}",
        said.stdout,
        said.stderr
    );
    (said.stdout, serde_json::from_str(&json.stdout).expect("JSON"))
}

fn verdict(json: &Value) -> &Value {
    &json["hang"]["groups"][0]["verdict"]
}

#[test]
fn a_rank_that_is_stopped_or_killed_or_has_left_the_loop() {
    for mode in ["stopped", "killed", "left"] {
        let temporary = folder();
        let run = temporary.path().join(mode);
        until_it_hangs(&mut ranks(&run, mode));
        let (text, json) = hang(&run);
        assert_eq!(verdict(&json)["is"], "missing", "{text}");
        assert_eq!(verdict(&json)["absent"], serde_json::json!([1]), "{text}");
        let entered = &verdict(&json)["entered"][0];
        assert_eq!(entered["rank"], 0, "{text}");
        assert_eq!(entered["kind"], "all_reduce", "{text}");
        assert_eq!(entered["iteration"], 8, "{text}");
        assert!(text.contains("rank 1 has not entered all_reduce number"), "{text}");
        assert!(text.contains("waits.py:23 in train_step: Tensor.backward"), "{text}");
        let ends = |rank: usize| &json["hang"]["ranks"][rank];
        assert_eq!(ends(1)["iteration"], 7, "{text}");
        assert_eq!(ends(1)["torn"].is_null(), mode == "left", "{text}");
        if mode != "left" {
            // It was in `depart`, and had come from the step of the iteration before.
            let stack = ends(1)["stack"].as_array().expect("a stack");
            assert!(
                stack.iter().any(|entry| entry["call"] == "__main__.depart" && entry["line"] == 49),
                "{text}"
            );
        }
    }
}

#[test]
fn ranks_that_do_not_do_the_same() {
    let temporary = folder();
    let run = temporary.path().join("mismatch");
    until_it_hangs(&mut ranks(&run, "mismatch"));
    let (text, json) = hang(&run);
    assert_eq!(verdict(&json)["is"], "mismatch", "{text}");
    assert_eq!(verdict(&json)["differ_in"], "size", "{text}");
    let entered = verdict(&json)["entered"].as_array().expect("who entered what");
    let elements: Vec<&Value> = entered.iter().map(|one| &one["elements"]).collect();
    assert_eq!(elements, [6, 5], "{text}");
    assert!(text.contains("is of another size on some ranks than on others"), "{text}");
    assert!(
        text.contains("waits.py:16 in average: distributed_c10d.all_reduce"),
        "the line that calls it: {text}"
    );
}

#[test]
fn a_rank_that_waits_for_a_message_meanwhile() {
    let temporary = folder();
    let run = temporary.path().join("received");
    let mut both = ranks(&run, "received");
    let begun = Instant::now();
    // Both wait, for something else each: their recordings have ended long before.
    while fs::read_dir(&run).map_or(0, |entries| entries.count()) < 4 {
        assert!(begun.elapsed() < LONGEST, "nothing happens");
        sleep(Duration::from_millis(100));
    }
    sleep(HANGS_FOR + HANGS_FOR);
    kill(&mut both);
    let (text, json) = hang(&run);
    assert_eq!(verdict(&json)["is"], "missing", "{text}");
    assert_eq!(verdict(&json)["absent"], serde_json::json!([1]), "{text}");
    assert_eq!(verdict(&json)["elsewhere"][0]["kind"], "recv", "{text}");
    assert!(text.contains("recv number 1 (float32, 3 elements, from rank 0 of the group)"), "{text}");
}

#[test]
fn what_has_no_ranks_has_no_verdict() {
    let temporary = folder();
    let run = temporary.path().join("alone");
    let mut command = preloaded(&run);
    command.args(["-c", "import torch; torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)"]);
    finish(&mut command).exited(0);
    let said = finish(traincheck().arg("hang").arg(&run));
    assert_eq!(said.status.code(), Some(2));
    assert!(said.stderr.contains("no process of this run has a rank"), "{}", said.stderr);
}
