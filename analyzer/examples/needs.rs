//! Prints the table of `docs/relations.md` that says what relations read.

fn main() {
    print!("{}", traincheck_analyzer::relation::needs_table());
}
