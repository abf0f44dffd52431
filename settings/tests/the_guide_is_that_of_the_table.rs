//! `docs/configuration.md` is made from the table of settings.

#[test]
fn and_not_of_an_older_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let found = std::fs::read_to_string(path).expect("docs/configuration.md");
    assert!(
        found == traincheck_settings::guide::page(),
        "run `cargo run -p traincheck-settings --example guide > docs/configuration.md`"
    );
}
