//! The mutants by which errors are counted: every operator makes the mistake that it is named after, wherever it can be
//! made, and the same program has the same mutants.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use traincheck_tests::{finish, python, repository, script};

fn list(arguments: &[&str]) -> String {
    let mut command = Command::new(python());
    command.arg(repository().join("scripts/mutate.py")).arg("--list").args(arguments);
    finish(&mut command).exited(0).stdout
}

/// The lines that are not of what was changed.
fn ids(list: &str) -> Vec<&str> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with(' ')).collect()
}

#[test]
fn every_operator() {
    let expected = fs::read_to_string(script("mistakes.txt")).expect("the mutants of mistakes.py");
    let program = script("mistakes.py");
    assert_eq!(list(&["--programs", program.to_str().expect("a name in UTF-8")]), expected);
}

#[test]
fn each_time_the_same() {
    let of_two = ["--programs", "digits", "gan"];
    let all = list(&of_two);
    assert_eq!(all, list(&of_two));
    assert!(ids(&all).len() > 60, "{all}");
    assert_eq!(ids(&all).iter().collect::<BTreeSet<_>>().len(), ids(&all).len(), "an id twice: {all}");

    let (small, large) = (
        list(&[&of_two[..], &["--sample", "20"]].concat()),
        list(&[&of_two[..], &["--sample", "60"]].concat()),
    );
    assert_eq!((ids(&small).len(), ids(&large).len()), (20, 60));
    assert_eq!(ids(&small)[..], ids(&large)[..20], "a sample is no part of a larger one");
}
