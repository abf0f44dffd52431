//! `traincheck run` records a program of which nothing was learned and says what is wrong with it, by the library alone.

use std::fs;

use traincheck_tests::{Finished, finish, folder, python, script, traincheck};

/// Runs `first_run.py` in a way; `traincheck run` prints its report behind what the script prints.
fn first_run(way: &str) -> Finished {
    let temporary = folder();
    let mut command = traincheck();
    command.arg("run").arg("-o").arg(temporary.path().join("run")).arg("--").arg(python());
    command.arg(script("first_run.py")).arg(way).env("OMP_NUM_THREADS", "1");
    finish(&mut command)
}

#[track_caller]
fn assert_alarm(way: &str, title: &str) {
    let report = first_run(way).exited(1).stdout;
    assert!(report.contains(&format!("ALARM: {title}")), "{way}: {report}");
}

#[test]
fn what_is_right_is_clean_and_says_how_much_was_tested() {
    for way in [
        "right",
        "set to none by hand",
        "zeroed by hand",
        "zeroed at once",
        "rate run out",
        "schedules in a row",
        "warm-up from zero",
        "a second optimizer",
        "a trained input",
        "copies of the model",
        "norm measured after the step",
        "attacked in evaluation mode",
        "lazy layers",
        "methods without self",
        "a closure beside another step",
        "a loss without weight yet",
    ] {
        let report = first_run(way).exited(0).stdout;
        assert!(report.contains("Verdict: clean."), "{way}: {report}");
        assert!(report.contains("of the library; nothing was learned of this program"), "{way}: {report}");
    }
}

#[test]
fn why_there_are_no_iterations_is_said() {
    let temporary = folder();
    let report = |code: &str, name: &str, exit_code| {
        let mut command = traincheck();
        command.arg("run").arg("-o").arg(temporary.path().join(name)).arg("--").arg(python());
        finish(command.args(["-c", code])).exited(exit_code).stdout
    };
    let head = "import torch\nw = torch.zeros(4, 1, requires_grad=True)\no = torch.optim.SGD([w], lr=0.1)\n";
    let pass = "(torch.randn(8, 4) @ w - 1).square().mean().backward()";
    let by_optimizer = format!("{head}for i in range(20): o.zero_grad(); {pass}; o.step()");
    // What is said of the steps of an optimizer needs none.
    let report_of_it = report(&by_optimizer, "by-optimizer", 0);
    assert!(report_of_it.contains("0 iterations (one begins with the call of a module"), "{report_of_it}");
    assert!(report_of_it.contains("Verdict: clean, as far as "), "{report_of_it}");
    let by_hand = format!("{head}for i in range(20): {pass}; w.data -= w.grad; w.grad = None");
    let report_of_it = report(&by_hand, "by-hand", 2);
    assert!(report_of_it.contains("No verdict: no call of a module"), "{report_of_it}");
}

#[test]
fn a_report_in_a_file_leaves_stdout_to_the_job() {
    let temporary = folder();
    let report = temporary.path().join("report.json");
    let run = |options: &[&str]| {
        let mut command = traincheck();
        command
            .arg("run")
            .arg("-o")
            .arg(temporary.path().join("run"))
            .arg("--report")
            .arg(&report)
            .args(options);
        command.arg("--").arg(python());
        finish(command.arg(script("first_run.py")).arg("stale optimizer"))
    };
    let finished = run(&["--format", "json"]).exited(1);
    let of_the_job = finished.stdout.lines().filter(|line| line.starts_with("epoch ")).count();
    assert_eq!(of_the_job, finished.stdout.lines().count(), "{}", finished.stdout);
    assert!(finished.stderr.contains("Verdict: 1 alarm."), "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["findings"][0]["cause"], "stale-optimizer");
}

#[test]
fn a_report_that_there_is_no_room_for_is_on_stderr() {
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = traincheck();
    command
        .arg("run")
        .arg("-o")
        .arg(&run)
        .args(["--report", "/dev/full", "--format", "json", "--"])
        .arg(python());
    let finished = finish(command.arg(script("first_run.py")).arg("stale optimizer")).exited(2);
    assert!(
        finished.stderr.contains("ALARM: ") && finished.stderr.contains("Verdict: 1 alarm."),
        "{}",
        finished.stderr
    );
    let again = format!("`traincheck check {}` makes it again", run.display());
    let last = finished.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("traincheck: /dev/full: cannot write the report") && last.contains(&again),
        "{last}"
    );
}

