//! Recording changes nothing: every loss, every gradient, every bit of the weights and the states of all random
//! number generators are what they are without the agent.

use std::path::PathBuf;

use traincheck_tests::{Trace, finish, folder, pipeline, plain, preloaded, script};

/// Runs `program` plainly, then in both profiles, and compares all that was printed. PyTorch computes on two threads.
fn same(program: PathBuf, arguments: &[&str]) {
    same_in(&["training", "full"], program, arguments);
}

/// As [`same`], in these profiles.
fn same_in(profiles: &[&str], program: PathBuf, arguments: &[&str]) {
    let expected = finish(plain().env("OMP_NUM_THREADS", "2").arg(&program).args(arguments)).exited(0).stdout;
    assert!(expected.lines().count() > 5, "too little to compare: {expected}");
    for profile in profiles {
        let temporary = folder();
        let run = temporary.path().join("run");
        let mut command = preloaded(&run);
        command.env("TRAINCHECK_PROFILE", profile).env("OMP_NUM_THREADS", "2").arg(&program).args(arguments);
        let found = finish(&mut command).exited(0).stdout;
        // Without a trace the comparison would prove nothing.
        assert!(Trace::read(&run).only().steps() > 0, "nothing was recorded in profile {profile}");
        assert!(found == expected, "profile {profile}\n--- without\n{expected}\n--- with\n{found}");
    }
}

#[test]
fn digits() {
    same(pipeline("digits.py"), &["--epochs", "2", "--seed", "5"]);
}

#[test]
fn mlp() {
    same(pipeline("mlp.py"), &["--iterations", "200"]);
}

#[test]
fn transformer() {
    same(pipeline("transformer.py"), &["--iterations", "8", "--batch-size", "4"]);
}

#[test]
fn language_model() {
    same(pipeline("rnn.py"), &["--epochs", "2", "--steps", "10", "--seed", "1"]);
}

#[test]
fn adversaries() {
    same(pipeline("gan.py"), &["--epochs", "2", "--steps", "10", "--seed", "2"]);
}

#[test]
fn trainer_of_transformers() {
    same_in(&["training"], pipeline("hf_trainer.py"), &["--steps", "25", "--seed", "3"]);
}

#[test]
#[ignore = "transformers is slow to import; scripts/test --quick leaves it out"]
fn trainer_of_transformers_in_full() {
    same_in(&["full"], pipeline("hf_trainer.py"), &["--steps", "41", "--accumulation", "2"]);
}

#[test]
fn augmented_images() {
    same(pipeline("augmentation.py"), &["--epochs", "1", "--count", "200"]);
}

#[test]
fn mixed_precision() {
    same(pipeline("bf16.py"), &["--epochs", "1"]);
}

#[test]
fn graphs() {
    same(pipeline("gcn.py"), &["--epochs", "8"]);
}

#[test]
fn a_search_along_a_line() {
    same(pipeline("lbfgs.py"), &["--iterations", "4", "--line-search"]);
}

#[test]
fn a_policy() {
    same(pipeline("reinforce.py"), &["--iterations", "6"]);
}

#[test]
fn an_autoencoder() {
    same(pipeline("vae.py"), &["--epochs", "1"]);
}

#[test]
fn calls() {
    same(pipeline("calls.py"), &["--iterations", "30"]);
}

#[test]
fn writes_of_all_kinds() {
    same(script("changes.py"), &[]);
}

#[test]
fn other_ways_to_train() {
    same(script("ways_to_train.py"), &[]);
}

#[test]
fn recursion_exceptions_threads_tracers_and_forks() {
    same(script("unusual_programs.py"), &[]);
}

#[test]
fn a_resumed_run() {
    let first = ["--epochs", "1", "--seed", "3"];
    let second = ["--epochs", "2", "--seed", "4", "--resume"];
    let without = folder();
    let mut expected = String::new();
    for arguments in [&first[..], &second] {
        let mut command = plain();
        command.arg(pipeline("digits.py")).args(arguments).arg("--out").arg(without.path());
        expected += &finish(&mut command).exited(0).stdout;
    }
    let with = folder();
    let mut found = String::new();
    for (run, arguments) in [("run-1", &first[..]), ("run-2", &second)] {
        let run = with.path().join(run);
        let mut command = preloaded(&run);
        command.arg(pipeline("digits.py")).args(arguments).arg("--out").arg(with.path());
        found += &finish(&mut command).exited(0).stdout;
        Trace::read(&run).only().assert_whole();
    }
    assert!(found == expected, "--- without\n{expected}\n--- with\n{found}");
}
