//! What ranks do together is recorded in each of them: in which group, as the how many-eth, what, with which tensors, and
//! how it ended; and nothing of it is any different.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use traincheck_schema::record::{
    Collective, CollectiveEvent, CollectiveKind, EventKind, ReduceKind, collective, element_type_name,
};
use traincheck_tests::{
    ProcessTrace, Trace, finish, folder, interpreters, plain_in, preloaded_in, script, traincheck,
};

/// What the ranks have written, in their order.
fn written(folder: &Path) -> Vec<String> {
    (0..2).map_while(|rank| fs::read_to_string(folder.join(format!("{rank}.txt"))).ok()).collect()
}

/// Under the launcher of PyTorch, two ranks.
fn launched(mut command: Command, mode: &str, folder: &Path) -> Command {
    command.args(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]);
    command.arg(script("together.py")).arg(mode).arg(folder);
    command
}

/// Runs `mode` without the agent and with it, which must be the same, and reads what was recorded: by rank.
fn ranks(python: &Path, mode: &str) -> Vec<ProcessTrace> {
    let temporary = folder();
    let [without, with, run]: [PathBuf; 3] =
        ["without", "with", "run"].map(|name| temporary.path().join(name));
    for folder in [&without, &with] {
        fs::create_dir(folder).expect("a folder");
    }
    let expected = finish(&mut launched(plain_in(python), mode, &without));
    let found = finish(&mut launched(preloaded_in(python, &run), mode, &with));
    assert_eq!(found.status, expected.status, "{}", found.stderr);
    assert_eq!(written(&with), written(&without), "{mode}");
    let mut processes = Trace::read(&run).processes;
    processes.sort_by_key(|process| process.header.rank);
    assert_eq!(processes.iter().map(|process| process.header.rank).collect::<Vec<_>>(), [Some(0), Some(1)]);
    processes
}

fn of(process: &ProcessTrace, event: CollectiveEvent) -> Vec<&Collective> {
    process.collectives.iter().filter(|one| one.event == event as u8).collect()
}

/// `0 1 all_reduce sum float32 5 5 -1 -1`: group, place in it, what, how it reduces, of what, elements in and out, peer, tag.
fn line(process: &ProcessTrace, one: &Collective) -> String {
    let kind = CollectiveKind::try_from(one.op).expect("a kind").word();
    let reduce = ReduceKind::try_from(one.reduce).expect("a reduction").word();
    let element_type = element_type_name(one.element_type).unwrap_or("-");
    format!(
        "{} {} {kind} {reduce} {element_type} {} {} {} {}",
        process.name(one.group),
        one.sequence,
        one.elements_in,
        one.elements_out,
        one.peer,
        one.tag
    )
}

/// What contents set.
const CONTENTS: u16 = collective::CONTENTS | collective::SUM;

/// What goes into the collective with the line that begins so, and what comes out: sums, where they are known.
fn sums(process: &ProcessTrace, begin: &str) -> (Option<f64>, Option<f64>) {
    let sum = |event| {
        let one = of(process, event).into_iter().find(|one| line(process, one).starts_with(begin));
        one.filter(|one| one.has(CONTENTS)).map(|one| one.sum)
    };
    (sum(CollectiveEvent::Issued), sum(CollectiveEvent::Completed))
}

fn lines(process: &ProcessTrace) -> Vec<String> {
    of(process, CollectiveEvent::Issued).into_iter().map(|one| line(process, one)).collect()
}

/// Every collective ended well, after it had begun, and repeats what it was.
fn assert_all_ended(process: &ProcessTrace) {
    let issued = of(process, CollectiveEvent::Issued);
    let numbers: Vec<u64> = issued.iter().map(|one| one.number).collect();
    assert_eq!(numbers, Vec::from_iter(1..=issued.len() as u64));
    assert!(of(process, CollectiveEvent::Failed).is_empty());
    for one in issued {
        let ended: Vec<_> = of(process, CollectiveEvent::Completed)
            .into_iter()
            .filter(|ended| ended.number == one.number)
            .collect();
        assert!(!ended.is_empty(), "{}", line(process, one));
        for ended in ended {
            assert!(ended.time > one.time);
            let repeated = Collective {
                flags: ended.flags & !CONTENTS | one.flags & CONTENTS,
                hash_low: one.hash_low,
                hash_high: one.hash_high,
                sum: one.sum,
                l2: one.l2,
                event: one.event,
                time: one.time,
                thread: one.thread,
                iteration: one.iteration,
                step: one.step,
                stage: one.stage,
                ..*ended
            };
            assert_eq!(repeated, *one);
        }
    }
}

