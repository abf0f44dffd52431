//! `traincheck doctor` says of each hook whether it is on, and exits with 2 if one that is needed is not.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use traincheck_tests::{
    agent, finish, folder, left_out_by_this_machine, pipeline, python, script, traincheck,
};

/// The report with what differs between machines and versions replaced, and without its columns, which depend on what
/// is listed.
fn steady(report: &str) -> String {
    let line = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        for word in &mut words {
            let number = word.trim_end_matches(',');
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
                *word = if word.ends_with(',') { "N," } else { "N" };
            }
        }
        let line = words.join(" ");
        match line.split_once(' ').map_or("", |(title, _)| title) {
            title @ ("agent" | "python" | "torch" | "program" | "cost") if !line.contains(" on ") => {
                format!("{title} ...\n")
            }
            _ => line + "\n",
        }
    };
    report.lines().map(line).collect()
}

#[test]
fn a_python_with_pytorch_has_every_hook_on_and_seen_working() {
    let temporary = folder();
    let mut command = traincheck();
    command.arg("doctor").arg("--python").arg(python()).current_dir(temporary.path());
    let finished = finish(command.env("TMPDIR", temporary.path())).exited(0);
    assert_eq!(finished.stderr, "");
    let how = if finished.stdout.contains("\npython     3.11.") {
        "PEP N, CPython's frame evaluator"
    } else {
        "sys.monitoring"
    };
    let expected = "agent ...
python ...
torch ...

python calls on HOW; N calls of N functions
variables on fields of TensorImpl; N looks at N variables
modes on getters of libtorch; training told from evaluation
user scopes on callbacks of RecordFunction; N calls of N scopes
ops on callbacks of RecordFunction; N calls of N ops
autograd nodes on callbacks of RecordFunction; N calls of N nodes
loader workers on not recorded: the hooks are removed in them; N process recorded

everything that can be hooked is hooked
"
    .replace("HOW", how);
    let report = steady(&finished.stdout);
    // Further hooks may be listed after these.
    let further = |line: &&str| line.contains(" on ") && !expected.contains(*line);
    let report: Vec<&str> = report.lines().filter(|line| !further(line)).collect();
    assert_eq!(report.join("\n") + "\n", expected);
    let columns = finished.stdout.lines().filter_map(|line| line.find("  on   "));
    assert_eq!(columns.collect::<HashSet<_>>().len(), 1, "{}", finished.stdout);
    assert_eq!(temporary.path().read_dir().expect("the folder").count(), 0, "nothing is left behind");
}

#[test]
fn a_program_is_tried_and_what_it_prints_does_not_mix_with_the_report() {
    let mut command = traincheck();
    command.args(["doctor", "--"]).arg(python()).arg(pipeline("mlp.py"));
    let finished = finish(command.args(["--iterations", "5"])).exited(0);
    assert!(finished.stderr.contains("loss "), "{}", finished.stderr);
    let report = steady(&finished.stdout);
    for line in [
        "ended with exit status N\n",
        "\nvariables on fields of TensorImpl; N looks at N variables\n",
        "\nrecorded N iterations, N steps, N calls, N variables, N ops\n",
        "\nthinned nothing\n",
        "\nlost nothing\n",
        "\ncost ...\n",
    ] {
        assert!(report.contains(line), "{line} is not in\n{report}");
    }
    assert!(finished.stdout.contains("recorded   5 iterations, 5 steps, "), "{}", finished.stdout);
}

#[test]
fn how_the_program_ends_is_in_the_report_and_not_in_the_exit_code() {
    let doctor = |code: &str| {
        let mut command = traincheck();
        command.args(["doctor", "--json", "--"]).arg(python()).args(["-c", code]);
        command
    };
    let json = |stdout: &str| serde_json::from_str::<Value>(stdout).expect("JSON and nothing else");

    let report =
        json(&finish(&mut doctor("import torch; print('out'); raise SystemExit(7)")).exited(0).stdout);
    assert_eq!(report["program"]["exit_code"], 7);
    assert_eq!(report["program"]["processes"], 1);
    assert_eq!(report["problems"], Value::Array(Vec::new()));
    assert_eq!(report["recorded"], Value::Null);
    assert_eq!(
        (&report["hooks"][0]["name"], &report["hooks"][0]["state"]),
        (&"python calls".into(), &"on".into())
    );

    let report = json(&finish(&mut doctor("import os; os.kill(os.getpid(), 9)")).exited(2).stdout);
    assert_eq!(report["program"]["exit_code"], 137);
    assert_eq!(report["problems"], serde_json::json!(["PyTorch was not imported"]));

    let mut command = traincheck();
    let report = finish(command.args(["doctor", "--json", "--", "true"])).exited(2).stdout;
    assert!(json(&report)["problems"][0].as_str().expect("a text").starts_with("no CPython was found"));

    let mut command = traincheck();
    let stderr = finish(command.args(["doctor", "--", "no-such-command"])).exited(2).stderr;
    assert!(stderr.contains("no-such-command"), "{stderr}");
}

