//! What `scripts/corpus` runs is there: each program has its driver, its requirements with a version for each of its packages,
//! and six configurations; it says nothing that `scripts/corpus` does not know; and no driver is left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};
use traincheck_tests::repository;

/// What the drivers share, and what the jobs of several ranks do.
const SHARED: [&str; 3] = ["driver", "words", "jobs/job"];
const OF_A_PROGRAM: [&str; 6] = ["packages", "group", "driver", "ranks", "arguments", "configurations"];
const OF_A_CONFIGURATION: [&str; 3] = ["first", "arguments", "ranks"];

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let scripts = entries.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    scripts.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

fn assert_known(of: &str, table: &Table, keys: &[&str]) {
    for key in table.keys() {
        assert!(keys.contains(&key.as_str()), "{of}: no such key: {key}");
    }
    let ranks = table.get("ranks").map_or(Some(1), Value::as_integer);
    assert!(ranks.is_some_and(|ranks| ranks >= 1), "{of}: `ranks` is no number of processes");
}

#[test]
fn drivers_versions_and_configurations() {
    let corpus = repository().join("tests/corpus");
    let table = fs::read_to_string(corpus.join("programs.toml")).expect("the programs");
    let table: Table = table.parse().expect("TOML");
    let mut drivers: BTreeSet<_> = SHARED.map(str::to_owned).into();
    for (name, program) in &table {
        assert_known(name, program.as_table().expect("a table"), &OF_A_PROGRAM);
        let text = |key: &str| {
            program.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{name} has no {key}"))
        };
        drivers.insert(text("driver").to_owned());
        let requirements = format!("requirements-{}.txt", text("group"));
        let pinned = fs::read_to_string(corpus.join(&requirements))
            .unwrap_or_else(|_| panic!("{name}: no {requirements}"));
        for package in program["packages"].as_array().expect("packages") {
            let start = format!("{}==", package.as_str().expect("a name"));
            assert!(
                pinned.lines().any(|line| line.starts_with(&start)),
                "{name}: no {start} in {requirements}"
            );
        }
        let configurations = program["configurations"].as_table().expect("configurations");
        assert!(configurations.len() >= 6, "{name} has {} configurations", configurations.len());
        for (title, configuration) in configurations {
            if let Some(configuration) = configuration.as_table() {
                assert_known(&format!("{name}, {title}"), configuration, &OF_A_CONFIGURATION);
            }
        }
    }
    let mut found = names(&corpus.join("drivers"));
    found.extend(names(&corpus.join("drivers/jobs")).iter().map(|name| format!("jobs/{name}")));
    assert_eq!(found, drivers, "drivers that there are, and those that programs.toml names");
}