/// What each rank does in the order in which it does it. Names and kinds differ between versions in how objects are
/// gathered only, which is left out here.
const KINDS: [&str; 2] = [
    "
    0 1 all_reduce sum float32 5 5 -1 -1
    0 2 all_reduce max float32 5 5 -1 -1
    0 3 broadcast none float32 5 5 1 -1
    0 4 reduce product float32 5 5 1 -1
    0 5 all_gather none int64 3 6 -1 -1
    0 6 all_gather_into_tensor none float64 4 8 -1 -1
    0 7 reduce_scatter_tensor sum float32 12 6 -1 -1
    0 8 all_to_all_single none int32 4 4 -1 -1
    0 9 gather none float32 5 10 0 -1
    0 10 scatter none float32 10 5 0 -1
    0 11 barrier none - 0 0 -1 -1
    0 1 send none float32 7 0 1 3
    0 2 send none float32 2 0 1 0
    0 3 recv none float32 0 2 1 0
    1 1 all_reduce min float32 5 5 -1 -1
    2 1 all_reduce sum float32 5 5 -1 -1
    0 14 monitored_barrier none - 0 0 -1 -1
    ",
    "
    0 1 all_reduce sum float32 5 5 -1 -1
    0 2 all_reduce max float32 5 5 -1 -1
    0 3 broadcast none float32 5 5 1 -1
    0 4 reduce product float32 5 5 1 -1
    0 5 all_gather none int64 3 6 -1 -1
    0 6 all_gather_into_tensor none float64 4 8 -1 -1
    0 7 reduce_scatter_tensor sum float32 12 6 -1 -1
    0 8 all_to_all_single none int32 4 4 -1 -1
    0 9 gather none float32 5 0 0 -1
    0 10 scatter none float32 0 5 0 -1
    0 11 barrier none - 0 0 -1 -1
    0 1 recv none float32 0 7 0 3
    0 2 send none float32 2 0 0 0
    0 3 recv none float32 0 2 0 0
    1 1 all_reduce min float32 5 5 -1 -1
    0 14 monitored_barrier none - 0 0 -1 -1
    ",
];

#[test]
fn of_every_kind_in_every_interpreter() {
    for (version, python) in interpreters() {
        let ranks = ranks(&python, "kinds");
        for (rank, (process, expected)) in (0..).zip(ranks.iter().zip(KINDS)) {
            process.assert_whole();
            assert_all_ended(process);
            let expected: Vec<&str> = expected.trim().lines().map(str::trim).collect();
            let found = lines(process);
            let of_objects: Vec<&String> =
                found.iter().filter(|line| line.starts_with("0 12 ") || line.starts_with("0 13 ")).collect();
            let others: Vec<&String> = found.iter().filter(|line| !of_objects.contains(line)).collect();
            assert_eq!(others, expected, "CPython {version}, rank {rank}");
            assert!(of_objects.len() == 2 && of_objects.iter().all(|line| line.contains(" all_gather")));

            let groups: Vec<_> = process
                .groups()
                .iter()
                .map(|group| {
                    let [name, backend, file] =
                        [&group.text, &group.type_name, &group.file].map(String::as_str);
                    (name, backend, file, group.owner, group.line)
                })
                .collect();
            let all = [
                ("0", "gloo", "default_pg", rank, 2),
                ("1", "gloo", "both", rank, 2),
                ("2", "gloo", "undefined", 0, 1),
            ];
            assert_eq!(groups, all[..if rank == 0 { 3 } else { 2 }]);

            // Somebody waited for each of them; one was not waited for where it was asked for.
            let waited: Vec<u64> =
                of(process, CollectiveEvent::Waited).into_iter().map(|one| one.number).collect();
            let issued = of(process, CollectiveEvent::Issued);
            let is_waited = |one: &&&Collective| waited.contains(&one.number);
            assert_eq!(issued.iter().filter(is_waited).count(), issued.len(), "CPython {version}");
            let [blocking, asynchronous] = [issued[0], issued[1]].map(|one| one.flags & !CONTENTS);
            // torch 2.6 does not say so of these.
            if !process.header.torch_version.starts_with("2.6.") {
                assert_eq!((blocking, asynchronous), (collective::BLOCKING, collective::ASYNC));
            }
            // Each was issued by a recorded call of a function that does that.
            let call = |call: u64| {
                let mut entered = process.of_kind(EventKind::Enter);
                entered.find(|event| event.call == call).map_or("", |event| process.name(event.name))
            };
            assert!(issued.iter().all(|one| call(one.call).contains('.')));
            assert!(issued.iter().all(|one| one.tensors <= 2 && one.iteration == 0));
        }
        for (rank, process) in (0..).zip(&ranks) {
            let own = f64::from(rank);
            for (begin, given, got) in [
                ("0 1 all_reduce sum", Some(5.0 * (own + 1.0)), Some(15.0)),
                ("0 2 all_reduce max", Some(15.0), Some(15.0)),
                ("0 3 broadcast", Some(15.0), Some(15.0)),
                ("0 5 all_gather", None, None),
                ("0 6 all_gather_into_tensor", Some(4.0 * own), Some(4.0)),
                ("0 7 reduce_scatter_tensor", Some(66.0), None),
                ("0 10 scatter", (rank == 0).then_some(70.0), Some(35.0)),
                ("0 11 barrier", None, None),
                ("0 1 send none float32 7", (rank == 0).then_some(7.0), None),
                ("0 1 recv none float32 0 7", None, (rank == 1).then_some(7.0)),
                ("0 2 send none float32 2", Some(2.0 * own), None),
                ("0 3 recv none float32 0 2", None, Some(2.0 * (1.0 - own))),
            ] {
                assert_eq!(sums(process, begin), (given, got), "CPython {version}, rank {rank}: {begin}");
            }
        }
        // Of numbers that have no sum there are hashes.
        let gathered = |process: &ProcessTrace| {
            let ended = of(process, CollectiveEvent::Completed);
            let one = ended.into_iter().find(|one| one.op == CollectiveKind::AllGather as u8);
            one.filter(|one| one.has(collective::CONTENTS)).map(|one| (one.hash_low, one.hash_high))
        };
        assert!(gathered(&ranks[0]).is_some(), "CPython {version}");
        assert_eq!(gathered(&ranks[0]), gathered(&ranks[1]), "CPython {version}");
    }
}

