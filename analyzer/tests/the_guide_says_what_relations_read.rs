//! The table in `docs/relations.md` that says what relations read is made from what they declare.

const GUIDE: &str = include_str!("../../docs/relations.md");

#[test]
fn the_table_is_that_of_the_code() {
    let made = traincheck_analyzer::relation::needs_table();
    let header = made.lines().next().expect("a header");
    let found: Vec<&str> =
        GUIDE.lines().skip_while(|line| *line != header).take_while(|line| line.starts_with('|')).collect();
    assert_eq!(
        found,
        made.lines().collect::<Vec<_>>(),
        "put what `cargo run -p traincheck-analyzer --example needs` prints into docs/relations.md"
    );
}
