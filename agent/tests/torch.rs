//! Reading tensors and recording ops in a real PyTorch.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use traincheck_schema::record::{DictKind, Event, EventKind};
use traincheck_schema::run::Run;
use traincheck_tests::interpreters;

fn pythons() -> Vec<PathBuf> {
    interpreters().into_iter().map(|(_, python)| python).collect()
}

/// The library that the Python side loads, built as this test was.
fn probe() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--example",
            "torch_probe",
        ])
        .status()
        .expect("cargo runs");
    assert!(built.success());
    let target = std::env::current_exe().expect("this test has a path");
    let target = target.ancestors().find(|folder| folder.ends_with("deps")).and_then(Path::parent);
    target.expect("a folder of cargo").with_file_name("debug").join("examples/libtorch_probe.so")
}

/// Runs a script of `tests/torch` and asserts that it printed this line and nothing else.
fn run(python: &Path, script: &str, arguments: &[&str], folder: &Path, line: &str) {
    let output = Command::new(python)
        .args(["-W", "ignore"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(script))
        .arg(probe())
        .args(arguments)
        .env("TRAINCHECK_RUN_DIR", folder)
        .env("OMP_NUM_THREADS", "1")
        .output()
        .expect("Python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!((text(&output.stderr), text(&output.stdout)), (String::new(), format!("{line}\n")));
    assert!(output.status.success(), "{}", output.status);
}

#[test]
fn tensors_are_read_as_numpy_reads_them_and_nothing_is_printed() {
    for python in pythons() {
        let folder = tempfile::tempdir().expect("a folder");
        run(&python, "tensors.py", &[], &folder.path().join("run"), "read");
    }
}

#[test]
fn a_proof_that_does_not_see_what_it_should_is_refused() {
    for python in pythons() {
        let folder = tempfile::tempdir().expect("a folder");
        run(&python, "ops.py", &["nothing"], &folder.path().join("run"), "refused");
    }
}

struct Recorded {
    events: Vec<Event>,
    names: HashMap<u32, String>,
}

impl Recorded {
    fn read(folder: &Path) -> Recorded {
        let run = Run::open(folder).expect("a run");
        let mut reader = run.processes[0].reader();
        let mut events = Vec::new();
        while let Some(batch) = reader.next_batch() {
            let batch = batch.expect("no damage");
            assert!(batch.dropped.is_empty(), "{:?}", batch.dropped);
            events.extend(batch.events);
        }
        let ops = reader.dictionary().iter().filter(|entry| entry.kind == DictKind::Op as u8);
        let names = ops.map(|entry| (entry.id, entry.text.clone())).collect();
        Recorded { events, names }
    }

    fn of_kind(&self, kind: EventKind) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.kind == kind as u8)
    }

    fn name(&self, event: &Event) -> &str {
        &self.names[&event.name]
    }

    /// Those that began with this name.
    fn named(&self, name: &str) -> Vec<&Event> {
        self.of_kind(EventKind::OpEnter).filter(|event| self.name(event) == name).collect()
    }

    /// The names of what began directly inside a call.
    fn inside(&self, call: u64) -> Vec<&str> {
        let children = self.of_kind(EventKind::OpEnter).filter(|event| event.parent == call);
        children.map(|event| self.name(event)).collect()
    }
}

#[test]
fn ops_are_recorded_with_their_names_ends_and_nesting() {
    for python in pythons() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("run");
        run(&python, "ops.py", &[], &folder, "ran");
        check_ops(&Recorded::read(&folder));
    }
}

fn check_ops(run: &Recorded) {
    // Every op that began has ended, once, and is itself at its end.
    let mut begun: HashMap<u64, &Event> =
        run.of_kind(EventKind::OpEnter).map(|event| (event.call, event)).collect();
    assert_eq!(begun.len(), run.of_kind(EventKind::OpEnter).count());
    assert!(begun.len() > 2000, "{}", begun.len());
    for end in run.of_kind(EventKind::OpExit) {
        let begin = begun.remove(&end.call).expect("an end has a beginning");
        assert_eq!((begin.name, begin.parent), (end.name, end.parent));
        assert!(begin.time <= end.time);
    }
    assert!(begun.is_empty(), "{:?}", begun.values().map(|event| run.name(event)).collect::<Vec<_>>());

    // Outside the run there is nothing; without all ops, only the scope.
    assert!(run.named("before the start").is_empty() && run.named("after the end").is_empty());
    assert_eq!(run.inside(run.named("off")[0].call), [""; 0]);

    // Nesting.
    let on = run.named("on")[0].call;
    let inner = run.named("inner")[0];
    assert_eq!(inner.parent, on);
    assert!(run.inside(inner.call).contains(&"aten::add"));
    assert!(run.inside(on).contains(&"aten::linear"));
    assert!(run.inside(run.named("aten::linear")[0].call).contains(&"aten::addmm"));
    assert_eq!(run.named("on")[0].parent, 0);

    // Temporaries.
    for number in 0..1000 {
        assert_eq!(run.named(&format!("scope {number}")).len(), 1);
    }
    let texts: HashSet<&String> = run.names.values().collect();
    assert!(texts.len() <= run.names.len());

    // Autograd nodes, seen while they were wanted: the first Switch turned them off, the second on again.
    let node = "autograd::engine::evaluate_function: SwitchBackward";
    assert_eq!(run.named(node).len(), 2, "{:?}", run.names.values());
    assert_eq!(run.named("SwitchBackward").len(), 2);

    // A scope that another thread ended is not around what follows.
    assert_eq!(run.named("passed on").len(), 1);
    assert_eq!(run.named("after it")[0].parent, 0);

    // An op that fails ends too.
    assert!(!run.named("aten::matmul").is_empty());
    assert_eq!(run.named("short-lived").len(), 200);
}
