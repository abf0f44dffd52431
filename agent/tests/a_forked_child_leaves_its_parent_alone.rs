//! Fork, exec and spawn: the trace of the parent is what it would be without them.

mod common;

use common::{event, files, info, is_inner, read, run_inner};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use traincheck::sink;
use traincheck_schema::record::DictEntry;

/// Marks events that must not be found.
const OF_THE_CHILD: u64 = 1 << 40;

/// Runs `child` in a fork of this process, and waits for its end, which must be a good one.
fn forked(child: impl FnOnce()) -> Result<(), String> {
    // SAFETY: the child only runs `child`, and leaves by `exit` as a forked worker would.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            // A panic must not reach the test harness, whose threads are not there.
            let ended_well = catch_unwind(AssertUnwindSafe(child)).is_ok();
            libc::exit(if ended_well { 0 } else { 1 });
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
        if status == 0 { Ok(()) } else { Err(format!("the child ended with wait status {status:#x}")) }
    }
}

/// How often this thread has given up the processor to wait for something.
fn waits() -> i64 {
    // SAFETY: a struct of numbers, which the call fills in.
    unsafe {
        let mut usage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
        usage.ru_nvcsw
    }
}

#[test]
fn a_child_records_nothing_and_touches_nothing() {
    if is_inner() {
        sink::emit(&event(0));
        assert!(sink::start(info()));
        for i in 1..1_000 {
            sink::emit(&event(i));
        }
        for round in 0..20 {
            let before = files(std::env::var("TRAINCHECK_RUN_DIR").unwrap().as_ref());
            forked(|| {
                assert!(sink::is_inert() && traincheck::base::fork::is_forked());
                (0..100_000).for_each(|_| sink::emit(&event(OF_THE_CHILD)));
                assert_eq!(sink::define(DictEntry::default()), 0);
                assert_eq!(sink::text("of the child"), 0);
                assert_eq!(sink::op(b"of::the_child", 0), 0);
                assert!(!sink::start(info()));
                sink::note_hook_off("hook", "in the child");
                // The end of a thread of the child, too.
                std::thread::spawn(|| sink::emit(&event(OF_THE_CHILD))).join().unwrap();
                let before = waits();
                sink::seal("child");
                assert_eq!(waits(), before, "it waited for the writer of its parent");
            })
            .unwrap();
            assert_eq!(files(std::env::var("TRAINCHECK_RUN_DIR").unwrap().as_ref()), before);
            sink::emit(&event(1_000 + round));
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("a_child_records_nothing_and_touches_nothing", folder.path());
    let found = read(folder.path());
    assert_eq!(found.events.len(), 1);
    let values: Vec<u64> = found.events[&0].iter().map(|event| event.value).collect();
    assert_eq!(values, (0..1_020).collect::<Vec<_>>());
    assert!(!found.names.values().any(|name| name.contains("child")));
    assert_eq!(found.ending.unwrap().reason, "exit");
}

/// How many threads the kernel counts, as CPython asks it.
fn threads() -> u32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_the_name = stat.rsplit(')').next().unwrap();
    behind_the_name.split_ascii_whitespace().nth(17).unwrap().parse().unwrap()
}

#[test]
fn a_writer_that_leaves_for_every_fork_loses_nothing() {
    const ROUNDS: u64 = 100;
    const EACH: u64 = 1_000;
    let run = || {
        sink::fork_without_writer();
        assert!(sink::start(info()));
        assert_eq!(threads(), 2);
        let mut without = 0;
        for round in 0..ROUNDS {
            forked(|| {
                // SAFETY: it has no conditions. A child that hangs ends here.
                unsafe { libc::alarm(10) };
                sink::emit(&event(OF_THE_CHILD));
                sink::go_on_writing();
                sink::seal("child");
            })
            .unwrap();
            without += u64::from(threads() == 1);
            (0..EACH).for_each(|i| sink::emit(&event(round * EACH + i)));
            sink::text(&format!("text {round}"));
            // Now and then two forks, or a ring that is half full, come before the next iteration, and so does the end.
            if round % 3 == 0 && round < 60 {
                sink::go_on_writing();
                assert_eq!(threads(), 2);
            }
        }
        // A fork does not wait long, and a machine that is busy may not come to run the writer.
        assert!(without > ROUNDS / 2, "{without} of {ROUNDS} forks found no thread of the writer");
        if std::env::var("ENDING").unwrap() == "kill" {
            // SAFETY: no pointers.
            unsafe { libc::raise(libc::SIGKILL) };
        }
    };
    if common::is_asked_for() {
        common::alone(run);
    }
    for ending in ["exit", "kill"] {
        let folder = tempfile::tempdir().unwrap();
        let output = common::inner("a_writer_that_leaves_for_every_fork_loses_nothing", folder.path())
            .env("ENDING", ending)
            .output()
            .unwrap();
        assert_eq!(output.status.success(), ending == "exit", "{output:?}");
        let found = read(folder.path());
        assert_eq!(found.dropped, [], "{ending}");
        assert_eq!((found.events.len(), found.count() as u64), (1, ROUNDS * EACH));
        let values = found.events[&0].iter().map(|event| event.value);
        assert!(values.eq(0..ROUNDS * EACH), "{ending}");
        assert_eq!(found.names.values().filter(|name| name.starts_with("text")).count() as u64, ROUNDS);
        if ending == "exit" {
            assert_eq!((found.recovered, found.ending.unwrap().reason.as_str()), (0, "exit"));
            assert!(!files(folder.path()).iter().any(|name| name.ends_with(".ring")));
        } else {
            assert!(found.ending.is_none() && found.recovered > 0);
        }
    }
}

#[test]
fn a_job_with_threads_of_its_own_forks_with_the_writer_in_its_place() {
    let run = || {
        sink::fork_without_writer();
        assert!(sink::start(info()));
        let (running, end) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || end.recv());
        for round in 0..10 {
            forked(|| ()).unwrap();
            assert_eq!(threads(), 3, "after fork {round}");
        }
        drop(running);
        thread.join().unwrap().unwrap_err();
        let goes = |_| {
            forked(|| ()).unwrap();
            threads() == 1
        };
        assert!((0..3).any(goes), "the job has none any more");
    };
    if common::is_asked_for() {
        common::alone(run);
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("a_job_with_threads_of_its_own_forks_with_the_writer_in_its_place", folder.path());
    assert_eq!(read(folder.path()).ending.unwrap().reason, "exit");
}

#[test]
fn forks_from_several_threads_while_the_writer_comes_and_goes_do_not_hang() {
    if is_inner() {
        sink::fork_without_writer();
        std::thread::scope(|scope| {
            // While the run is being started, too.
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        // SAFETY: the child does nothing but leave.
                        unsafe {
                            match libc::fork() {
                                0 => libc::_exit(0),
                                child => libc::waitpid(child, std::ptr::null_mut(), 0),
                            };
                        }
                    }
                });
            }
            assert!(sink::start(info()));
            for i in 0..20_000 {
                sink::emit(&event(i));
                if i % 10 == 0 {
                    sink::go_on_writing();
                }
            }
            // While it is sealed, too: the others may well go on.
            sink::seal("end");
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("forks_from_several_threads_while_the_writer_comes_and_goes_do_not_hang", folder.path());
    let found = read(folder.path());
    assert!(found.events[&0].iter().map(|event| event.value).eq(0..20_000));
    assert_eq!(found.ending.unwrap().reason, "end");
}

