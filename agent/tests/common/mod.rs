//! The sink is one per process, so each test of it runs in a process of its own: the test binary again, with only
//! that test, which then finds itself to be the inner one.
#![allow(dead_code, missing_docs, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use traincheck::sink::{self, StartInfo};
use traincheck_schema::record::{
    Attribute, EVENT_SIZE, Event, EventKind, STATE_KIND, STATE_SIZE, State, ValueKind,
};
use traincheck_schema::run::Run;
use traincheck_schema::segment::{DropReason, Dropped, Ending};

const INNER: &str = "TRAINCHECK_TEST_INNER";

/// This is the inner process, or is to be.
pub fn is_asked_for() -> bool {
    std::env::var_os(INNER).is_some()
}

/// This is the inner process.
pub fn is_inner() -> bool {
    let inner = is_asked_for();
    if inner {
        traincheck::boot::process::boot();
    }
    inner
}

/// The inner process, with no thread but the calling one: without those of the test harness.
pub fn alone(run: impl FnOnce()) -> ! {
    unsafe extern "C" {
        /// As `fork`, without the handlers: to the agent this is no fork.
        fn _Fork() -> libc::pid_t;
    }
    // SAFETY: nothing of this process is used in the child but what the test itself uses, on its one thread.
    unsafe {
        match _Fork() {
            0 => {
                assert!(is_inner());
                let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                std::process::exit(i32::from(worked.is_err()));
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &raw mut status, 0);
                libc::_exit(i32::from(status != 0));
            }
        }
    }
}

/// The command that runs the test `name` of this binary as the inner process, which records into `folder`.
pub fn inner(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([name, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
        .env(INNER, "1")
        .env("TRAINCHECK_RUN_DIR", folder)
        .stdin(Stdio::null());
    command
}

/// Runs the inner process to its end, which must be a good one.
pub fn run_inner(name: &str, folder: &Path) -> Output {
    let output = inner(name, folder).output().unwrap();
    assert!(output.status.success(), "the inner process failed: {output:?}");
    output
}

/// Waits for a line on the standard output of the inner process.
pub fn wait_for(child: &mut Child, word: &str) {
    use std::io::BufRead;
    let reader = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    let found = reader.lines().map_while(Result::ok).any(|line| line.contains(word));
    assert!(found, "the inner process never said {word}");
}

pub fn info() -> StartInfo {
    StartInfo { profile: "training".into(), ..StartInfo::default() }
}

/// An event that says which one of its thread it is.
pub fn event(sequence: u64) -> Event {
    Event {
        size: EVENT_SIZE as u16,
        kind: EventKind::Enter as u8,
        stage: 1,
        flags: 5,
        thread: 0,
        time: sink::now(),
        iteration: (sequence / 100) as u32,
        step: (sequence / 200) as u32,
        call: sequence + 1,
        parent: sequence / 3,
        name: (sequence % 50) as u32 + 1,
        site: (sequence % 7) as u32,
        object: (sequence % 3) as u32,
        context: 0,
        value: sequence,
    }
}

/// A state that says which one of its thread it is.
pub fn state(sequence: u64) -> State {
    State {
        size: STATE_SIZE as u16,
        kind: STATE_KIND,
        stage: 1,
        attribute: Attribute::Data as u8,
        value_kind: ValueKind::Tensor as u8,
        thread: 0,
        time: sink::now(),
        iteration: 1,
        step: 1,
        call: sequence + 1,
        since: 0,
        variable: (sequence % 20) as u32 + 1,
        text: 0,
        int: 0,
        float: 0.0,
        hash_low: sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        hash_high: !sequence,
        nan: 0,
        inf: 0,
        zeros: 3,
        elements: 100,
        min: -1.0,
        max: 1.0,
        l2: 0.5,
        point: 2,
        reserved: 0,
    }
}

/// Everything that one process has left.
#[derive(Debug, Default)]
pub struct Found {
    /// By thread, in the order of the trace.
    pub events: BTreeMap<u16, Vec<Event>>,
    pub states: BTreeMap<u16, Vec<State>>,
    pub dropped: Vec<Dropped>,
    pub recovered: u64,
    pub ending: Option<Ending>,
    pub names: BTreeMap<u32, String>,
}

impl Found {
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.iter().filter(|dropped| dropped.reason == reason).map(|dropped| dropped.count).sum()
    }

    pub fn dropped_of(&self, thread: u16) -> u64 {
        self.dropped.iter().filter(|dropped| dropped.ring == thread).map(|dropped| dropped.count).sum()
    }

    pub fn count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }
}

/// Reads the only process of the run in `folder`.
pub fn read(folder: &Path) -> Found {
    let run = Run::open(folder).unwrap();
    assert_eq!(run.processes.len(), 1, "{:?}", files(folder));
    let mut reader = run.processes[0].reader();
    let mut found = Found::default();
    while let Some(batch) = reader.next_batch() {
        let batch = batch.unwrap();
        for event in batch.events {
            found.recovered += u64::from(batch.recovered);
            found.events.entry(event.thread).or_default().push(event);
        }
        for state in batch.states {
            found.states.entry(state.thread).or_default().push(state);
        }
        found.dropped.extend(batch.dropped);
    }
    found.ending = reader.ending().cloned();
    found.names = reader.dictionary().iter().map(|entry| (entry.id, entry.text.clone())).collect();
    found
}

/// All files below `folder`, relative to it.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path: PathBuf = entry.path();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