#[test]
fn what_is_missing_is_named() {
    let doctor = |arguments: &[&str]| {
        let mut command = traincheck();
        command.arg("doctor").args(arguments);
        command
    };
    let nowhere = finish(doctor(&[]).env("PATH", "/nowhere")).exited(2);
    assert!(nowhere.stdout.contains("\n  python: no python3 on the PATH;"), "{}", nowhere.stdout);
    let none = finish(&mut doctor(&["--python", "/no/python"])).exited(2);
    assert!(none.stdout.contains("\n  python: cannot start /no/python"), "{}", none.stdout);
    let other = finish(&mut doctor(&["--python", "/bin/echo"])).exited(2);
    assert!(other.stdout.contains("\n  python: /bin/echo is not a Python interpreter\n"), "{}", other.stdout);

    let no_agent = finish(doctor(&["--", "true"]).env("TRAINCHECK_AGENT", "/no/agent")).exited(2);
    assert!(no_agent.stdout.starts_with("agent      not found\n"), "{}", no_agent.stdout);
    assert!(
        no_agent.stdout.contains("\n  agent: TRAINCHECK_AGENT names no file: /no/agent"),
        "{}",
        no_agent.stdout
    );

    let help = finish(&mut doctor(&["--help"])).exited(0).stdout;
    for text in
        ["--python <PATH>", "--json", "[CMD]", "Exits with 0 if everything that can be hooked is hooked"]
    {
        assert!(help.contains(text), "{text} is not in\n{help}");
    }
}

/// The interpreter of this version that pyenv has.
fn pyenv(version: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")))?;
    let mut found = root.join("versions").read_dir().ok()?.flatten().map(|entry| entry.path());
    let found =
        found.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(version)));
    Some(found?.join("bin/python"))
}

/// Imports a stand-in for PyTorch, and runs on.
const IMPORT: &str = "import sys
sys.path.insert(0, sys.argv[1])
import torch
print(torch.__version__)
sys.exit(5)";

#[test]
fn interpreters_that_are_too_old_are_left_alone_and_told_so() {
    for version in ["2.7.", "3.6.", "3.7.", "3.8.", "3.9.", "3.10."] {
        let Some(old) = pyenv(version) else {
            let what = format!("CPython {version}x, too old to be recorded");
            left_out_by_this_machine(&what, "pyenv has none, and systems of today have no package of it");
            continue;
        };
        let mut command = traincheck();
        let finished = finish(command.arg("doctor").arg("--python").arg(&old)).exited(2);
        let reason = format!("CPython {version}");
        let off = finished.stdout.lines().find(|line| line.starts_with("python calls ")).unwrap_or("");
        assert!(
            off.contains(&reason) && off.ends_with("is too old; it needs 3.11 or newer"),
            "{}",
            finished.stdout
        );
        assert!(finished.stdout.contains("\n  torch: this Python has no PyTorch\n"), "{}", finished.stdout);

        // What runs in them does not notice.
        let mut command = traincheck();
        command.args(["doctor", "--json", "--"]).arg(&old).args(["-c", IMPORT]);
        let finished = finish(command.arg(script("stub")).env("PYTHONDONTWRITEBYTECODE", "1")).exited(2);
        assert_eq!(finished.stderr, "0.0\n");
        let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        assert_eq!(report["program"]["exit_code"], 5);
        let problems = report["problems"].as_array().expect("problems");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].as_str().expect("a text").starts_with("python calls: CPython"), "{problems:?}");
    }
}

#[test]
fn free_threaded_builds_are_left_alone_and_told_so() {
    let temporary = folder();
    let program = temporary.path().join("python");
    let mut compiler = std::process::Command::new("cc");
    compiler.args(["-rdynamic", "-o"]).arg(&program).arg(script("free_threaded.c"));
    finish(&mut compiler).exited(0);

    let mut command = traincheck();
    let finished = finish(command.args(["doctor", "--json", "--"]).arg(&program)).exited(2);
    assert_eq!(finished.stderr, "on\n", "nothing is asked of it");
    let report: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(report["program"]["exit_code"], 5);
    let problems = report["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let why = "python calls: CPython 3.15.0 is a free-threaded build; ";
    assert!(problems[0].as_str().expect("a text").starts_with(why), "{problems:?}");
}

#[test]
fn subinterpreters_are_left_alone_and_told_so() {
    let temporary = folder();
    let stub = script("stub");
    let code = format!(
        "try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
inner = interpreters.create()
interpreters.run_string(inner, '''
import sys
sys.path.insert(0, {stub:?})
import torch
print(torch.__version__, flush=True)
''')
interpreters.destroy(inner)
print('on')"
    );
    let mut command = std::process::Command::new(python());
    command.args(["-c", &code]).env("LD_PRELOAD", agent()).env("TRAINCHECK_DOCTOR", temporary.path());
    let finished = finish(&mut command).exited(0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("0.0\non\n", ""));
    let report = temporary.path().read_dir().expect("a folder").next().expect("a report").expect("a file");
    let report: Value =
        serde_json::from_slice(&std::fs::read(report.path()).expect("a report")).expect("JSON");
    assert_eq!(report["progress"], "waiting", "for the main interpreter");
    let hook = &report["hooks"][0];
    assert_eq!((&hook["name"], &hook["on"]), (&"subinterpreters".into(), &false.into()));
}
