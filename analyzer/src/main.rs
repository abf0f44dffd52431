//! The `traincheck` command.
fn main() {}
