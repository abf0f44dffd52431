//! `LD_PRELOAD` is all it takes: the run appears under `./traincheck-runs`, readable by its owner only, and the
//! script's own output is untouched. Nothing is sent anywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use traincheck_tests::{Trace, agent, finish, folder, pipeline, plain, preloaded, script};

#[test]
fn without_any_other_setting() {
    let temporary = folder();
    let arguments = ["--iterations", "30"];
    let expected = finish(plain().arg(pipeline("mlp.py")).args(arguments)).exited(0);

    let mut command = plain();
    command.env("LD_PRELOAD", agent()).current_dir(temporary.path()).arg(pipeline("mlp.py")).args(arguments);
    let found = finish(&mut command).exited(0);
    assert_eq!(found.stdout, expected.stdout);
    assert_eq!(found.stderr, expected.stderr);

    let runs = temporary.path().join("traincheck-runs");
    let made: Vec<_> =
        fs::read_dir(&runs).expect("a folder of runs").map(|run| run.unwrap().path()).collect();
    let [run] = made.as_slice() else { panic!("runs: {made:?}") };
    let process = Trace::read(run).only();
    process.assert_whole();
    assert_eq!((process.iterations(), process.steps()), (30, 30));

    assert_eq!(mode(run), 0o700);
    for file in fs::read_dir(run).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert_ne!(file.extension().unwrap_or_default(), "ring", "left behind: {}", file.display());
    }
}

#[test]
fn without_a_network() {
    let temporary = folder();
    let library = temporary.path().join("no_network.so");
    let source = script("no_network.c");
    let mut compiler = Command::new("cc");
    finish(compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source)).exited(0);
    let run = temporary.path().join("run");
    let mut command = preloaded(&run);
    command.env("LD_PRELOAD", format!("{}:{}", library.display(), agent().display()));
    finish(command.arg(pipeline("mlp.py")).args(["--iterations", "30"])).exited(0);
    Trace::read(&run).only().assert_whole();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
