//! Runs that are counted apart and merged, in any order and grouping and with any number of threads, give byte for byte what
//! `infer` makes of them at once.
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use support::anything::anything;
use support::disk::{traincheck, write};
use support::scripts::{Error, Script, gan};
use support::torch::Torch;
use support::{reference_of_job, references};
use traincheck_analyzer::infer::{Reference, learn, reasons};
use traincheck_analyzer::sketch::{Counted, Identity, Recording, Sketch};
use traincheck_analyzer::source::MemoryTrace;
use traincheck_benches::synthetic::{self, Synthetic};

/// What runs say, each called by its number.
static REFERENCES: LazyLock<Vec<Reference>> = LazyLock::new(|| {
    let of = |seed, epochs, error| Script { seed, epochs, error, ..Script::default() }.run().finish();
    let made_up = |seed, error| Synthetic { seed, error, events: 3_000, ..Synthetic::default() }.memory();
    let traces = [
        of(1, 4, Error::None),
        of(2, 5, Error::None),
        of(3, 4, Error::HeadNotInOptimizer),
        gan(1, 3, 4, Error::None).finish(),
        made_up(1, None),
        made_up(2, Some(synthetic::Error::NoZeroGrad)),
        anything(1),
        anything(2),
    ];
    let mut all = references(&traces);
    for seed in [1, 2] {
        let ranks: Vec<MemoryTrace> = (0..2).map(|rank| rank_of_job(seed, rank)).collect();
        all.push(reference_of_job(&format!("run{}", all.len()), &ranks));
    }
    all
});

/// A rank of a job whose replicas are the same after each step.
fn rank_of_job(seed: u64, rank: u32) -> MemoryTrace {
    let mut torch = Torch::new(seed);
    let model = torch.model("Net", &["hidden.weight", "head.weight"]);
    let optimizer = torch.optimizer("AdamW", &[model]);
    for _ in 0..8 + rank {
        torch.zero_grad(optimizer);
        torch.forward(model, 10);
        torch.backward(&[model]);
        torch.step(optimizer);
    }
    torch.finish()
}

/// A sketch of one run, which was recorded into a folder that is called as the run is.
fn sketch_of(reference: &Reference) -> Sketch {
    let folder = format!("/runs/{}", reference.run.name);
    Sketch::of(Counted {
        identity: Identity { folder, recordings: Vec::new() },
        reference: reference.clone(),
    })
}

/// As it is after it was written and read.
fn carried(sketch: &Sketch) -> Sketch {
    Sketch::parse(&sketch.to_bytes().expect("memory"), Path::new("x.sketch")).expect("what was written")
}

fn merge(sketches: impl IntoIterator<Item = Sketch>) -> Sketch {
    Sketch::merge(sketches).expect("each run once")
}

/// The file of invariants, and what is said of claims that are none.
fn learned(references: Vec<Reference>) -> (String, String) {
    let learned = learn(references);
    let mut text = String::new();
    reasons::write(&learned, |_| None, &mut text).expect("a string takes everything");
    (learned.invariants.to_json(), text)
}

