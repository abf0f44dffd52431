//! DataLoader workers are forked from a process that has the agent in it. They must give the same batches, end as
//! they would, and leave the trace of their parent whole.

use traincheck_schema::record::Role;
use traincheck_tests::{Trace, finish, folder, pipeline, plain, preloaded};

#[test]
fn two_workers() {
    let arguments = ["--workers", "2", "--epochs", "2"];
    let expected = finish(plain().arg(pipeline("digits.py")).args(arguments)).exited(0).stdout;

    let temporary = folder();
    let run = temporary.path().join("run");
    let found = finish(preloaded(&run).arg(pipeline("digits.py")).args(arguments)).exited(0).stdout;
    assert_eq!(found, expected);

    let process = Trace::read(&run).only();
    process.assert_whole();
    let losses = found.lines().filter(|line| line.starts_with("loss")).count();
    assert_eq!((process.iterations() as usize, process.steps() as usize), (losses, losses));
    assert!(process.entered(Role::LoaderNext).count() >= losses);
}
