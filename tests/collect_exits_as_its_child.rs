//! `collect` stands aside: stdout and the exit code are the child's, signals reach it, and 125 means that it never ran.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;

use traincheck_tests::{Trace, agent, finish, folder, pipeline, python, spawn, traincheck};

#[test]
fn its_exit_code_and_stdout_are_the_childs() {
    let temporary = folder();
    for (code, expected, exit, says) in [
        ("print('out')", "out\n", 0, "ended with exit code 0"),
        ("print('out'); raise SystemExit(7)", "out\n", 7, "ended with exit code 7"),
        ("import os; os.kill(os.getpid(), 9)", "", 128 + 9, "was ended by signal 9 (SIGKILL)"),
        ("import os; os.abort()", "", 128 + 6, "was ended by signal 6 (SIGABRT)"),
    ] {
        let mut command = traincheck();
        command.arg("collect").arg("-o").arg(temporary.path().join("run")).arg("--");
        let finished = finish(command.arg(python()).args(["-c", code])).exited(exit);
        assert_eq!(finished.stdout, expected);
        let said = format!("traincheck: nothing was recorded: the command {says}, and no module");
        assert_eq!(finished.stderr.lines().filter(|line| line.starts_with(&said)).count(), 1);
    }
}

#[test]
fn it_says_where_the_run_is() {
    let temporary = folder();
    let run = temporary.path().join("deep/er/run");
    let mut command = traincheck();
    command.arg("collect").arg("-o").arg(&run).arg("--").arg(python());
    let finished = finish(command.arg(pipeline("mlp.py")).args(["--iterations", "5"])).exited(0);
    let said: Vec<_> = finished.stderr.lines().collect();
    assert_eq!(said, [format!("traincheck: recorded in {}", run.display())]);
    Trace::read(&run).only().assert_whole();
}

#[test]
fn it_leaves_no_folder_of_its_own_where_nothing_was_recorded() {
    let temporary = folder();
    fs::create_dir(temporary.path().join("there")).unwrap();
    for to in ["made/for/it", "there", "there/in/it"] {
        let mut command = traincheck();
        finish(command.current_dir(temporary.path()).args(["collect", "-o", to, "--", "true"])).exited(0);
        let entries = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(entries.eq(["there"]), "{to}");
        assert_eq!(fs::read_dir(temporary.path().join("there")).unwrap().count(), 0, "{to}");
    }
}

#[test]
fn it_says_that_the_folder_went_away() {
    let temporary = folder();
    for (does, says) in [("rmdir run", "removed"), ("rmdir run && touch run", "replaced")] {
        let mut command = traincheck();
        command.current_dir(temporary.path()).args(["collect", "-o", "run", "--", "sh", "-c", does]);
        let stderr = finish(&mut command).exited(0).stderr;
        let run = temporary.path().canonicalize().unwrap().join("run");
        let said = format!("traincheck: {} was {says} while the command ran", run.display());
        assert!(stderr.starts_with(&said) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn what_cannot_be_started_is_125() {
    let temporary = folder();
    let full = temporary.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("file"), "").unwrap();
    let collect = |arguments: &[&str]| {
        let mut command = traincheck();
        command.current_dir(temporary.path()).arg("collect").args(arguments);
        command
    };
    let stderr = finish(&mut collect(&["--", "no-such-command"])).exited(125).stderr;
    assert!(stderr.contains("no-such-command"), "{stderr}");
    let stderr = finish(&mut collect(&["-o", "full", "--", "true"])).exited(125).stderr;
    assert!(stderr.contains("full"), "{stderr}");
    let stderr = finish(collect(&["--", "true"]).env("TRAINCHECK_AGENT", "/no/agent")).exited(125).stderr;
    assert!(stderr.contains("/no/agent"), "{stderr}");

    // Nor is it run where nothing could be recorded.
    let stderr = finish(&mut collect(&["-o", "/proc/x/y", "--", "touch", "ran"])).exited(125).stderr;
    assert!(stderr.contains("/proc/x/y"), "{stderr}");
    let text = full.join("file");
    let stderr = finish(collect(&["--", "touch", "ran"]).env("TRAINCHECK_AGENT", &text)).exited(125).stderr;
    assert!(
        stderr.contains(text.to_str().expect("text")) && stderr.contains("no shared library"),
        "{stderr}"
    );
    assert!(!temporary.path().join("ran").exists());

    // Alone in a folder, the command has no agent beside it: it names all three places.
    let alone = temporary.path().join("bin/traincheck");
    fs::create_dir(alone.parent().unwrap()).unwrap();
    fs::copy(agent().with_file_name("traincheck"), &alone).unwrap();
    let mut command = std::process::Command::new(&alone);
    command.env_remove("TRAINCHECK_AGENT").args(["collect", "--", "true"]);
    let stderr = finish(&mut command).exited(125).stderr;
    for place in ["TRAINCHECK_AGENT", "bin/libtraincheck.so", "../lib/libtraincheck.so"] {
        assert!(stderr.contains(place), "{place} in {stderr}");
    }
    // With one in ../lib it starts.
    fs::create_dir(temporary.path().join("lib")).unwrap();
    symlink(agent(), temporary.path().join("lib/libtraincheck.so")).unwrap();
    let mut command = std::process::Command::new(&alone);
    command.env_remove("TRAINCHECK_AGENT").current_dir(temporary.path()).args(["collect", "--", "true"]);
    finish(&mut command).exited(0);
}

#[test]
fn usage_errors_are_2() {
    for arguments in [&["collect"][..], &["run"], &["run", "--"]] {
        let stderr = finish(traincheck().args(arguments)).exited(2).stderr;
        assert!(stderr.contains("the command comes behind `--`"), "{stderr}");
    }
    let stderr = finish(traincheck().args(["collect", "python", "train.py"])).exited(2).stderr;
    assert!(stderr.contains("put `--` before the command"), "{stderr}");
    finish(traincheck().arg("no-such-subcommand")).exited(2);
}

#[test]
fn a_signal_to_it_reaches_the_child() {
    let temporary = folder();
    let code = "import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
print('ready', flush=True)
time.sleep(60)";
    let mut command = traincheck();
    command
        .arg("collect")
        .arg("-o")
        .arg(temporary.path().join("run"))
        .arg("--")
        .arg(python())
        .args(["-c", code]);
    let mut child = spawn(&mut command);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // SAFETY: the child was not waited for, so its id is still its own.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
    // Without the signal it exits with 0 after a minute.
    assert_eq!(child.wait().unwrap().code(), Some(5));
}