#[test]
fn of_data_parallel_training() {
    for (version, python) in interpreters() {
        let ranks = ranks(&python, "training");
        for process in &ranks {
            process.assert_whole();
            assert_all_ended(process);
            assert_eq!(process.iterations(), 6);
            for iteration in 1..=6 {
                let issued = of(process, CollectiveEvent::Issued);
                let here = issued.iter().filter(|one| one.iteration == iteration);
                let reduced: Vec<u64> = here
                    .filter(|one| one.op == CollectiveKind::AllReduce as u8)
                    .map(|one| one.elements_in)
                    .collect();
                // The gradients in one bucket, and the loss.
                assert_eq!(reduced, [13, 1], "CPython {version}, iteration {iteration}");
            }
            // The buckets of the module are waited for by their futures, and the loss by its handle.
            let numbers = |event| of(process, event).into_iter().map(|one| one.number).collect::<Vec<_>>();
            let (waited, taken) = (numbers(CollectiveEvent::Waited), numbers(CollectiveEvent::FutureTaken));
            let reductions = of(process, CollectiveEvent::Issued)
                .into_iter()
                .filter(|one| one.op == CollectiveKind::AllReduce as u8);
            for one in reductions {
                let is_bucket = one.elements_in == 13;
                assert_eq!(taken.contains(&one.number), is_bucket, "{}", line(process, one));
                assert!(is_bucket || waited.contains(&one.number), "{}", line(process, one));
            }
        }
        assert_eq!(lines(&ranks[0]), lines(&ranks[1]), "CPython {version}");
        let begun = lines(&ranks[0]);
        assert!(begun.iter().any(|line| line.contains(" broadcast none float32 13 13 0 ")), "{begun:?}");
    }
}

/// Names and numbers begin anew behind `destroy_process_group`: what has the same ones is another group.
#[test]
fn of_groups_that_are_made_again() {
    let (_, python) = interpreters().remove(0);
    for process in &ranks(&python, "again") {
        let reductions: Vec<String> =
            lines(process).into_iter().filter(|line| line.contains("all_reduce")).collect();
        let expected = ["0 1", "1 1", "0 (2) 1", "1 (2) 1"].map(|group| group.to_owned() + " all_reduce");
        assert!(
            reductions.iter().zip(&expected).all(|(line, expected)| line.starts_with(expected)),
            "{reductions:?}"
        );
        assert_eq!(reductions.len(), expected.len());
    }
}

