//! What PyTorch's flight recorder has of a job that hangs is what was recorded of it, and what a run has is written as PyTorch
//! reads it.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::Value;
use traincheck_tests::{finish, folder, preloaded, script, traincheck};

#[test]
fn of_a_job_whose_second_rank_has_left_the_loop() {
    let temporary = folder();
    let [run, dumps, written] = ["run", "dumps", "written"].map(|name| temporary.path().join(name));
    fs::create_dir(&dumps).expect("a folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
    let mut ranks = [0, 1].map(|rank| {
        let mut command = preloaded(&run);
        command.arg(script("flight_recorded.py")).arg(&dumps);
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2").env("TORCH_FR_BUFFER_SIZE", "100");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    });
    ranks.iter_mut().for_each(|rank| _ = rank.wait().expect("it ends"));

    let hang = |format: &str| {
        let mut command = traincheck();
        command.arg("hang").arg(&run).args(["--format", format, "--flight-recorder"]).arg(&dumps);
        let said = finish(command.arg("--write-flight-recorder").arg(&written));
        assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
        said.stdout
    };
    let text = hang("text");
    let json: Value = serde_json::from_str(&hang("json")).expect("JSON");
    let group = &json["hang"]["groups"][0];
    assert_eq!(group["verdict"]["is"], "missing", "{text}");
    assert_eq!(group["flight_recorder"]["says"], "same", "{text}");
    assert_eq!(group["flight_recorder"]["verdict"]["absent"], serde_json::json!([1]), "{text}");
    assert_eq!(group["flight_recorder"]["verdict"]["entered"][0]["kind"], "all_reduce", "{text}");

    // What was written is read as a dump, and says the same alone.
    let mut command = traincheck();
    let said = finish(command.args(["hang", "--flight-recorder"]).arg(&written));
    assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("rank 1 has not entered all_reduce number"), "{}", said.stdout);
}
