//! What `scripts/corpus` runs is there: each program has its driver, its requirements with a version for each of its packages,
//! and six configurations; and no driver is left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};
use traincheck_tests::repository;

/// What the drivers share.
const SHARED: [&str; 2] = ["driver", "words"];

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let scripts = entries.filter(|path| path.extension().is_some_and(|extension| extension == "py"));
    scripts.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn drivers_versions_and_configurations() {
    let corpus = repository().join("tests/corpus");
    let table = fs::read_to_string(corpus.join("programs.toml")).expect("the programs");
    let table: Table = table.parse().expect("TOML");
    let mut drivers: BTreeSet<_> = SHARED.map(str::to_owned).into();
    for (name, program) in &table {
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
        let configurations = program["configurations"].as_table().expect("configurations").len();
        assert!(configurations >= 6, "{name} has {configurations} configurations");
    }
    assert_eq!(
        names(&corpus.join("drivers")),
        drivers,
        "drivers that there are, and those that programs.toml names"
    );
}