#[test]
fn where_nothing_trains_there_is_no_verdict() {
    let temporary = folder();
    let run = |code: &str| {
        let mut command = traincheck();
        command.current_dir(temporary.path()).args(["run", "--"]).arg(python()).args(["-c", code]);
        finish(&mut command).exited(2)
    };
    let finished = run("import torch; torch.ones(2) @ torch.ones(2)");
    assert!(
        finished.stderr.contains(
            "nothing was recorded: the command ended with exit code 0, and no module (torch.nn.Module)"
        ),
        "{}",
        finished.stderr
    );
    let finished = run("import torch; torch.nn.Linear(2, 2)(torch.ones(1, 2))");
    assert!(finished.stdout.contains("No verdict: no backward pass was seen"), "{}", finished.stdout);
}

#[test]
fn tensors_that_are_trained_by_hand_are_said_to_be_no_case_for_it() {
    let code = "import torch\nw = torch.zeros(4, 1, requires_grad=True)\nfor i in range(20):\n    \
                (torch.randn(8, 4) @ w - 1).square().mean().backward()\n    w.data -= w.grad\n    w.grad = None";
    let temporary = folder();
    let file = temporary.path().join("report");
    let run = |format: &str| {
        let mut command = traincheck();
        command.current_dir(temporary.path()).args(["run", "--format", format, "--report"]).arg(&file);
        let finished = finish(command.arg("--").arg(python()).args(["-c", code])).exited(2);
        let says = "no module (torch.nn.Module) was called with gradients and no optimizer was constructed";
        assert_eq!(finished.stderr.matches(says).count(), 1, "{}", finished.stderr);
        assert!(!finished.stderr.contains("trained"), "{}", finished.stderr);
        fs::read_to_string(&file).expect("a report")
    };
    let report = run("text");
    assert!(report.contains("No verdict: no module (torch.nn.Module) was called"), "{report}");
    assert!(report.contains("what trains tensors by hand cannot be judged"), "{report}");
    let report: serde_json::Value = serde_json::from_str(&run("json")).expect("JSON");
    let why = report["why_no_verdict"].as_str().unwrap_or_default();
    assert!(
        report["verdict"] == "no_verdict" && why.starts_with("no module (torch.nn.Module) was called"),
        "{report:#}"
    );
    assert_eq!(report["run"]["ended"]["exit_code"], 0);
}

#[test]
fn gradients_that_nothing_clears() {
    assert_alarm("never cleared", "Gradients are not cleared");
}

#[test]
fn gradients_of_another_model_that_are_cleared() {
    assert_alarm("another model's cleared", "Gradients are not cleared");
    assert_alarm("another optimizer's cleared", "Gradients are not cleared");
}

#[test]
fn an_optimizer_of_a_model_that_was_replaced() {
    assert_alarm("stale optimizer", "The optimizer holds the parameters of a model that does not run");
}

#[test]
fn a_learning_rate_of_zero() {
    assert_alarm("rate of zero", "The learning rate is exactly zero");
}

#[test]
fn updates_that_are_written_to_a_copy() {
    assert_alarm("updates lost", "Parameters with gradients never change");
}

#[test]
fn a_scheduler_that_never_steps() {
    assert_alarm("idle scheduler", "A learning-rate scheduler was constructed and does not step");
}

#[test]
fn clipping_after_the_step() {
    assert_alarm("clipped after the step", "Gradients are clipped after the step that has used them");
}

#[test]
fn training_in_evaluation_mode() {
    assert_alarm("trained in evaluation mode", "The model is trained in evaluation mode");
}
