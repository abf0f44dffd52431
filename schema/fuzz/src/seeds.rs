//! Writes inputs for the fuzzer to begin with into corpus/TARGET.

use std::fs;
use std::path::Path;

mod inputs;

fn main() -> std::io::Result<()> {
    for (target, inputs) in [("segment", inputs::of_segment()?), ("ring", inputs::of_ring())] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
    }
    Ok(())
}
