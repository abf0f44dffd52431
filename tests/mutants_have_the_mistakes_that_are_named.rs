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

/// In programs of several ranks, beside those of one.
#[test]
fn every_operator_of_several_ranks() {
    let expected = fs::read_to_string(script("ranks_by_hand.txt")).expect("the mutants of ranks_by_hand.py");
    let program = script("ranks_by_hand.py");
    let program = ["--programs", program.to_str().expect("a name in UTF-8")];
    let operators = [
        "drop-collective",
        "move-collective",
        "on-one-rank-only",
        "forget-group",
        "change-reduction",
        "same-on-all-ranks",
        "drop-divisor",
    ];
    let of_ranks = [&program[..], &["--ranks", "2", "--operators"], &operators].concat();
    assert_eq!(list(&of_ranks), expected);
    let (of_one, of_two) = (list(&program), list(&[&program[..], &["--ranks", "2"]].concat()));
    assert_eq!(ids(&of_two).len(), ids(&of_one).len() + ids(&expected).len());
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
