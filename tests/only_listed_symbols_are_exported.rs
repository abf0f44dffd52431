//! A preloaded library comes first in every look-up: whatever it exports, it interposes.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use traincheck_tests::{agent, finish, repository};

#[test]
fn the_list_and_the_library_agree() {
    let list = fs::read_to_string(repository().join("tests/exports.txt")).expect("the list");
    // Functions of others are taken the place of where there are the few instructions for it.
    let has_stubs = cfg!(target_arch = "x86_64");
    let names = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let listed: BTreeSet<&str> = names.filter(|_| has_stubs).collect();

    let output = finish(Command::new("nm").args(["-D", "--defined-only"]).arg(agent())).exited(0).stdout;
    // `ADDRESS TYPE NAME`; a version node is an absolute symbol and no code.
    let exported: BTreeSet<&str> = output
        .lines()
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [_, "A", _] => None,
            [.., name] => Some(*name),
            [] => None,
        })
        .collect();
    assert_eq!(exported, listed);

    // The tool must see symbols at all for the comparison to say anything.
    let undefined = finish(Command::new("nm").args(["-D", "--undefined-only"]).arg(agent())).exited(0).stdout;
    assert!(undefined.lines().count() > 10, "nm shows no symbols of {}", agent().display());
}
