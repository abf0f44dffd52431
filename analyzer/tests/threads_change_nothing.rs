//! The same references give the same bytes, and the same run the same report, with any number of threads and in any
//! order; whole, torn, and with several processes.

use std::fs;
use std::path::Path;
use std::process::Command;

use traincheck_benches::synthetic::{Error, Synthetic};

/// Runs the command; returns what it printed.
fn traincheck(folder: &Path, threads: &str, by_option: bool, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_traincheck"));
    command.args(arguments).current_dir(folder);
    if by_option {
        command.args(["--threads", threads]);
    } else {
        command.env("RAYON_NUM_THREADS", threads);
    }
    let output = command.output().expect("the command starts");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn nor_does_the_order_of_references() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let of = |seed, error| Synthetic { seed, events: 12_000 + 1_000 * seed, error, ..Synthetic::default() };
    of(1, None).write(&at("a"), true).unwrap();
    of(2, None).write(&at("b"), true).unwrap();
    of(3, None).write(&at("killed"), false).unwrap();
    // Two processes, as of a job with two ranks.
    of(4, None).write(&at("two"), true).unwrap();
    of(5, None).write(&at("other"), true).unwrap();
    fs::rename(at("other/synthetic-1-0.tcs"), at("two/synthetic-2-0.tcs")).unwrap();
    of(6, Some(Error::NoZeroGrad)).write(&at("bad"), true).unwrap();

    let mut learned = Vec::new();
    let orders = [
        ["a", "b", "killed", "two"],
        ["two", "killed", "b", "a"],
        ["killed", "a", "two", "b"],
        ["b", "two", "a", "killed"],
    ];
    // Fewer threads than processes, as many, and more, so that each way to read is taken.
    for (order, threads, by_option) in [
        (orders[0], "1", true),
        (orders[1], "2", true),
        (orders[2], "2", false),
        (orders[3], "9", true),
        (orders[1], "1", false),
    ] {
        let arguments = [&["infer", "-o", "out.json"][..], &order].concat();
        traincheck(folder.path(), threads, by_option, &arguments);
        learned.push(fs::read_to_string(at("out.json")).unwrap());
        let same = learned.last() == learned.first();
        assert!(same, "{order:?} with {threads} threads differs from {:?} with one", orders[0]);
    }

    // Of one process the relations are divided among threads.
    for run in ["a", "killed"] {
        let [one, two, four] = ["1", "2", "4"].map(|threads| {
            traincheck(folder.path(), threads, true, &["infer", "-o", "one.json", run]);
            fs::read_to_string(at("one.json")).unwrap()
        });
        assert!(one == two && two == four, "{run} alone");
    }

    for run in ["bad", "killed", "two"] {
        for format in ["json", "text"] {
            let report = |threads, by_option| {
                let arguments = ["check", run, "-i", "out.json", "--all", "--format", format];
                traincheck(folder.path(), threads, by_option, &arguments)
            };
            let one = report("1", true);
            assert!(one.len() > 100, "{one}");
            for (threads, by_option) in [("2", true), ("3", false), ("8", true)] {
                assert_eq!(report(threads, by_option), one, "{run} as {format} with {threads} threads");
            }
        }
    }
}
