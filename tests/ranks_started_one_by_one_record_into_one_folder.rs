//! Ranks that no common launcher has started, as on several hosts, meet in one run folder, and never in that of another job.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use traincheck_tests::{Trace, agent, finish, folder, plain, python, script, spawn, traincheck};

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port()
}

/// A rank of two that meet at this port.
fn as_rank(mut command: Command, rank: u32, port: u16, folder: &Path) -> Command {
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", "2").current_dir(folder);
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command
}

fn collect(rank: u32, port: u16, folder: &Path, options: &[&str]) -> Command {
    let mut command = traincheck();
    command.arg("collect").args(options).arg("--").arg(python()).arg(script("waits.py")).arg("never");
    as_rank(command, rank, port, folder)
}

fn preload(rank: u32, port: u16, folder: &Path) -> Command {
    let mut command = plain();
    command.env("LD_PRELOAD", agent()).arg(script("waits.py")).arg("never");
    as_rank(command, rank, port, folder)
}

/// Runs both ranks of a job to their ends.
fn run(job: impl Fn(u32) -> Command) {
    let both: [Child; 2] = [0, 1].map(|rank| spawn(&mut job(rank)));
    for child in both {
        let done = child.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// The folders of runs, in the order of their names.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("traincheck-runs")).expect("runs");
    let mut runs: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    runs.sort();
    runs
}

/// Both ranks of one job are there, and can be compared.
fn assert_one_job(run: &Path) {
    let mut ranks: Vec<_> =
        Trace::read(run).processes.iter().map(|process| (process.header.rank, process.steps())).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, [(Some(0), 11), (Some(1), 11)], "{}", run.display());
    let checked = finish(traincheck().arg("check").arg(run));
    assert!(!checked.stdout.contains("Ranks were not compared"), "{}", checked.stdout);
    let seats =
        fs::read_dir(run).expect("a run").filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut seats: Vec<String> = seats.filter(|name| name.starts_with("rank-")).collect();
    seats.sort();
    assert_eq!(seats.len(), 2, "{seats:?}");
    for (rank, seat) in seats.iter().enumerate() {
        assert!(seat.starts_with(&format!("rank-{rank}-of-2-attempt-0-")) && seat.ends_with(".ended"));
    }
}

#[test]
fn named_after_where_they_meet_and_a_later_job_gets_its_own() {
    let [collected, preloaded] = [folder(), folder()];
    let port = free_port();
    let name = format!("job-master-127.0.0.1-{port}");
    for _ in 0..2 {
        run(|rank| collect(rank, port, collected.path(), &[]));
        run(|rank| preload(rank, port, preloaded.path()));
    }
    for temporary in [collected, preloaded] {
        let found = runs(temporary.path());
        let names: Vec<_> = found.iter().filter_map(|run| run.file_name()?.to_str()).collect();
        assert_eq!(names, [name.clone(), format!("{name}.2")]);
        found.iter().for_each(|run| assert_one_job(run));
    }
}

#[test]
fn that_is_named_to_each_of_them_and_to_nobody_else() {
    let temporary = folder();
    let port = free_port();
    let options = ["-o", "run"];
    run(|rank| collect(rank, port, temporary.path(), &options));
    assert_one_job(&temporary.path().join("run"));

    let refused = finish(&mut collect(0, port, temporary.path(), &options)).exited(125).stderr;
    let why = "run: not an empty folder, and there is no job in it that goes on and lacks rank 0 of 2; a run needs one of its own";
    assert!(refused.contains(why), "{refused}");
    let mut alone = traincheck();
    alone.args(["collect", "-o", "run", "--", "true"]).current_dir(temporary.path());
    let refused = finish(&mut alone).exited(125).stderr;
    assert!(refused.contains("run: not an empty folder; a run needs one of its own"), "{refused}");
}

#[test]
fn and_a_rank_that_records_nothing_leaves_nothing() {
    let temporary = folder();
    let mut command = traincheck();
    command.args(["collect", "--", "true"]);
    finish(&mut as_rank(command, 0, free_port(), temporary.path())).exited(0);
    assert_eq!(fs::read_dir(temporary.path()).expect("a folder").count(), 0);
}
