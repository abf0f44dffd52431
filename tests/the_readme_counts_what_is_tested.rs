//! The numbers of errors, pipelines and clean runs in the README are those of the folders that scripts/zoo.py and
//! scripts/precision.py go through; those of the library and of its levels are what these say of themselves.

use std::collections::BTreeSet;
use std::fs;

use traincheck_tests::repository;

fn readme() -> String {
    fs::read_to_string(repository().join("README.md")).expect("the README")
}

#[track_caller]
fn assert_says(sentence: &str) {
    // However its lines are broken.
    let words: Vec<_> = readme().split_whitespace().map(str::to_owned).collect();
    assert!(words.join(" ").contains(sentence), "README.md does not say: {sentence}");
}

#[test]
fn silent_errors() {
    let zoo = fs::read_dir(repository().join("tests/zoo")).expect("the zoo");
    let cases: Vec<toml::Table> = zoo
        .filter_map(|case| fs::read_to_string(case.expect("an entry").path().join("expect.toml")).ok())
        .map(|expected| expected.parse().expect("TOML"))
        .collect();
    let (ranks, alone): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case.contains_key("ranks"));
    let found = ranks.iter().filter(|case| !case.contains_key("missed")).count();
    assert!(alone.iter().all(|case| !case.contains_key("missed")));
    assert_says(&format!("[zoo](tests/zoo) of {} silent errors", cases.len()));
    assert_says(&format!(
        "all {} of one process, and {found} of the {} of two ranks over gloo, are caught",
        alone.len(),
        ranks.len()
    ));
}

#[test]
fn clean_runs() {
    let table = fs::read_to_string(repository().join("tests/pipelines/variants.toml")).expect("the variants");
    let table: toml::Table = table.parse().expect("TOML");
    let variants = |pipeline: &toml::Value| {
        pipeline.get("variants").and_then(|found| found.as_table()).map_or(0, |of| of.len())
    };
    // Each variant, and each pipeline with what was learned from the others.
    let checks = table.values().map(|pipeline| variants(pipeline) + 1).sum::<usize>();
    assert_says(&format!("[{} pipelines](tests/pipelines/variants.toml)", table.len()));
    assert_says(&format!("{checks} checks of clean runs"));
}

#[test]
fn alarms_of_the_library() {
    let file = repository().join("analyzer/library/general.json");
    let library: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file).expect("the library")).expect("JSON");
    let measured = |what: &str| &library["measured"][what];
    let programs = library["programs"].as_array().map_or(0, Vec::len);
    let percent = measured("upper_bound").as_f64().unwrap_or(1.0) * 100.0;
    assert_says(&format!(
        "{} of {} clean runs of {programs} programs raise an alarm, at most {percent:.1} %",
        measured("alarms"),
        measured("runs")
    ));
}

#[test]
fn runs_of_other_configurations() {
    let file = repository().join("analyzer/library/levels.json");
    let levels: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file).expect("the levels")).expect("JSON");
    let measured = &levels["differences"]["configuration"];
    let families = measured["families"].as_object().expect("families");
    let broken = families.values().filter_map(|family| family["broken"].as_array()).flatten();
    let broken: BTreeSet<&str> = broken.map(|run| run.as_str().expect("the name of a run")).collect();
    assert_says(&format!(
        "{} of {} clean runs of {} programs break it",
        broken.len(),
        measured["runs"],
        measured["programs"]
    ));
}