/// Runs in an order, and for each a number: those with the same one are merged first.
fn groupings() -> impl Strategy<Value = Vec<(usize, u8)>> {
    let runs: Vec<usize> = (0..REFERENCES.len()).collect();
    let most = runs.len();
    prop::sample::subsequence(runs, 1..=most).prop_shuffle().prop_flat_map(|runs| {
        let groups = prop::collection::vec(0..4u8, runs.len());
        (Just(runs), groups).prop_map(|(runs, groups)| runs.into_iter().zip(groups).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_and_grouping(grouping in groupings(), nested in any::<bool>(), threads in 1..5usize) {
        let together: Vec<Reference> = grouping.iter().map(|(run, _)| REFERENCES[*run].clone()).collect();
        let at_once = merge(together.iter().map(sketch_of));
        let mut groups: BTreeMap<u8, Vec<Sketch>> = BTreeMap::new();
        for (run, group) in &grouping {
            groups.entry(*group).or_default().push(carried(&sketch_of(&REFERENCES[*run])));
        }
        let merged = groups.into_values().map(|group| carried(&merge(group)));
        let merged = if nested {
            merged.reduce(|one, other| carried(&merge([other, one]))).expect("a run")
        } else {
            merge(merged)
        };
        prop_assert_eq!(merged.to_bytes().expect("memory"), at_once.to_bytes().expect("memory"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let apart = pool.install(|| learned(merged.into_references()));
        prop_assert!(apart == learned(together), "{:?}", grouping);
    }
}

#[test]
fn whatever_is_counted_is_read_back() {
    for seed in 0..40 {
        let sketch = sketch_of(&Reference::of("run", &anything(seed)));
        assert_eq!(carried(&sketch), sketch, "{seed}");
    }
}

/// Runs of several kinds, in folders of which two are called alike.
fn record(folder: &Path) {
    let of = |seed, error| Script { seed, error, ..Script::default() }.run().finish();
    fs::create_dir(folder.join("one")).unwrap();
    fs::create_dir(folder.join("two")).unwrap();
    write(&of(1, Error::None), &folder.join("one/run"), true);
    write(&of(2, Error::None), &folder.join("two/run"), true);
    write(&of(3, Error::HeadNotInOptimizer), &folder.join("breaks"), true);
    write(&of(4, Error::None), &folder.join("killed"), false);
    let job = |seed, ranks| Synthetic { seed, ranks, events: 4_000, ..Synthetic::default() };
    job(5, 2).write(&folder.join("job"), true).unwrap();
    job(6, 3).write(&folder.join("larger"), true).unwrap();
}

#[test]
fn from_folders_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let run = |threads: &str, arguments: &[&str]| {
        let (code, stdout, stderr) = traincheck(arguments, folder.path(), threads);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    };
    record(folder.path());
    let runs = ["one/run", "two/run", "breaks", "killed", "job", "larger"];
    let said = run("2", &[&["infer", "-o", "at-once.json", "--explain=at-once.txt"][..], &runs].concat());
    assert!(said.contains("These runs break "), "{said}");

    // One for each run, and all at once.
    for (number, name) in runs.iter().enumerate() {
        let threads = (number % 4 + 1).to_string();
        let said = run(&threads, &["infer", "--partial", name, "-o", &format!("{number}.sketch")]);
        assert_eq!(said, format!("{number}.sketch: a sketch of 1 run\n"));
    }
    run("9", &[&["infer", "--partial", "-o", "all.sketch"][..], &runs].concat());
    run("1", &["merge", "--partial", "3.sketch", "0.sketch", "-o", "30.sketch"]);
    run("1", &["merge", "--partial", "5.sketch", "30.sketch", "2.sketch"]);
    run("1", &["merge", "--partial", "4.sketch", "runs.sketch", "1.sketch", "-o", "tree.sketch"]);
    assert!(read("tree.sketch") == read("all.sketch"));
    for (threads, sketches) in [
        ("1", &["0.sketch", "1.sketch", "2.sketch", "3.sketch", "4.sketch", "5.sketch"][..]),
        ("4", &["4.sketch", "1.sketch", "runs.sketch"]),
        ("2", &["all.sketch"]),
    ] {
        let file = ["merge", "-o", "merged.json", "--explain=merged.txt", "--threads", threads];
        let merged = run(threads, &[&file[..], sketches].concat());
        assert_eq!(merged, said.replace("at-once", "merged"), "{sketches:?}");
        assert!(read("merged.json") == read("at-once.json"), "{sketches:?}");
        assert!(read("merged.txt") == read("at-once.txt"), "{sketches:?}");
    }

    // Another library is asked when the sketches are merged.
    let mut library = traincheck_analyzer::library::built_in().clone();
    library.claims.clear();
    library.write(&folder.path().join("empty.json")).unwrap();
    run("1", &[&["infer", "-o", "at-once.json", "--library", "empty.json"][..], &runs].concat());
    run("1", &["merge", "all.sketch", "-o", "merged.json", "--library", "empty.json"]);
    assert!(read("merged.json") == read("at-once.json"));
}

#[test]
fn a_run_in_two_sketches_is_named_and_nothing_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| traincheck(arguments, folder.path(), "1");
    write(&Script::default().run().finish(), &folder.path().join("a"), true);
    write(&Script { seed: 2, ..Script::default() }.run().finish(), &folder.path().join("b"), true);
    fs::create_dir(folder.path().join("copy")).unwrap();
    fs::copy(folder.path().join("a/host-7-0.tcs"), folder.path().join("copy/host-7-0.tcs")).unwrap();
    of(&["infer", "--partial", "a", "-o", "a.sketch"]);
    of(&["infer", "--partial", "b", "copy", "-o", "b.sketch"]);
    let (code, stdout, stderr) = of(&["merge", "a.sketch", "b.sketch", "-o", "out.json"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let copy = folder.path().canonicalize().unwrap().join("copy");
    let says = "which a.sketch has, too; give every reference run once";
    assert_eq!(stderr, format!("traincheck: b.sketch: has the run {}, {says}\n", copy.display()));
    assert!(!folder.path().join("out.json").exists());
}

#[test]
fn a_folder_that_two_machines_call_the_same_is_two_runs() {
    let recorded_by = |host: &str| {
        let recording = Recording { host: host.into(), pid: 7, wall_ns: 1, monotonic_ns: 1 };
        let identity = Identity { folder: "/tmp/run".into(), recordings: vec![recording] };
        Sketch::of(Counted { identity, reference: REFERENCES[0].clone() })
    };
    let names: Vec<String> =
        merge([recorded_by("n1"), recorded_by("n2")]).runs().into_iter().map(|run| run.name).collect();
    assert_eq!(names, ["/tmp/run", "/tmp/run"]);
    let error = Sketch::merge([recorded_by("n1"), recorded_by("n1")]).expect_err("it is one");
    assert_eq!((error.twice[0].earlier, error.twice[0].sketch), (0, 1));
}

#[test]
fn damaged_runs_are_counted_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let of = |arguments: &[&str]| traincheck(arguments, folder.path(), "1");
    write(&Script::default().run().finish(), &folder.path().join("a"), true);
    write(&Script { seed: 2, ..Script::default() }.run().finish(), &folder.path().join("b"), true);
    let segment = folder.path().join("a/host-7-0.tcs");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert_eq!(of(&["infer", "--partial", "a"]).0, Some(2));
    assert!(!folder.path().join("runs.sketch").exists());
    assert_eq!(of(&["infer", "--partial", "a", "--damaged", "-o", "a.sketch"]).0, Some(0));
    assert_eq!(of(&["infer", "--partial", "b", "-o", "b.sketch"]).0, Some(0));
    assert_eq!(of(&["merge", "a.sketch", "b.sketch", "-o", "merged.json"]).0, Some(0));
    assert_eq!(of(&["infer", "a", "b", "--damaged", "-o", "at-once.json"]).0, Some(0));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("merged.json") == read("at-once.json"));
}
