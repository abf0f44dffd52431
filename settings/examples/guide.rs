//! Prints `docs/configuration.md`.

fn main() {
    print!("{}", traincheck_settings::guide::page());
}