#[test]
fn a_fork_while_all_locks_are_in_use_does_not_hang() {
    if is_inner() {
        assert!(sink::start(info()));
        let running = std::sync::atomic::AtomicBool::new(true);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let running = &running;
                scope.spawn(move || {
                    let mut i = 0_u64;
                    while running.load(std::sync::atomic::Ordering::Relaxed) {
                        i += 1;
                        sink::text(&format!("text {thread} {}", i % 10_000));
                        sink::op(format!("op {thread} {}", i % 10_000).as_bytes(), 0);
                        std::thread::scope(|scope| {
                            scope.spawn(|| sink::emit(&event(i)));
                        });
                    }
                });
            }
            let ended = (0..100).try_for_each(|_| {
                forked(|| {
                    // SAFETY: none of these has conditions. A child that hangs ends here.
                    unsafe { libc::alarm(10) };
                    sink::text("child");
                    sink::op(b"child", 0);
                    sink::emit(&event(0));
                })
            });
            running.store(false, std::sync::atomic::Ordering::Relaxed);
            ended.unwrap();
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("a_fork_while_all_locks_are_in_use_does_not_hang", folder.path());
    assert_eq!(read(folder.path()).ending.unwrap().reason, "exit");
}

#[test]
fn programs_that_are_started_record_into_the_same_folder() {
    if is_inner() {
        // Where the test is the started program:
        if std::env::var_os("STARTED").is_some() {
            assert_eq!(sink::choose_folder(), None, "the variable is there already");
            assert!(sink::start(info()));
            sink::emit(&event(0));
            return;
        }
        let folder = sink::choose_folder().unwrap();
        assert!(folder.is_absolute());
        assert!(!folder.exists(), "nothing is made before there is something to write");
        assert!(sink::start(info()));
        sink::emit(&event(0));
        let status = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .env("STARTED", "1")
            .current_dir("/")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = common::inner("programs_that_are_started_record_into_the_same_folder", folder.path())
        .env_remove("TRAINCHECK_RUN_DIR")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let runs: Vec<_> = std::fs::read_dir(folder.path().join("traincheck-runs")).unwrap().flatten().collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = traincheck_schema::run::Run::open(&runs[0].path()).unwrap();
    assert_eq!(run.processes.len(), 2, "{run:?}");
    assert!(run.info.is_some());
}

#[test]
fn a_process_of_the_same_number_gets_names_of_its_own() {
    if is_inner() {
        let folder = std::path::PathBuf::from(std::env::var("TRAINCHECK_RUN_DIR").unwrap());
        assert!(sink::start(info()));
        sink::emit(&event(7));
        if std::env::var_os("SECOND").is_none() {
            sink::seal("exec");
            use std::os::unix::process::CommandExt;
            let mut command = Command::new(std::env::current_exe().unwrap());
            panic!("{}", command.args(std::env::args().skip(1)).env("SECOND", "1").exec());
        }
        assert_eq!(files(&folder).iter().filter(|name| name.ends_with(".tcs")).count(), 2);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    run_inner("a_process_of_the_same_number_gets_names_of_its_own", folder.path());
    let run = traincheck_schema::run::Run::open(folder.path()).unwrap();
    assert_eq!(run.processes.len(), 2);
    assert_eq!(run.processes[0].pid, run.processes[1].pid);
    assert_ne!(run.processes[0].host, run.processes[1].host);
}