/// As the hooks of `DistributedDataParallel` do, which divide what was added up.
#[test]
fn before_what_is_done_behind_them_has_changed_what_they_give() {
    for (version, python) in interpreters() {
        for process in &ranks(&python, "futures") {
            assert_all_ended(process);
            let ended = of(process, CollectiveEvent::Completed);
            let sums: Vec<f64> = ended.iter().filter(|one| one.has(CONTENTS)).map(|one| one.sum).collect();
            assert_eq!(sums, [60.0; 6], "CPython {version}");
        }
    }
}

/// What raises without the agent raises with it, whether gloo has begun or not. Messages are compared in [`ranks`].
#[test]
fn of_which_some_fail() {
    for (version, python) in interpreters() {
        for (rank, process) in ranks(&python, "errors").iter().enumerate() {
            let failed: Vec<String> =
                of(process, CollectiveEvent::Failed).into_iter().map(|one| line(process, one)).collect();
            // The first four are refused, and so none of them is counted.
            let refused = [
                "0 2 all_gather none float32 3 7 -1 -1",
                "0 2 broadcast none float32 3 3 9 -1",
                &format!("0 1 send none float32 6 0 {} 0", 1 - rank),
                "0 2 all_gather none float32 3 3 -1 -1",
            ];
            assert_eq!(failed[..4], refused, "CPython {version}");
            let late = ["1 1 all_reduce sum float32 2 2 -1 -1", "2 1 recv none float32 0 2 0 0"][rank];
            assert_eq!(failed[4..], [late], "CPython {version}");
            assert!(lines(process).contains(&"0 2 all_reduce sum float32 2 2 -1 -1".to_owned()));
        }
    }
}

#[test]
fn of_a_rank_that_is_killed_while_it_waits() {
    let (_, python) = interpreters().remove(0);
    let ranks = ranks(&python, "killed");
    assert!(ranks[0].torn.as_ref().is_some_and(|torn| torn.collectives_recovered >= 3));
    let ended: Vec<u64> =
        of(&ranks[0], CollectiveEvent::Completed).into_iter().map(|one| one.number).collect();
    assert_eq!(lines(&ranks[0])[1], "0 2 all_reduce sum float32 3 3 -1 -1");
    assert_eq!(ended, [1], "the other rank did not come");
    assert_eq!(lines(&ranks[1]).len(), 1);
}

/// `TORCH_DISTRIBUTED_DEBUG=DETAIL` makes a second group beside each, over which it compares what ranks are about to do.
#[test]
fn beside_those_of_a_debugging_aid() {
    let (_, python) = interpreters().remove(0);
    let temporary = folder();
    let run = temporary.path().join("run");
    let mut command = launched(preloaded_in(&python, &run), "watched", temporary.path());
    finish(command.env("TORCH_DISTRIBUTED_DEBUG", "DETAIL")).exited(0);
    for process in &Trace::read(&run).processes {
        let names: Vec<&str> = process.groups().iter().map(|group| group.text.as_str()).collect();
        assert_eq!(names, ["0", "0#2"]);
        let of_all = lines(process).into_iter().filter(|line| line.starts_with("0 "));
        assert_eq!(of_all.collect::<Vec<_>>(), ["0 1 all_reduce sum float32 2 2 -1 -1"]);
        assert!(lines(process).iter().any(|line| line.starts_with("0#2 1 ")));
    }
}

#[test]
fn without_a_launcher() {
    for (_, python) in interpreters() {
        let temporary = folder();
        let run = temporary.path().join("run");
        let mut command = preloaded_in(&python, &run);
        finish(command.arg(script("together.py")).arg("spawned").arg(temporary.path())).exited(0);
        let mut processes = Trace::read(&run).processes;
        processes.sort_by_key(|process| process.groups().first().map(|group| group.owner));
        assert_eq!(processes.len(), 2);
        for (rank, process) in (0..).zip(&processes) {
            assert_eq!(process.header.rank, None, "nothing but the group says it");
            let groups: Vec<_> =
                process.groups().iter().map(|group| (group.text.as_str(), group.owner, group.line)).collect();
            assert_eq!(groups, [("0", rank, 2)]);
            assert_all_ended(process);
            let all = ["0 1 all_reduce sum float32 2 2 -1 -1", "0 2 barrier none - 0 0 -1 -1"];
            assert_eq!(lines(process), all);
        }

        let shown = finish(traincheck().arg("inspect").arg(&run)).exited(0).stdout;
        for line in [
            "rank 0",
            "rank 1",
            "groups     0 (gloo): rank 1 of 2",
            "all_reduce sum float32 in group 0, 2 elements",
            "barrier in group 0",
        ] {
            assert!(shown.contains(line), "no {line:?} in\n{shown}");
        }
    }
}
